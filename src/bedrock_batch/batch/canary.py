"""The canary of a batch run: some records are asked in real time before anything is uploaded."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from bedrock_batch.batch.canary_advice import advise, describe_reason
from bedrock_batch.batch.job_methods import JobMethods
from bedrock_batch.costs.estimate import Estimate, PromptSize
from bedrock_batch.costs.limit import check_cost
from bedrock_batch.costs.max_tokens_advice import TokenUse, near_limit_advice, token_advice
from bedrock_batch.costs.measured import MeasuredRecord, estimate_from
from bedrock_batch.errors import HopelessError, RunError
from bedrock_batch.ledger.run import Run
from bedrock_batch.models.model_output import is_complete
from bedrock_batch.realtime.requests.invocation import RealtimeInvoker
from bedrock_batch.realtime.reuse.taken_questions import CanaryDecision, read_canary, store_canary
from bedrock_batch.realtime.row_processor import Picked, Picker
from bedrock_batch.records import Answer, ModelOutput, Record, RecordError, RecordOutput
from bedrock_batch.text import format_usd, shorten

PURPOSE = "canary"
# The same records are drawn for each prompt that is tried.
_SEED = 20261127
_REASONS_TOLD = 3
_MESSAGE_CHARACTERS = 160


@dataclass(slots=True)
class Canary:
    """The answers of a canary by record number, and the records, which no job holds.

    `errors` are the records that the service refuses for good.
    """

    records: dict[int, Record] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    errors: list[RecordError] = field(default_factory=list)
    report: dict[str, int] | None = None

    def find_records(self, numbers: Collection[int]) -> Iterator[Record]:
        """Yield its records with some of these numbers."""
        yield from (record for number, record in self.records.items() if number in numbers)

    def within(self, start: int, stop: int) -> dict[int, Answer]:
        """Return the answers to the records from `start` to `stop`."""
        return {number: answer for number, answer in self.answers.items() if start <= number < stop}


def run_canary(processor: JobMethods, run: Run) -> Canary:
    """Ask the canary of a run and return its answers; an earlier start's canary is not asked again.

    RunError, before anything is uploaded, if too few answers are valid; ConfigurationError if the measured cost is
    above the limit. If the model cannot be asked in real time, the canary is skipped, with a line in the log.
    """
    picker = processor.picker
    if picker is None:
        return Canary()
    if run.ledger.jobs:  # the jobs hold all records but these
        return _kept_canary(processor, run, picker)
    drawn = _draw(processor, picker)
    # What an earlier start has asked stays part of the canary, whatever the settings are now.
    numbers = {*drawn, *run.ledger.journal.numbers_for(PURPOSE)}
    if not numbers:
        return Canary()
    picked = picker.pick(numbers)
    outputs = _ask(processor, run, picked.records)
    canary = _collect(processor, picked.records, filter(_is_final, outputs))
    if drawn:
        _judge(processor, picker, picked, canary, outputs)
    # A later start must make the same job files, whatever else the service refused.
    processor.primary_model.return_to(_frames(outputs))
    decision = CanaryDecision(tuple(sorted(canary.records)), processor.model_input.frame)
    store_canary(run.ledger, decision, picked.questions)
    return canary


def draw_numbers(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the numbers below `count`, one from each of as many equal parts; the same ones each time."""
    draw = random.Random(_SEED)  # noqa: S311 - a sample, no secret
    edges = [part * count // wanted for part in range(wanted + 1)] if wanted > 0 else []
    return [draw.randrange(start, stop) for start, stop in pairwise(edges)]


def _kept_canary(processor: JobMethods, run: Run, picker: Picker) -> Canary:
    """Return the canary that an earlier start has asked before it made the jobs of the run."""
    decision = read_canary(run.ledger)
    if decision is None:
        return Canary()
    processor.primary_model.return_to({decision.frame})
    records = picker.pick(decision.numbers).records
    # Asks nothing unless the journal has lost an answer, whose record is in no job.
    return _collect(processor, records, processor.realtime.ask_each(records, run.ledger.journal, PURPOSE))


def _draw(processor: JobMethods, picker: Picker) -> list[int]:
    """Return the records of the canary: none if the settings or the model exclude it, or if jobs need all records."""
    settings, log = processor.settings, processor.context.log
    if not settings.canary_records or settings.takes_sample:
        return []
    if not processor.primary_model.capabilities.realtime:
        log.info("canary=skipped: BEDROCK_MODEL_CAPABILITIES says that the model has no real time")
        return []
    count = picker.count()
    wanted = min(settings.canary_records, count - settings.min_records_per_job)
    if wanted <= 0:
        log.info("canary=skipped: a job needs all %d records", count)
    return draw_numbers(count, wanted)


def _ask(processor: JobMethods, run: Run, records: Sequence[Record]) -> list[RecordOutput]:
    """Ask the primary model, which the jobs ask, too; what cannot be asked in real time is left to the jobs.

    The requests go one after the other: an answer that came after the jobs were made would be in both.
    """
    settings, context = replace(processor.settings, concurrency_mode="sequential"), processor.context
    # Its own invoker: answers of the fallback model would say nothing about those of the jobs.
    invoker = RealtimeInvoker(settings, context, processor.primary_model, None, processor.spending.refusal)
    journal = run.ledger.journal
    outputs: list[RecordOutput] = []
    kept = [record for record in records if journal.knows(record.number, PURPOSE)]
    asked = [record for record in records if not journal.knows(record.number, PURPOSE)]
    try:
        for output in invoker.ask_each([*kept, *asked], journal, PURPOSE):
            outputs.append(output)
            if not any(map(_is_final, outputs[len(kept) :])) and len(outputs) > len(kept):
                break  # the first request has failed, and the others would wait as long for nothing
    except HopelessError as error:
        context.log.warning(
            "canary=skipped: the model cannot be asked in real time, and the jobs are begun without it: %s. "
            "BEDROCK_CANARY_RECORDS=0 does not try",
            shorten(str(error), _MESSAGE_CHARACTERS),
        )
    return outputs


def _collect(processor: JobMethods, records: Iterable[Record], outputs: Iterable[RecordOutput]) -> Canary:
    """Return the canary of some outputs, with their cost counted and the complete ones kept in the answer store."""
    canary, by_number = Canary(), {record.number: record for record in records}
    for output in outputs:
        answer = processor.parser.parse(output)
        processor.spending.add(answer)
        if processor.recorder is not None and isinstance(output, ModelOutput) and is_complete(answer.stop_reason):
            processor.recorder.add(output, answer.stop_reason, (answer.input_tokens, answer.output_tokens))
        canary.records[output.number] = by_number[output.number]
        canary.answers[output.number] = answer
        if isinstance(output, RecordError):
            canary.errors.append(output)
    return canary


def _is_final(output: RecordOutput) -> bool:
    """Return whether an output is the record's own: an answer, or an error that each request would meet."""
    return isinstance(output, ModelOutput) or not output.retryable


def _frames(outputs: Iterable[RecordOutput]) -> frozenset[str]:
    return frozenset(output.frame for output in outputs if isinstance(output, ModelOutput))


def _judge(
    processor: JobMethods, picker: Picker, picked: Picked, canary: Canary, outputs: Sequence[RecordOutput]
) -> None:
    """Log what the answers show, or raise the reason why nothing may be uploaded."""
    settings, log = processor.settings, processor.context.log
    judged, valid = len(canary.answers), sum(map(_is_valid, canary.answers.values()))
    canary.report = {"records": len(picked.records), "answered": judged, "valid": valid}
    if not judged:
        if outputs:
            log.warning("canary=skipped: no answer came in real time (%s)", _kinds(outputs))
        return
    share = expected_share(valid / judged, settings.validation_retries)
    if share < settings.canary_min_valid:
        raise RunError(_refusal(processor, picker, picked, canary))
    estimate = _measure(processor, picked, canary)
    log.info("canary=passed valid=%d of=%d %s%s", valid, judged, _tokens(canary), _describe_cost(processor, estimate))
    _advise_on_max_tokens(processor, canary)


def expected_share(share: float, retries: int) -> float:
    """Return the share of valid answers after validation retries, each of which succeeds as often as the first try."""
    return 1 - (1 - share) ** (1 + retries)


def _is_valid(answer: Answer) -> bool:
    return answer.parse_status in ("success", "json_only")


def _kinds(outputs: Iterable[RecordOutput]) -> str:
    kinds = Counter(output.kind for output in outputs if isinstance(output, RecordError))
    return ", ".join(f"{kind}={count}" for kind, count in kinds.most_common())


def _refusal(processor: JobMethods, picker: Picker, picked: Picked, canary: Canary) -> str:
    """Return why the run ends: the reasons by count, an example of each without text of its row, and what to change."""
    settings = processor.settings
    invalid = {number: answer for number, answer in canary.answers.items() if not _is_valid(answer)}
    reasons = Counter(_reason(answer) for answer in invalid.values())
    told = []
    for kind, count in reasons.most_common(_REASONS_TOLD):
        number = next(number for number, answer in invalid.items() if _reason(answer) == kind)
        told.append(
            f"{kind}={count}, such as {picker.place_of(number)} ({describe_reason(invalid[number])}): {advise(kind)}"
        )
    valid, judged = len(canary.answers) - len(invalid), len(canary.answers)
    return (
        f"the canary asked {judged} of {picked.size.records} records in real time, and {valid} of the answers are "
        f"valid, fewer than BEDROCK_CANARY_MIN_VALID={settings.canary_min_valid:g} allows: nothing was uploaded. "
        f"{'; '.join(told)}. These answers are kept and not paid for again; a lower BEDROCK_CANARY_MIN_VALID accepts "
        "them"
    )


def _reason(answer: Answer) -> str:
    return answer.error_kind or answer.parse_status


def _measure(processor: JobMethods, picked: Picked, canary: Canary) -> Estimate | None:
    """Return the estimate by measured tokens, None if too few are known.

    It replaces the guess of the run; ConfigurationError if it is above the limit of the cost.
    """
    measured = [_measured(processor, canary.records[n], answer) for n, answer in canary.answers.items()]
    known = [each for each in measured if each is not None]
    count = picked.size.records
    estimate = estimate_from(known, count, picked.size.tokens(processor.model_input))
    processor.measured = estimate
    price = processor.expected_price()
    limit = processor.settings.max_cost_usd
    if estimate is not None and price is not None and limit is not None:
        processor.spending.expect(count, check_cost(limit, estimate, price, "batch", count))
    return estimate


def _measured(processor: JobMethods, record: Record, answer: Answer) -> MeasuredRecord | None:
    if answer.input_tokens is None or answer.output_tokens is None:
        return None
    size = PromptSize()
    size.add(record.prompt)
    return MeasuredRecord(size.tokens(processor.model_input), answer.input_tokens, answer.output_tokens)


def _tokens(canary: Canary) -> str:
    answers = canary.answers.values()
    read, written = ([tokens or 0 for tokens in each] for each in zip(*_counts(answers), strict=True))
    return f"input_tokens={sum(read) / len(read):.0f} output_tokens={sum(written) / len(written):.0f} each"


def _counts(answers: Iterable[Answer]) -> list[tuple[int | None, int | None]]:
    return [(answer.input_tokens, answer.output_tokens) for answer in answers]


def _describe_cost(processor: JobMethods, estimate: Estimate | None) -> str:
    price = processor.expected_price()
    if estimate is None or price is None:
        return ""
    cost = estimate.cost(price, "batch")
    return (
        f" estimated_cost={format_usd(cost.likely)} ({format_usd(cost.low)} to {format_usd(cost.high)}, "
        f"{estimate.method})"
    )


def _advise_on_max_tokens(processor: JobMethods, canary: Canary) -> None:
    """Log what the answers say about `max_tokens`, before the jobs are paid for."""
    counts = [(read or 0, written or 0) for read, written in _counts(canary.answers.values())]
    longest = max(written for _, written in counts)
    burndown = processor.primary_model.capabilities.burndown
    use = TokenUse(len(counts), sum(read for read, _ in counts), sum(w for _, w in counts), longest, burndown)
    limit = processor.model_input.max_tokens
    advice: Mapping[str, Any] = token_advice(limit, use)
    for text in filter(None, (near_limit_advice(limit, use), advice["advice"])):
        processor.context.log.info("%s", text)
