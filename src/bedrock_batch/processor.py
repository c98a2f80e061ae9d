"""BedrockProcessor: rows become prompts, prompts answers, answers columns; here one record at a time."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import Self

from bedrock_batch.config import Settings, settings_from_mapping
from bedrock_batch.context import RunContext, make_clients, make_storage
from bedrock_batch.cost_limit import check_cost, price_book
from bedrock_batch.errors import InputError, RunError
from bedrock_batch.estimate import Estimate, PromptMeter, estimate_run
from bedrock_batch.families import hides_model
from bedrock_batch.ladder import ModelLadder
from bedrock_batch.ladders import LadderMaker
from bedrock_batch.ledger.identity import new_run_id, run_id_of
from bedrock_batch.ledger.opening import open_run, run_parts, work_folder
from bedrock_batch.ledger.run import Run
from bedrock_batch.model_input import ModelInput, effective_model_id
from bedrock_batch.outcome_columns import OutcomeColumns
from bedrock_batch.output_blocks import BlockWriter, OutputBlock
from bedrock_batch.realtime import RealTimeModel
from bedrock_batch.record_steps import RecordSteps
from bedrock_batch.records import (
    ModelInvocationOutput,
    ModelInvocationRecord,
    Outcome,
    Source,
)
from bedrock_batch.references import resolve_texts
from bedrock_batch.repeats import combine, is_worth_repeating
from bedrock_batch.responses import ResponseParser
from bedrock_batch.segments import SegmentCursor, SegmentStore
from bedrock_batch.sharing import SharedPrompts
from bedrock_batch.sources import RowSource, TableSource, text_columns
from bedrock_batch.spending import Spending
from bedrock_batch.templates import response_schema_of, template_of
from bedrock_batch.text import nearest

if TYPE_CHECKING:
    import pandas as pd

# The hidden folder that keeps ledgers where there is no S3 path.
STATE_FOLDER = ".bedrock-batch"


class BedrockProcessor(RecordSteps):
    """Asks a model for every row in real time.

    `config` is a mapping with the keys of `config.Settings` or the settings themselves; `context` is what the run is
    given from outside, by default botocore's ordinary credentials, region and endpoints. ConfigurationError and
    InputError tell what is wrong before any call to AWS.
    """

    def __init__(self, config: Mapping[str, Any] | Settings, context: RunContext | None = None) -> None:
        settings = config if isinstance(config, Settings) else settings_from_mapping(config)
        self.context = context or RunContext(make_clients(settings, {}))
        storage = partial(make_storage, settings, self.context)
        self.settings = resolve_texts(settings, self.context.processing_dir, lambda uri: storage().get_bytes(uri))
        self.schema = response_schema_of(self.settings)
        self.template = template_of(self.settings)
        self.parser = ResponseParser(self.schema)
        self.columns = OutcomeColumns(self.schema, self.settings.output_column_prefix)
        self.effective_model_id = effective_model_id(self.settings)
        self.spending = Spending(price_book(self.settings, self.effective_model_id), self.settings.max_cost_usd)
        self.prompt_meter = PromptMeter()
        self.shared: SharedPrompts | None = None
        if not any(map(hides_model, (self.settings.primary_model_id, self.settings.fallback_model_id))):
            _ = self.realtime  # what is wrong with the way in which the models are asked is said at once

    @cached_property
    def ladder(self) -> ModelLadder:
        """How the primary model is asked; made when first needed, since a profile's model may have to be found."""
        return self._ladders.primary(self.effective_model_id)

    @cached_property
    def realtime(self) -> RealTimeModel:
        """The models as they are asked in real time."""
        refusal = self.spending.refusal
        return RealTimeModel(self.settings, self.context, self.ladder, self._ladders.fallback(), refusal)

    @property
    def _ladders(self) -> LadderMaker:
        schema = self.schema.wire_schema() if self.schema else None
        return LadderMaker(self.settings, self.context, self.template.system_prompt, schema)

    @property
    def model_input(self) -> ModelInput:
        """How the primary model is asked at present."""
        return self.ladder.current

    def model_report(self) -> dict[str, Any]:
        """Return how the primary model was asked in the last run, and what it made of that."""
        asked = self.model_input
        return {
            "model_id": asked.model_id,
            "family": self.ladder.capabilities.family,
            "api": asked.api,
            "structured_output": asked.structure,
            "notes": list(asked.notes),
            "refusals": list(self.ladder.refusals),
        }

    def invoke_record(self, record: ModelInvocationRecord) -> ModelInvocationOutput:
        """Return the answer of the model to one record, or the reason why there is none."""
        return self.realtime.ask(record)

    def invoke_records(
        self,
        records: Iterable[ModelInvocationRecord],
        run: Run,
    ) -> Generator[OutputBlock, None, None]:
        """Yield the outputs of a run's records in blocks that cover each row once; blocks may come in any order.

        Here the records are asked one by one, in blocks of `batch_size`; a subclass may override this with a bulk
        operation.
        """
        asked: dict[int, ModelInvocationRecord] = {}
        with closing(self.realtime.ask_each(_remember(records, asked), run.ledger.journal)) as outputs:
            while block := list(islice(outputs, self.settings.batch_size)):
                kept = {output.number: asked.pop(output.number) for output in block}
                start = block[0].number
                yield OutputBlock(start, start + len(block), block, _picker(kept))

    def records(self, source: RowSource, shared: SharedPrompts | None = None) -> Iterator[ModelInvocationRecord]:
        """Yield a record with its rendered prompt for each row of a source, or for each prompt that is new to `shared`.

        Records are numbered from 0 as they come.
        """
        number = 0
        for batch in source.batches():
            for prompt in self.template.render_rows(text_columns(batch, self.template.placeholders), batch.num_rows):
                if shared is not None and not shared.is_new(prompt):
                    continue
                self.prompt_meter.add(prompt)
                yield ModelInvocationRecord(number, prompt)
                number += 1

    def finish(self, run: Run) -> None:
        """Close a run whose outputs are written; one that stopped at its cost limit stays open for a later start."""
        if self.spending.stopped is None:
            run.ledger.finish()
        else:
            self.context.log.warning("run_id=%s stopped before its end: %s", run.ledger.run_id, self.spending.stopped)

    def measure(self, source: RowSource) -> PromptMeter:
        """Render every prompt of a source, ask nothing, and return their size."""
        twin = copy(self)
        twin.template, twin.prompt_meter = template_of(self.settings), PromptMeter()
        for _ in twin.records(source, self._new_shared()):
            pass
        return twin.prompt_meter

    def estimate(self, meter: PromptMeter) -> Estimate:
        """Return what a run over prompts of that size takes."""
        schema = self.schema.wire_schema() if self.schema else None
        return estimate_run(meter, self.model_input, schema, self.model_input.max_tokens)

    @contextmanager
    def begin(self, source: RowSource) -> Iterator[Run]:
        """The run over a source, begun or continued from its ledger, until the end of the block."""
        self.spending.reset()
        self.ladder.reset()
        self.prompt_meter = PromptMeter()
        self._check_cost(source)
        context, settings = self.context, self.settings
        parts = run_parts(settings, self.template, self.model_input, source.fingerprint(), context.job_type)
        run_id = run_id_of(parts) if settings.batch_resume else new_run_id(parts)
        with work_folder(context) as folder, self._open(parts, run_id, source.count, folder) as run:
            context.log.info("run_id=%s model=%s ledger=%s", run_id, self.effective_model_id, run.ledger.where)
            run.ledger.tell_of_new_run(f"{context.job_type}{context.host.suffix}", context.log)
            context.progress.begin(self._progress_parts(source), lambda: self.spending.usd)
            try:
                yield run
            finally:
                context.progress.end()

    def _progress_parts(self, source: RowSource) -> tuple[tuple[str, int], ...]:
        """Return the names and sizes of the parts that progress is told by; shared prompts stand in no one part."""
        parts = getattr(source, "parts", None)
        return (("rows", source.count),) if parts is None or self.settings.deduplicate_prompts else parts

    @contextmanager
    def _open(self, parts: Mapping[str, str], run_id: str, count: int, folder: Path) -> Iterator[Run]:
        """The run with an id, claimed for this process until the end of the block."""
        with open_run(self.settings, self.context, run_id, parts, count, folder) as run:
            yield run

    def answer(self, source: RowSource, run: Run) -> SegmentStore:
        """Ask the model for every row of a source and return the answers' columns, stored in the run's folder."""
        store = SegmentStore(run.folder, self.columns.arrow_schema)
        writer = BlockWriter(store, self.columns)
        shared = self.shared = self._new_shared()
        with closing(self.invoke_records(self.records(source, shared), run)) as blocks:
            for block in blocks:
                outcomes = self._outcomes(block, run)
                writer.write(block, outcomes)
                failed = sum(not outcome.answered for outcome in outcomes.values())
                self.context.progress.answered(block.start, block.stop - block.start, failed)
        writer.flush()
        if missing := store.missing(shared.distinct if shared else source.count):
            raise RunError(f"{sum(map(len, missing))} rows have no outcome: this is a defect of the step, report it")
        if shared:
            self.context.progress.answered(shared.distinct, source.count - shared.distinct, 0)
        return shared.spread(store, run.folder) if shared else store

    def _new_shared(self) -> SharedPrompts | None:
        return SharedPrompts() if self.settings.deduplicate_prompts else None

    def _outcomes(self, block: OutputBlock, run: Run) -> dict[int, Outcome]:
        """Return what came of a block's rows, by number, but for what is settled in the answers of a job.

        Answers that did not validate are asked for again where that is set.
        """
        outcomes = dict(block.answers.opened) if block.answers else {}
        outcomes.update((output.number, self._outcome(output)) for output in block.outputs)
        for attempt in range(1, self.settings.validation_retries + 1):
            again = sorted(number for number, outcome in outcomes.items() if is_worth_repeating(outcome))
            if not again:
                break
            for output in self.realtime.ask_each(block.records(again), run.ledger.journal, f"validation-{attempt}"):
                repeated = self._outcome(replace(output, salvaged_from="validation"))
                outcomes[output.number] = combine(outcomes[output.number], repeated)
        return outcomes

    def _outcome(self, output: ModelInvocationOutput) -> Outcome:
        """Return what came of an output, its tokens counted as spent."""
        outcome = self.parser.parse(output)
        self.spending.add(outcome)
        return outcome

    def process_batch(
        self,
        df: pd.DataFrame,
        batch_size: int | None = None,
        save_intermediate: bool = True,
        output_dir: str | Path | None = None,
        input_filename: str | None = None,
    ) -> pd.DataFrame:
        """Return the frame with the answer columns added: the same rows, in the same order, under the same index.

        With `save_intermediate` progress is kept: in the ledger under the S3 path, or without one in the hidden folder
        `.bedrock-batch` of `output_dir`. A later call with the same frame and settings continues. `input_filename`
        names the frame in warnings.
        """
        from bedrock_batch.tables.frames import append_columns, frame_to_table

        other = batch_size not in (None, self.settings.batch_size)
        processor = self._with(batch_size=batch_size) if other else self
        if save_intermediate and output_dir is not None and self.context.state_folder is None:
            processor = copy(processor)
            processor.context = replace(self.context, state_folder=Path(output_dir) / STATE_FOLDER)
        table = frame_to_table(df)
        self.check_columns(table.column_names, input_filename or "the frame")
        source = TableSource(table)
        with processor.begin(source) as run:
            answers = SegmentCursor(processor.answer(source, run)).take(table.num_rows)
            self.finish(run)
            return append_columns(df, self.public_columns(answers))

    def check_columns(self, columns: Sequence[str], place: str) -> None:
        """Raise InputError for a column that an output column would hide; warn of placeholders without a column."""
        outputs = self.columns.public_names(self.settings.output_metadata)
        if taken := sorted(set(outputs).intersection(columns)):
            raise InputError(
                f"{place}: column {', '.join(taken)} is also the name of an output column: rename it, or set "
                "BEDROCK_OUTPUT_COLUMN_PREFIX to another prefix"
            )
        for name in self.template.missing(columns):
            guess = nearest(name, columns)
            self.context.log.warning(
                "file=%s has no column %r: its prompts read [Missing: %s]%s",
                place,
                name,
                name,
                f"; did you mean {guess!r}?" if guess else "",
            )

    def public_columns(self, answers: pa.Table) -> pa.Table:
        """Return the columns that the output files hold, under their names there."""
        return self.columns.public(answers, metadata=self.settings.output_metadata)

    def expected_source(self, count: int) -> Source:  # noqa: ARG002 - a subclass decides by it
        """Return how most of `count` records will be asked."""
        return "realtime"

    def _check_cost(self, source: RowSource) -> None:
        """Raise ConfigurationError where a run is estimated to cost more than it may."""
        limit, price = self.settings.max_cost_usd, self.spending.book.find(self.effective_model_id)
        if limit is not None and price is not None:
            estimate = self.estimate(self.measure(source))
            likely = check_cost(limit, estimate, price, self.expected_source(source.count), source.count)
            self.spending.expect(source.count, likely)

    def _with(self, **changes: Any) -> Self:
        """Return a processor that shares everything with this one but some settings."""
        changed = copy(self)
        changed.settings = replace(self.settings, **changes)
        return changed


def _remember(
    records: Iterable[ModelInvocationRecord], asked: dict[int, ModelInvocationRecord]
) -> Iterator[ModelInvocationRecord]:
    for record in records:
        asked[record.number] = record
        yield record


def _picker(kept: Mapping[int, ModelInvocationRecord]) -> Any:
    def pick(numbers: Collection[int]) -> list[ModelInvocationRecord]:
        return [kept[number] for number in numbers]

    return pick
