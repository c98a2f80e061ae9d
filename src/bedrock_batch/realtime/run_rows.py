"""Runs a processor over the rows of a source: begins or continues the run, has each row answered, and closes the run.

The processor decides how records are sent. This module does what batch and real time have in common: the identity of
the run, the cost limit, validation retries, deduplication and progress.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bedrock_batch.answers.blocks import AnswerBlock, BlockWriter
from bedrock_batch.answers.deduplication import SharedPrompts
from bedrock_batch.answers.schema.vocabulary import schema_identity
from bedrock_batch.answers.segments import SegmentStore, reorder
from bedrock_batch.answers.validation_retries import is_worth_repeating, merge_answers
from bedrock_batch.costs.estimate import PromptSize
from bedrock_batch.costs.limit import check_cost
from bedrock_batch.dataset.row_source import RowSource
from bedrock_batch.errors import RunError, RunInterrupted, RunSubmitted
from bedrock_batch.ledger.identity import new_run_id, run_id_of
from bedrock_batch.ledger.open_run import open_run, run_parts, work_folder
from bedrock_batch.ledger.run import Run, RunOptions, describe_interrupted
from bedrock_batch.models.model_output import is_complete
from bedrock_batch.realtime.expected_work import log_expected_work
from bedrock_batch.realtime.record_picks import RecordPicker
from bedrock_batch.realtime.reuse.stored_answers import StoredAnswers, collect_jobs, take_answers
from bedrock_batch.realtime.reuse.taken_questions import look_up
from bedrock_batch.realtime.row_processor import RowProcessor, render_questions, render_records, shared_prompts
from bedrock_batch.records import Answer, ModelOutput, RecordOutput, validation_purpose

# A signal leaves 5 s, of which requests in flight and the ledger need most. What is not stored then is in the ledger.
FLUSH_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """The answers' columns of every row of a source, with the id of the run and the location of its ledger."""

    answers: SegmentStore
    run_id: str
    ledger: str


@contextmanager
def run_rows(processor: RowProcessor, source: RowSource, options: RunOptions | None = None) -> Iterator[AnsweredRows]:
    """Answer every row of a source; the run is closed when the block ends without an error.

    The answers last as long as the block. Raises ConfigurationError if the estimated cost is above the limit, RunError
    if the run fails, and RunInterrupted, which says what is kept, if a signal interrupts it.
    """
    options = options or RunOptions(state_folder=processor.context.state_folder)
    processor.forget_run()
    with _begin(processor, source, options) as run:
        stored = look_up(processor, source, run)
        _check_cost(processor, source, stored)
        asked = source.count if stored.taken is None else stored.taken.asked_count
        log_expected_work(processor, source, run, asked)
        with _recording(processor, run, stored), _progress(processor, source, stored):
            answers = _answer(processor, source, run, stored)
        yield AnsweredRows(answers, run.ledger.run_id, run.ledger.location)
        _finish(processor, run, stored)
        if stored.recorder is not None:
            stored.recorder.compact()


@contextmanager
def claim_run(
    processor: RowProcessor,
    parts: Mapping[str, str],
    run_id: str,
    count: int,
    folder: Path,
    options: RunOptions,
) -> Iterator[Run]:
    """Hold the run with an id for this process until the end of the block."""
    with open_run(processor.settings, processor.context, run_id, parts, count, folder, options) as run:
        try:
            yield run
        except KeyboardInterrupt as error:
            raise _interrupted(processor, error, run) from None


def _check_cost(processor: RowProcessor, source: RowSource, stored: StoredAnswers) -> None:
    """Raise ConfigurationError if what a run has to ask is estimated to cost more than its limit."""
    limit = processor.settings.max_cost_usd
    price = processor.expected_price()
    if limit is None or price is None:
        return
    size, count = PromptSize(), 0
    free = None if stored.taken is None else stored.taken.free
    for record in render_questions(processor, source):
        if free is None or not free[record.number]:
            size.add(record.prompt)
            count += 1
    expected = processor.expected_source(count)
    likely = check_cost(limit, processor.estimate(size), price, expected, count)
    processor.spending.expect(count, likely)


