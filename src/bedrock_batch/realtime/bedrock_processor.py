"""BedrockProcessor: asks a model for every row of a data set in real time, one record at a time."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bedrock_batch.answer_store.questions import Digests
from bedrock_batch.answer_store.recorder import AnswerRecorder
from bedrock_batch.answer_store.store import AnswerStore, Positions
from bedrock_batch.answers.blocks import AnswerBlock
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.deduplication import SharedPrompts
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import response_schema_of
from bedrock_batch.answers.segments import SegmentCursor
from bedrock_batch.costs.durations import answer_seconds
from bedrock_batch.costs.estimate import Estimate, PromptSize, answer_tokens, estimate_run
from bedrock_batch.costs.limit import price_book
from bedrock_batch.costs.prices import Price
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.dataset.row_source import TableSource
from bedrock_batch.environment.context import LOGGER_NAME, RunContext, make_clients, make_storage
from bedrock_batch.environment.references import column_map_of, resolve_texts
from bedrock_batch.environment.settings import Settings, alias_notes_of_mapping, settings_from_mapping
from bedrock_batch.errors import InputError
from bedrock_batch.families import hides_model
from bedrock_batch.ledger.run import Run, RunOptions
from bedrock_batch.models.model_input import ModelInput, effective_model_id
from bedrock_batch.models.negotiation import ModelNegotiator, NegotiatedModel
from bedrock_batch.progress import LineProgress
from bedrock_batch.prompts.template import describe_nearest, template_of
from bedrock_batch.realtime.open_runs import JobsElsewhere, OpenRun
from bedrock_batch.realtime.public_attributes import PublicAttributes
from bedrock_batch.realtime.record_methods import RecordMethods
from bedrock_batch.realtime.requests.invocation import RealtimeInvoker
from bedrock_batch.realtime.row_processor import Picker
from bedrock_batch.realtime.run_rows import run_rows
from bedrock_batch.records import Record, RecordOutput, Source

if TYPE_CHECKING:
    import pandas as pd

# The hidden folder that keeps ledgers where there is no S3 path.
STATE_FOLDER = ".bedrock-batch"


class BedrockProcessor(RecordMethods, PublicAttributes):
    """Asks a model for every row in real time.

    `config` is a mapping with the keys of `Settings`, or the settings themselves. `context` holds clients, clock,
    folders and log; its clients use botocore's default credentials, region and endpoints unless it is given.
    ConfigurationError and InputError report every problem before any call to AWS.

    Settings, schema, template, parser and columns last as long as the processor. `spending`, `prompt_size`, `shared`,
    `measured`, the estimate from answers of its canary, and what the models have refused belong to the last run. The
    state of a job lives in the job and in the ledger.
    """

    def __init__(self, config: Mapping[str, Any] | Settings, context: RunContext | None = None) -> None:
        settings = config if isinstance(config, Settings) else settings_from_mapping(config)
        self.context = context or _own_context(settings)
        if not isinstance(config, Settings):
            for note in alias_notes_of_mapping(config):
                self.context.log.info("%s", note)
        storage = partial(make_storage, settings, self.context)
        self.settings = resolve_texts(settings, self.context.processing_dir, lambda uri: storage().get_bytes(uri))
        self.schema = response_schema_of(self.settings)
        self.template = template_of(self.settings, self._wire_schema)
        self.parser = AnswerParser(self.schema)
        self.columns = AnswerColumns(self.schema, self.settings.output_column_prefix, column_map_of(self.settings))
        self.effective_model_id = effective_model_id(self.settings)
        self.spending = CostTracker(price_book(self.settings, self.effective_model_id), self.settings.max_cost_usd)
        self.prompt_size = PromptSize()
        self.shared: SharedPrompts | None = None
        self.recorder: AnswerRecorder | None = None
        self.picker: Picker | None = None
        self.measured: Estimate | None = None
        if not any(map(hides_model, (self.settings.primary_model_id, self.settings.fallback_model_id))):
            _ = self.realtime  # reports at once if the settings do not fit the models

    @cached_property
    def primary_model(self) -> NegotiatedModel:
        """How the primary model is asked; made at first use, since a profile's model may have to be looked up."""
        return self._negotiator.primary(self.effective_model_id)

    @cached_property
    def realtime(self) -> RealtimeInvoker:
        """Asks the models in real time."""
        # `process_batch_inference` hands its tracker on, so the tracker is looked up at each call.
        return RealtimeInvoker(
            self.settings,
            self.context,
            self.primary_model,
            self.fallback_model,
            lambda: self.spending.refusal(),
            self.template.beginning,
        )

    @cached_property
    def fallback_model(self) -> NegotiatedModel | None:
        """How the fallback model is asked, None where there is none."""
        return self._negotiator.fallback()

    @property
    def _negotiator(self) -> ModelNegotiator:
        return ModelNegotiator(self.settings, self.context, self.template.system_prompt, self._wire_schema)

    @property
    def _wire_schema(self) -> dict[str, Any] | None:
        return self.schema.wire_schema() if self.schema else None

    @property
    def model_input(self) -> ModelInput:
        """How the primary model is asked at present."""
        return self.primary_model.current

    def expected_price(self) -> Price | None:
        """Return the price of the primary model, in real time that of the expected service tier; None if unknown."""
        price = self.spending.book.find(self.effective_model_id)
        tier = self.realtime.tiers.of(self.primary_model)
        return price and price.in_tier(tier or "default")

    def per_second(self) -> float:
        """Return how many records a second real time answers, as measured or, before the first answer, as expected.

        0 for a model that cannot be asked in real time.
        """
        if not self.primary_model.capabilities.realtime:
            return 0.0
        return self.realtime.per_second(self._expected_seconds)

    @cached_property
    def _expected_seconds(self) -> float:
        return answer_seconds(answer_tokens(self._wire_schema, self.model_input.max_tokens)).likely

    def forget_run(self) -> None:
        """Forget what an earlier run has counted and what the models refused in it."""
        self.spending.reset()
        self.prompt_size = PromptSize()
        self.realtime.tiers.reset()
        self.measured = None
        self.realtime.caching.reset()
        for model in (self.primary_model, self.fallback_model):
            if model is not None:
                model.reset()

    def invoke_record(self, record: Record) -> RecordOutput:
        """Return the output of the model for one record, or the error that explains why there is none."""
        return self.realtime.ask(record)

    def invoke_records(self, records: Iterable[Record], run: Run) -> Generator[AnswerBlock, None, None]:
        """Yield the outputs of a run's records in blocks that together cover each row once, in any order.

        This method sends one request per record and makes blocks of `batch_size` rows; a subclass may override it with
        a bulk operation.
        """
        asked: dict[int, Record] = {}
        journal, size = run.ledger.journal, run.options.batch_size or self.settings.batch_size
        with closing(self.realtime.ask_each(_remember(records, asked), journal)) as outputs:
            while block := list(islice(outputs, size)):
                kept = {output.number: asked.pop(output.number) for output in block}
                start = block[0].number
                earlier = sum(journal.knows(number, "first") for number in kept)
                yield AnswerBlock(start, start + len(block), block, _picker(kept), earlier=earlier)

    def jobs_elsewhere(
        self,
        store: AnswerStore,  # noqa: ARG002 - these are for a subclass that knows of jobs
        runs: Iterable[OpenRun],  # noqa: ARG002
        digests: Digests,  # noqa: ARG002
        wanted: Positions,  # noqa: ARG002
        folder: Path,  # noqa: ARG002
    ) -> JobsElsewhere | None:
        """Return None: a processor without batch inference does not wait for jobs."""
        return None

    def estimate(self, size: PromptSize) -> Estimate:
        """Return an estimate of the tokens of a run over prompts of that size."""
        return estimate_run(size, self.model_input, self._wire_schema, self.model_input.max_tokens)

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
        from bedrock_batch.dataset.frames import append_columns, frame_to_table

        table = frame_to_table(df)
        self.check_columns(table.column_names, input_filename or "the frame")
        state_folder = self.context.state_folder
        if save_intermediate and output_dir is not None and state_folder is None:
            state_folder = Path(output_dir) / STATE_FOLDER
        with run_rows(self, TableSource(table), RunOptions(batch_size, state_folder)) as rows:
            answers = SegmentCursor(rows.answers).take(table.num_rows)
            return append_columns(df, self.public_columns(answers))

    def check_columns(self, columns: Sequence[str], place: str) -> None:
        """Raise InputError for a column that an output column would hide; warn of placeholders without a column.

        With `missing_columns=error`, InputError for these as well.
        """
        self.columns.check_names(columns, place, metadata=self.settings.output_metadata)
        missing = self.template.missing(columns)
        if missing and self.settings.missing_columns == "error":
            raise InputError(
                f"{place} has no column {', '.join(map(repr, missing))}, and BEDROCK_MISSING_COLUMNS=error allows no "
                f"prompt that reads [Missing: {missing[0]}]: {describe_nearest(missing, columns)}"
            )
        self.template.warn_of_columns(columns, place, self.context.log)

    def public_columns(self, answers: pa.Table) -> pa.Table:
        """Return the columns of the output files, under the names that they have there."""
        return self.columns.public(answers, metadata=self.settings.output_metadata)

    def expected_source(self, count: int) -> Source:  # noqa: ARG002 - a subclass decides by it
        """Return how most of `count` records will be asked."""
        return "realtime"

    def expected_jobs(self, count: int, line_bytes: int) -> int:  # noqa: ARG002 - a subclass counts by them
        """Return how many jobs `count` records need whose lines in job files have so many bytes together."""
        return 0


def _own_context(settings: Settings) -> RunContext:
    """Return the context of a processor in a notebook: botocore's default credentials, and progress in the log."""
    return RunContext(make_clients(settings, {}), progress=LineProgress(logging.getLogger(LOGGER_NAME)))


def _remember(records: Iterable[Record], asked: dict[int, Record]) -> Iterator[Record]:
    for record in records:
        asked[record.number] = record
        yield record


def _picker(kept: Mapping[int, Record]) -> Any:
    def pick(numbers: Collection[int]) -> list[Record]:
        return [kept[number] for number in numbers]

    return pick
