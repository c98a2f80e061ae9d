"""Says in one line what a run that begins is going to ask, and at what cost, without reading all its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bedrock_batch.costs.estimate import Interval, PromptSize
from bedrock_batch.dataset.row_source import RowSource, text_columns
from bedrock_batch.ledger.run import Run
from bedrock_batch.realtime.row_processor import RowProcessor
from bedrock_batch.records import record_id
from bedrock_batch.text import format_usd

# Enough rows for a likely cost, few enough to take milliseconds.
ROWS_MEASURED = 512


@dataclass(slots=True)
class Beginning:
    """The size of the first prompts of a run, and the bytes of their lines in a job file."""

    size: PromptSize = field(default_factory=PromptSize)
    line_bytes: int = 0

    def scaled(self, count: int) -> Beginning:
        """Return the same for `count` prompts of that average size."""
        factor = count / max(1, self.size.records)
        size = PromptSize(count, round(self.size.characters * factor), round(self.size.extra_bytes * factor))
        return Beginning(size, round(self.line_bytes * factor))


def log_expected_work(processor: RowProcessor, source: RowSource, run: Run, asked: int) -> None:
    """Log how many rows are asked, in which jobs and at what estimated cost; a failure is for the run itself to report.

    `asked` counts the questions without a kept answer.
    """
    log, ledger = processor.context.log, run.ledger
    if not ledger.is_new:
        kept = ledger.journal.earlier_outputs
        log.info("rows=%d continues=true jobs_known=%d realtime_answers_kept=%d", source.count, len(ledger.jobs), kept)
        return
    try:
        work = measure_beginning(processor, source).scaled(asked)
        jobs = processor.expected_jobs(asked, work.line_bytes)
        mode = processor.expected_source(asked)
        cost = _describe_cost(processor, work.size)
    except Exception as error:
        log.debug("the expected work is not known: %s", type(error).__name__)
        return
    most = "at most " if processor.settings.deduplicate_prompts else ""
    log.info("asks=%s%d rows=%d mode=%s jobs=%d estimated_cost=%s", most, asked, source.count, mode, jobs, cost)


def measure_beginning(processor: RowProcessor, source: RowSource) -> Beginning:
    """Return the size of the first prompts of a run."""
    beginning = Beginning()
    for prompt in _first_prompts(processor, source):
        beginning.size.add(prompt)
        beginning.line_bytes += len(processor.model_input.jsonl_line(record_id(0), prompt))
    return beginning


def _first_prompts(processor: RowProcessor, source: RowSource) -> Iterator[str]:
    template, left = processor.template.fresh(), ROWS_MEASURED
    for batch in source.batches():
        rows = batch.slice(0, left)
        yield from template.render_rows(text_columns(rows, template.columns), rows.num_rows)
        left -= rows.num_rows
        if not left:
            return


def _describe_cost(processor: RowProcessor, size: PromptSize) -> str:
    """Return the estimated cost of prompts of a size, with its interval; `unknown` without a price."""
    price = processor.expected_price()
    if price is None:
        return "unknown (no price of this model: set BEDROCK_PRICES)"
    cost: Interval = processor.estimate(size).cost(price, processor.expected_source(size.records))
    return f"{format_usd(cost.likely)} ({format_usd(cost.low)} to {format_usd(cost.high)})"
