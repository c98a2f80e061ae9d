"""What a run over rows needs of the processor that answers them, and the records that it renders from the rows."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bedrock_batch.answer_store.questions import Digests
from bedrock_batch.answer_store.recorder import AnswerRecorder
from bedrock_batch.answer_store.store import AnswerStore, Positions
from bedrock_batch.answers.blocks import AnswerBlock
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.deduplication import SharedPrompts
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.costs.estimate import Estimate, PromptSize
from bedrock_batch.costs.prices import Price
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.dataset.row_source import RowSource, text_columns
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.ledger.run import Run
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.models.negotiation import NegotiatedModel
from bedrock_batch.prompts.template import PromptTemplate
from bedrock_batch.realtime.open_runs import JobsElsewhere, OpenRun
from bedrock_batch.realtime.requests.invocation import RealtimeInvoker
from bedrock_batch.records import Record, Source


@dataclass(slots=True)
class Picked:
    """Some of the records that a run asks, and the size of all their prompts, those of the others included.

    `questions` counts those whose answers the run takes from the answer store, too.
    """

    records: list[Record] = field(default_factory=list)
    size: PromptSize = field(default_factory=PromptSize)
    questions: int = 0


class Picker(Protocol):
    """Picks records of a run before the run asks them."""

    def count(self) -> int:
        """Return how many records the run asks."""
        ...

    def pick(self, numbers: Collection[int]) -> Picked:
        """Return the records with these numbers. All rows are read once, and the run's questions are known then."""
        ...

    def place_of(self, number: int) -> str:
        """Return where the row of a record is, or its id if several rows may share it."""
        ...


class RowProcessor(Protocol):
    """The part of a processor that a run uses."""

    settings: Settings
    context: RunContext
    template: PromptTemplate
    parser: AnswerParser
    columns: AnswerColumns
    effective_model_id: str
    spending: CostTracker
    prompt_size: PromptSize
    shared: SharedPrompts | None
    recorder: AnswerRecorder | None
    picker: Picker | None

    @property
    def primary_model(self) -> NegotiatedModel: ...
    @property
    def fallback_model(self) -> NegotiatedModel | None: ...
    @property
    def realtime(self) -> RealtimeInvoker: ...
    @property
    def model_input(self) -> ModelInput: ...
    def expected_price(self) -> Price | None: ...
    def forget_run(self) -> None: ...
    def jobs_elsewhere(
        self, store: AnswerStore, runs: Iterable[OpenRun], digests: Digests, wanted: Positions, folder: Path
    ) -> JobsElsewhere | None: ...
    def estimate(self, size: PromptSize) -> Estimate: ...
    def expected_source(self, count: int) -> Source: ...
    def expected_jobs(self, count: int, line_bytes: int) -> int: ...
    def invoke_records(self, records: Iterable[Record], run: Run) -> Generator[AnswerBlock, None, None]: ...


def render_records(
    template: PromptTemplate, source: RowSource, size: PromptSize, shared: SharedPrompts | None = None
) -> Iterator[Record]:
    """Yield a record, numbered from 0, for each row of a source; with `shared`, for each distinct prompt.

    `size` counts the prompts.
    """
    number = 0
    for batch in source.batches():
        prompts = template.render_rows(text_columns(batch, template.columns), batch.num_rows)
        if shared is not None:
            prompts = [*filter(shared.is_new, prompts)]
        size.add_all(prompts)
        for prompt in prompts:
            yield Record(number, prompt)
            number += 1


def render_questions(processor: RowProcessor, source: RowSource) -> Iterator[Record]:
    """Yield the records of a source as `render_records` does for a run, without counting anything."""
    return render_records(processor.template.fresh(), source, PromptSize(), shared_prompts(processor))


def shared_prompts(processor: RowProcessor) -> SharedPrompts | None:
    """Return what tells equal prompts of a run apart if they are to be asked once, else None."""
    return SharedPrompts() if processor.settings.deduplicate_prompts else None
