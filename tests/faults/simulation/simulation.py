"""The simulation of a seed: a storm with kills and rivals, then calm weather in which the step must succeed."""

from __future__ import annotations

import concurrent.futures.thread
import gc
import json
import logging
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from greenlet import GreenletExit

from faults.simulation.bedrock_model import BedrockModel, ControlPlaneClient, RuntimeClient
from faults.simulation.charges import Charges
from faults.simulation.conduct import Conduct
from faults.simulation.invariants import check_at_exit, check_at_the_end, check_completion, check_repetition
from faults.simulation.model_answers import prompt_of_text
from faults.simulation.network import CALM, Network
from faults.simulation.primitives import installed
from faults.simulation.s3_model import S3Client, S3Model
from faults.simulation.scenario import MOST_STARTS, Fate, Scenario, scenario_of
from faults.simulation.scheduler import Machine, Scheduler, StuckError
from faults.simulation.step_process import StepFolders, StepProcess, file_locks, lay_out_inputs, prepare, service_meta

# The step must succeed within this many starts in calm weather.
CALM_STARTS = 2
Adapt = Callable[[Any], Any]


class Simulation:
    """The services and processes of a seed; `problems` lists the violated invariants."""

    def __init__(self, scenario: Scenario, folder: Path, *, keep_history: bool, adapt: Adapt) -> None:
        self.scenario = scenario
        self._adapt = adapt
        self.folder = folder
        self.scheduler = Scheduler(scenario.seed)
        self.network = Network(self.scheduler, scenario.rates, keep_history=keep_history)
        self.charges = Charges()
        self.s3 = S3Model(lambda: self.scheduler.now)
        self.s3.on_write = self._see_write
        self.conduct = Conduct(
            lambda: self.scheduler.now,
            tries=scenario.tries,
            # The canary asks by itself what a job may leave unanswered later.
            purposes=2 if scenario.has_canary else 1,
            rate=scenario.rate_per_second,
            poll=float(scenario.environ["BEDROCK_BATCH_POLL_INITIAL_SECONDS"]),
            workers=scenario.workers,
            same=Counter(map(prompt_of_text, scenario.texts())),
        )
        self.bedrock = BedrockModel(self.s3, self.network, self.charges, self.conduct, scenario)
        self.processes: list[StepProcess] = []
        self.problems: list[str] = []
        self.written: list[str] = []
        self._ledger_writer: Machine | None = None
        self._disk = 0
        self._judged = 0
        files = 2 if scenario.whole_step else 1
        self._inputs = lay_out_inputs(
            folder / "inputs" / f"{scenario.rows}-{scenario.repeats}-{files}", scenario.texts(), files
        )

    def run(self) -> None:
        """Simulate the seed and collect the violated invariants in `problems`."""
        try:
            self._pass_storm()
            self._pass_calm()
            check_at_the_end(self)
        except StuckError as error:
            self.problems.append(f"hangs: {error}")
        finally:
            self.scheduler.end()
            shutil.rmtree(self.folder / "disks", ignore_errors=True)

    def _pass_storm(self) -> None:
        """Start the step again and again while calls fail and processes die, perhaps with a rival beside it."""
        if self.scenario.rival_after is not None:
            self.scheduler.after(self.scenario.rival_after, self._start_rival)
        while len(self.processes) < MOST_STARTS:
            process = self._start(self.scenario.fates[len(self.processes)])
            self._run_until(lambda process=process: process.is_over or process.machine.frozen)
            if process.machine.frozen:  # meanwhile, a user or SageMaker starts the step again
                draw = self.scheduler.random
                self._run_for(draw.choice((0.1, 3.0)) * draw.uniform(0.0, self.scenario.lease))
            elif process.exit_code == 0:
                return
            self._run_for(self.scheduler.random.uniform(0.0, 2 * self.scenario.lease))

    def _pass_calm(self) -> None:
        self._run_until(lambda: all(process.is_over for process in self.processes))
        self.network.rates = CALM
        finished = (
            all(process.exit_code is not None for process in self.processes) and self.processes[-1].exit_code == 0
        )
        was_finished = any(process.exit_code == 0 for process in self.processes)
        began, questions = self.scheduler.now, self.conduct.questions
        for _ in range(CALM_STARTS):
            process = self._start_until_collected()
            if process.has_done_its_work:
                if finished:
                    check_repetition(self, questions, self.scheduler.now - began)
                elif not was_finished:
                    check_completion(self)
                return
        self.problems.append(f"restarts do not converge: {process.exit_code} {process.error!r}")

    def _start_until_collected(self) -> StepProcess:
        """Start the step, and again some time later if it leaves jobs; return the process that did not."""
        while True:
            process = self._start(Fate())
            self._run_until(lambda process=process: process.is_over)
            if not process.left_jobs:
                return process
            self._run_for(self.scheduler.random.uniform(60.0, 1200.0))

    def _start_rival(self) -> None:
        if len(self.processes) < MOST_STARTS and self.network.rates is not CALM:
            self._start(self.scenario.fates[len(self.processes)])

    def _start(self, fate: Fate) -> StepProcess:
        number = len(self.processes)
        if not self.scenario.keeps_disk:
            self._disk += 1
        root = self.folder / "disks" / str(self._disk)
        clients = SimpleNamespace(
            bedrock=self._adapt(ControlPlaneClient(self.bedrock, service_meta("bedrock"))),
            bedrock_runtime=self._adapt(RuntimeClient(self.bedrock, service_meta("bedrock-runtime"))),
            s3=self._adapt(S3Client(self.s3, self.network, service_meta("s3"))),
            region_name="us-east-1",
        )
        process = StepProcess(self.scheduler, self.scenario, clients, number, StepFolders(root, self._inputs))
        process.machine.when_dead.append(lambda: self._lose(process))
        self.network.fates[process.machine] = fate
        self.processes.append(process)
        process.start()
        return process

    def _lose(self, process: StepProcess) -> None:
        if process.exit_code is None and process.machine is self._ledger_writer:
            self._leave_parts_behind()
        self.charges.lose_process(process.machine, "ended" if process.is_over else "was killed")

    def _leave_parts_behind(self) -> None:
        """Leave parts of the job files that a killed process was uploading, as if the files were large."""
        for key, stored in self.s3.objects.items():
            if key.endswith("/ledger.json"):
                for job in json.loads(stored.data)["jobs"]:
                    if job["state"] == "planned":
                        self.s3.uploads[f"upload-{len(self.s3.uploads)}"] = job["input_uri"].split("/", 3)[3]

    def _run_until(self, holds: object) -> None:
        def done() -> bool:
            self._judge_exits()
            return bool(holds())  # type: ignore[operator]

        self.scheduler.run(done)

    def _run_for(self, seconds: float) -> None:
        reached: list[bool] = []
        self.scheduler.after(seconds, lambda: reached.append(True))
        self._run_until(lambda: bool(reached))

    def _judge_exits(self) -> None:
        """Check what a process leaves as soon as it ends."""
        for process in self.processes:
            if process.exit_code is not None and not hasattr(process, "judged"):
                process.judged = True  # type: ignore[attr-defined]
                check_at_exit(self, process)

    def _see_write(self, key: str, data: bytes, writer: Machine | None) -> None:
        if writer is None:
            return
        self.written.append(key)
        if "/answers/" in key:
            self.charges.keep(data)
        if key.endswith("/ledger.json"):
            before, self._ledger_writer = self._ledger_writer, writer
            if before is not None and before is not writer and before.alive:
                self.conduct.take_over(before, writer)
                if self.scenario.rates == CALM and not before.was_frozen:
                    self.problems.append(f"{writer.name} took the run of {before.name}, which was alive and well")
                self.charges.lose_run(before, f"was taken over by {writer.name}")


def simulate(
    seed: int, folder: Path, *, keep_history: bool = False, adapt: Adapt = lambda client: client
) -> Simulation:
    """Simulate a seed in a folder and return the simulation; `adapt` may wrap each client."""
    prepare()
    logging.getLogger("concurrent.futures").disabled = True  # complains of threads that are unwound at the end
    was_enabled, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()
    sys.unraisablehook = lambda told: None if told.exc_type is GreenletExit else hook(told)
    try:
        with installed(), file_locks():
            random.seed(seed)
            simulation = Simulation(scenario_of(seed), folder, keep_history=keep_history, adapt=adapt)
            simulation.run()
            return simulation
    finally:
        sys.unraisablehook = hook
        concurrent.futures.thread._threads_queues.clear()
        if was_enabled:
            gc.enable()