def parts_of_run(processor: RowProcessor, source: RowSource) -> dict[str, str]:
    """Return everything that can change an answer of a run over a source, part by part; it identifies the run."""
    schema, fingerprint = schema_identity(processor.settings.validation_schema), source.fingerprint()
    job_type = processor.context.job_type
    return run_parts(processor.settings, processor.template, processor.model_input, schema, fingerprint, job_type)


@contextmanager
def _begin(processor: RowProcessor, source: RowSource, options: RunOptions) -> Iterator[Run]:
    """Begin the run over a source, or continue it from its ledger."""
    context, settings = processor.context, processor.settings
    parts = parts_of_run(processor, source)
    run_id = run_id_of(parts) if settings.batch_resume else new_run_id(parts)
    with (
        work_folder(options.state_folder) as folder,
        claim_run(processor, parts, run_id, source.count, folder, options) as run,
    ):
        context.log.info("run_id=%s model=%s ledger=%s", run_id, processor.effective_model_id, run.ledger.location)
        kind = "-sample" if settings.takes_sample else ""  # the full run after it is no change of the sample
        run.ledger.log_changes(f"{context.job_type}{kind}{context.instance.suffix}", context.log)
        try:
            yield run
        except RunSubmitted as error:
            error.run_id, error.ledger = run_id, run.ledger.location
            raise


@contextmanager
def _progress(processor: RowProcessor, source: RowSource, stored: StoredAnswers) -> Iterator[None]:
    """Show progress until the end of the block, by part where the records have the numbers of rows."""
    parts = getattr(source, "parts", None)
    if parts is None or processor.settings.deduplicate_prompts or stored.taken is not None:
        parts = (("rows", source.count),)
    progress = processor.context.progress
    progress.begin(parts, lambda: processor.spending.usd)
    try:
        yield
    finally:
        progress.end()


@contextmanager
def _recording(processor: RowProcessor, run: Run, stored: StoredAnswers) -> Iterator[None]:
    """Keep the complete answers that come until the end of the block in the answer store, however the block ends.

    A marker tells other runs of the ledger, which has what the store does not have yet.
    """
    recorder = processor.recorder = stored.recorder
    patience = None
    try:
        if recorder is not None and not run.ledger.finished and stored.asks:
            recorder.open(run.ledger.absolute_location)
            run.ledger.journal.label = recorder.label
        yield
    except KeyboardInterrupt:
        patience = FLUSH_SECONDS
        raise
    finally:
        processor.recorder = None
        if recorder is not None:
            recorder.flush(patience)


def _answer(processor: RowProcessor, source: RowSource, run: Run, stored: StoredAnswers) -> SegmentStore:
    """Ask the model for every row of a source and return the answers' columns, stored in the run's folder."""
    store = SegmentStore(run.folder, processor.columns.arrow_schema)
    writer = BlockWriter(store, processor.columns)
    shared = processor.shared = shared_prompts(processor)
    progress = processor.context.progress
    processor.picker = RecordPicker(processor, source, stored)
    for block in _blocks(processor, source, run, stored):
        answers = _answers_of(processor, block, run)
        writer.write(block, answers)
        failed = sum(not answer.answered for answer in answers.values())
        progress.answered(block.start, block.stop - block.start, failed, block.earlier)
    writer.flush()
    processor.template.log_counts(processor.context.log, truncations=processor.settings.log_truncations)
    if missing := store.missing(shared.distinct if shared else source.count):
        raise RunError(f"{sum(map(len, missing))} rows have no answer: this is a defect of the step, report it")
    if shared is not None:
        copies = source.count - shared.distinct
        progress.answered(shared.distinct, copies, 0, copies)
    return _in_row_order(store, shared, stored, run)


