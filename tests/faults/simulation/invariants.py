"""The invariants that must hold after every seed, whatever went wrong."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING

from bedrock_batch.errors import TakenOverError
from faults.simulation.model_answers import code_of, prompt_of_text
from faults.simulation.scenario import BUCKET, Rates

if TYPE_CHECKING:
    from faults.simulation.simulation import Simulation
    from faults.simulation.step_process import StepProcess

OUTPUT = "training_processed_data.csv"


def check_at_exit(simulation: Simulation, process: StepProcess) -> None:
    """Check the outputs of an ended process against its exit code."""
    problems, name = simulation.problems, process.machine.name
    if process.defect:
        problems.append(f"{name} ended with a defect:\n{process.defect}")
    if isinstance(process.error, TakenOverError) and not simulation.conduct.has_lost_its_run(process.machine):
        problems.append(f"{name} says that its run was taken over, which nobody did")
    if "another process " in str(process.error).replace("that another", "") and len(simulation.processes) == 1:
        problems.append(f"{name} says that there is another process, and there is none: {process.error}")
    tables = [path.name for path in process.folders.tables()]
    if tables == [OUTPUT]:  # also of a process that failed: what stands under a final name is whole
        problems += [f"{name} says {process.exit_code}, but {text}" for text in _table_problems(simulation, process)]
    elif tables or process.exit_code == 0:
        problems.append(f"{name} says {process.exit_code} ({process.error}) and leaves {tables}")


def _table_problems(simulation: Simulation, process: StepProcess) -> list[str]:
    """Return the problems of an output table: missing rows, wrong order, wrong answers."""
    rows = _read_table(process)
    texts, problems = simulation.scenario.texts(), []
    if [(row["id"], row["review"]) for row in rows] != [(f"{n:05d}", text) for n, text in enumerate(texts)]:
        return [f"its {len(rows)} rows are not the {len(texts)} rows of the input in their order"]
    charges = simulation.charges
    may_ask_again = simulation.scenario.environ["BEDROCK_BATCH_FALLBACK"] == "realtime"
    for row in rows:
        question = prompt_of_text(row["review"])
        if row["llm_status"] == "success":
            if row["llm_code"] != str(code_of(question)):
                problems.append(f"row {row['id']} has another row's answer: {row['llm_code']}")
        elif not row["llm_error"]:
            problems.append(f"row {row['id']} failed without a reason")
        elif process.exit_code == 0 and charges.charged[question] - charges.excused[question] >= texts.count(
            row["review"]
        ):
            problems.append(f"row {row['id']} failed although its answer was delivered: {row['llm_error']}")
        elif may_ask_again and not (simulation.bedrock.refuses(question) or charges.failures[question]):
            problems.append(f"row {row['id']} failed and nothing had gone wrong with it: {row['llm_error']}")
    return problems


def _read_table(process: StepProcess) -> list[dict[str, str]]:
    with (process.folders.outputs / OUTPUT).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_repetition(simulation: Simulation, questions: int, seconds: float) -> None:
    """Check a start after a finished run, which had asked this many questions: it asks nothing and does not wait."""
    if simulation.conduct.questions != questions:
        simulation.problems.append(f"a finished run asked {simulation.conduct.questions - questions} questions more")
    if seconds >= simulation.scenario.lease:
        simulation.problems.append(f"a finished run took {seconds:.0f} s to be written again")


def check_completion(simulation: Simulation) -> None:
    """Check the start that finished a run in calm weather: it asked again what had failed for a temporary reason."""
    if simulation.scenario.environ["BEDROCK_BATCH_FALLBACK"] == "realtime":
        failed = [
            row["id"]
            for row in _read_table(simulation.processes[-1])
            if row["llm_status"] != "success" and not simulation.bedrock.refuses(prompt_of_text(row["review"]))
        ]
        if failed:
            simulation.problems.append(f"rows {failed} stay failed although nothing is wrong any more")


def check_at_the_end(simulation: Simulation) -> None:
    """Check the charges, requests and outputs of all processes of a seed together."""
    problems = simulation.problems
    problems += _charge_problems(simulation)
    problems += _job_problems(simulation)
    problems += simulation.conduct.problems
    if simulation.s3.uploads and simulation.scenario.rates == Rates():
        problems.append(f"parts of unfinished uploads stay and are charged for: {simulation.s3.uploads}")
    outside = [key for key in simulation.written if not key.startswith("in/")]
    if outside:
        problems.append(f"wrote outside of its path in {BUCKET}: {outside}")
    left = list(simulation.processes[-1].folders.root.glob(".bedrock-batch/work-*"))
    if left:
        problems.append(f"folders with prompts and answers stay behind: {[path.name for path in left]}")
    for process in simulation.processes:
        if process.overran and simulation.scenario.is_harmless and not process.machine.was_frozen:
            problems.append(f"{process.machine.name} was not ready when its {process.overran:.0f} s were over")
        beside = {path.name for path in process.folders.root.glob("*")} - {"output", "summary", ".bedrock-batch"}
        if beside:
            problems.append(f"wrote outside of its folders: {sorted(beside)}")


def _charge_problems(simulation: Simulation) -> list[str]:
    scenario, charges = simulation.scenario, simulation.charges
    rows = Counter(map(prompt_of_text, scenario.texts()))
    problems = []
    for question, count in charges.charged.items():
        allowed = (1 if scenario.deduplicates else rows[question]) + charges.excused[question]
        if count > allowed:
            story = [line for line in charges.story if repr(question) in line]
            problems.append(f"charged {count} times instead of {allowed}: {'; '.join(story)}")
    return problems


def _job_problems(simulation: Simulation) -> list[str]:
    scenario, problems = simulation.scenario, []
    limits = [scenario.environ, scenario.later_environ]
    sent = Counter(question for job in simulation.bedrock.jobs for question in job.questions)
    rows = Counter(map(prompt_of_text, scenario.texts()))
    twice = [text for text, count in sent.items() if count > (1 if scenario.deduplicates else rows[text])]
    if twice:
        problems.append(f"{len(twice)} questions are in two jobs, among them {twice[0]!r}")
    least = min(int(environ["BEDROCK_MIN_RECORDS_PER_JOB"]) for environ in limits)
    most = max(int(environ["BEDROCK_MAX_RECORDS_PER_JOB"]) for environ in limits)
    problems += [
        f"job {job.name} has {len(job.records)} records, allowed are {least} to {most}"
        for job in simulation.bedrock.jobs
        if job.records and not least <= len(job.records) <= most
    ]
    running = simulation.bedrock.most_running
    if running > int(scenario.environ["BEDROCK_MAX_CONCURRENT_BATCH_JOBS"]):
        problems.append(f"{running} jobs ran at once")
    return problems