def _blocks(processor: RowProcessor, source: RowSource, run: Run, stored: StoredAnswers) -> Iterator[AnswerBlock]:
    """Yield the blocks of all records: those that are asked, and then those whose answers are stored."""
    rendered = render_records(processor.template, source, processor.prompt_size, processor.shared)
    records = stored.select(rendered)
    taken = stored.taken
    if taken is None or taken.asked_count:
        if taken is not None:
            run = replace(run, count=taken.asked_count, taken=int(taken.mask.sum()))
        with closing(processor.invoke_records(records, run)) as blocks:
            yield from blocks
    else:
        for _ in records:  # renders the prompts, which are counted
            pass
    if taken is not None:
        yield take_answers(processor, source, run, collect_jobs(processor, taken))


def _in_row_order(store: SegmentStore, shared: SharedPrompts | None, stored: StoredAnswers, run: Run) -> SegmentStore:
    """Return the answers in the order of the rows, each as often as rows share it."""
    numbers = stored.taken.record_numbers() if stored.taken else None
    if shared is not None:
        return shared.spread(store, run.folder, numbers)
    return store if numbers is None else reorder(store, numbers, run.folder)


def _answers_of(processor: RowProcessor, block: AnswerBlock, run: Run) -> dict[int, Answer]:
    """Return the answers to a block's rows by number, except those that a job's collector keeps on disk.

    Records whose answer did not validate are asked again, as often as the settings say.
    """
    answers = dict(block.answers.replaceable) if block.answers else {}
    answers.update((output.number, _parse(processor, output)) for output in block.outputs)
    for attempt in range(1, processor.settings.validation_retries + 1):
        failed = (number for number, answer in answers.items() if is_worth_repeating(answer))
        again = sorted(number for number in failed if block.tried.get(number, 0) < attempt)
        if not again:
            continue
        purpose = validation_purpose(attempt)
        for output in processor.realtime.ask_each(block.records(again), run.ledger.journal, purpose):
            repeated = _parse(processor, replace(output, salvaged_from="validation"), attempt)
            answers[output.number] = merge_answers(answers[output.number], repeated)
    return answers


def _parse(processor: RowProcessor, output: RecordOutput, attempt: int = 0) -> Answer:
    """Return the answer in an output after counting its tokens as spent, and keep it in the answer store."""
    answer = processor.parser.parse(output)
    processor.spending.add(answer)
    if processor.recorder is not None and isinstance(output, ModelOutput) and is_complete(answer.stop_reason):
        processor.recorder.add(output, answer.stop_reason, (answer.input_tokens, answer.output_tokens), attempt)
    return answer


def _finish(processor: RowProcessor, run: Run, stored: StoredAnswers) -> None:
    """Close a run whose outputs are written; one that stopped at its cost limit stays open for a later start.

    The markers are closed first, which may take a while: a start after the end of the run asks no failed row again.
    """
    if processor.spending.stopped is None:
        if stored.recorder is not None:
            run.ledger.fence.check()  # the marker may be that of another process by now
            stored.recorder.close()
        run.ledger.finish()
    else:
        processor.context.log.warning(
            "run_id=%s stopped before its end: %s", run.ledger.run_id, processor.spending.stopped
        )


def _interrupted(processor: RowProcessor, error: KeyboardInterrupt, run: Run) -> RunInterrupted:
    """Return an interrupt that says what it leaves behind; a nested run has reported its own jobs already."""
    nested = f"{error.left}; " if isinstance(error, RunInterrupted) else ""
    settings = processor.settings
    lasts = settings.batch_input_s3_path or run.options.state_folder
    kept_in = run.ledger.location if lasts and settings.batch_resume else None
    left = describe_interrupted(run.ledger.jobs, run.stopped_jobs, kept_in=kept_in, resume=settings.batch_resume)
    return RunInterrupted(str(error), nested + left, kept_in)
