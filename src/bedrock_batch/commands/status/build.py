"""Builds the status of a run as data, from its ledger and from what the service says now; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.invocation_jobs import JobState, get_job
from bedrock_batch.aws.s3 import join_uri
from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.batch.jobs.download import MANIFEST_NAME, parse_manifest
from bedrock_batch.batch.jobs.job import ended_state
from bedrock_batch.commands.preparation import StepRequest, prepare_run
from bedrock_batch.dataset.row_source import RowSource
from bedrock_batch.dataset.splits import SplitRows
from bedrock_batch.environment.context import make_storage
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.document import JobEntry, LedgerDocument, parse_document
from bedrock_batch.ledger.identity import run_id_of
from bedrock_batch.ledger.journal import labelled_answers
from bedrock_batch.ledger.open_run import ledger_store, store_at
from bedrock_batch.ledger.run import RunOptions
from bedrock_batch.ledger.store import LedgerStore
from bedrock_batch.models.model_output import read_output
from bedrock_batch.realtime.expected_work import measure_beginning
from bedrock_batch.realtime.reuse.answer_lookup import find_segments, open_store
from bedrock_batch.realtime.reuse.taken_questions import count_taken
from bedrock_batch.realtime.run_rows import parts_of_run

STATUS_VERSION = 1


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job in a ledger, with what the service says of it now, or why it does not say; `run_id` is that of its ledger.

    `usd` is what an ended job has cost by its manifest, None if that is not known.
    """

    run_id: str
    entry: JobEntry
    live: JobState | None = None
    unknown: str | None = None
    usd: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.entry.has_ended or (self.live is not None and self.live.terminal)

    @property
    def is_running(self) -> bool:
        return self.entry.state == "created" and not self.has_ended

    @property
    def processed(self) -> int:
        """How many of its records the service has processed, as far as it says so."""
        known = self.live.processed_records if self.live is not None else None
        return min(self.entry.records, known or 0)


def status_step(request: StepRequest) -> dict[str, Any]:
    """Return the status of the run that a start would begin or continue, as JSON values; nothing is written.

    ConfigurationError names every problem that would keep a start from continuing it. RunError if its ledger cannot be
    read.
    """
    prepared = prepare_run(request)
    processor, source = prepared.processor, SplitRows(prepared.splits)
    parts = parts_of_run(processor, source)
    run_id = run_id_of(parts)
    settings, context = processor.settings, processor.context
    store = ledger_store(settings, context, run_id, context.state_folder or Path())
    found = store.read() if settings.batch_resume else None
    document = parse_document(found[0], store.location) if found else None
    ledgers = [(document, store)] if document else []
    ledgers += _nested(processor, run_id) if document else []
    jobs = [_look_at(processor, each.run_id, entry) for each, _ in ledgers for entry in each.jobs]
    return _describe(processor, source, (run_id, document, store), jobs, [ledger for _, ledger in ledgers])


def _nested(processor: BedrockBatchProcessor, run_id: str) -> list[tuple[LedgerDocument, LedgerStore]]:
    """Return the ledgers of the runs within a run, which ask in another way; the answer store has a marker of each."""
    context, settings = processor.context, processor.settings
    answers = open_store(settings, context, RunOptions(state_folder=context.state_folder))
    found: list[tuple[LedgerDocument, LedgerStore]] = []
    if answers is None:
        return found
    with suppress(RunError):  # what cannot be read is left out
        find_segments(processor, answers)  # lists the markers, too
        markers = [marker for _, _, marker in answers.markers() if marker is not None and marker.run_id == run_id]
        for location in sorted({marker.ledger for marker in markers}):
            store = store_at(location, settings, context)
            document = parse_document(stored[0], location) if (stored := store.read()) else None
            if document is not None and document.run_id != run_id:
                found.append((document, store))
    return found


def _look_at(processor: BedrockBatchProcessor, run_id: str, entry: JobEntry) -> SeenJob:
    """Return a job with its present state, which the service says for one that runs, and with its cost if it ended."""
    if entry.arn is None:
        return SeenJob(run_id, entry)
    if entry.has_ended:
        live = ended_state(entry)
    else:
        try:
            live = get_job(processor.context.clients.bedrock, entry.arn)
        except AwsError as error:
            return SeenJob(run_id, entry, unknown=str(error))
    return SeenJob(run_id, entry, live, usd=_cost_of(processor, live) if live.terminal else None)


def _cost_of(processor: BedrockBatchProcessor, live: JobState) -> float | None:
    """Return what an ended job has cost by the token counts in its manifest, None if they or the price are unknown."""
    price = processor.spending.book.find(processor.effective_model_id)
    try:
        storage = make_storage(processor.settings, processor.context)
        manifest = parse_manifest(storage.get_bytes(join_uri(live.results_uri, MANIFEST_NAME)))
    except AwsError:
        return None
    if price is None or manifest is None or manifest.input_token_count is None or manifest.output_token_count is None:
        return None
    return price.cost("batch", manifest.input_token_count, manifest.output_token_count)


def _describe(
    processor: BedrockBatchProcessor,
    source: RowSource,
    run: tuple[str, LedgerDocument | None, LedgerStore],
    jobs: Sequence[SeenJob],
    ledgers: Sequence[LedgerStore],
) -> dict[str, Any]:
    run_id, document, store = run
    records = source.count - _taken(document, store)
    own = [job for job in jobs if job.run_id == run_id]
    begun = sum(job.entry.stop - job.entry.start for job in own if job.entry.has_begun)
    waiting = 0 if document is None or document.mode != "batch" or document.finished else max(0, records - begun)
    shares = processor.settings.deduplicate_prompts
    state = _state(document, jobs, waiting, shares=shares)
    return {
        "status_version": STATUS_VERSION,
        "run_id": run_id,
        "ledger": store.location if document else None,
        "state": state,
        "has_owner": document is not None and document.owner is not None,
        "mode": document.mode if document else None,
        "rows": source.count,
        "reused_records": source.count - records,
        "jobs": [_describe_job(job) for job in jobs],
        "processed_records": sum(job.processed for job in own),
        "waiting_records": waiting,
        "cost": _describe_cost(processor, source, jobs, ledgers),
        "next_start": _next_start(processor, jobs, 0 if shares and state == "ended" else waiting),
    }


def _taken(document: LedgerDocument | None, store: LedgerStore) -> int:
    """Return how many questions a run has taken from the answer store."""
    if document is None or document.taken is None:
        return 0
    return count_taken(store.read_file(document.taken) or b"")


def _state(document: LedgerDocument | None, jobs: Sequence[SeenJob], waiting: int, *, shares: bool) -> str:
    """Return the state; equal prompts that share a record (`shares`) keep the number of records open."""
    if document is None:
        return "not_begun"
    if document.finished:
        return "finished"
    if any(job.is_running for job in jobs):
        return "running"
    left = any(not job.has_ended for job in jobs) or (waiting and not shares)
    return "incomplete" if left or document.mode != "batch" else "ended"


def _describe_job(job: SeenJob) -> dict[str, Any]:
    live = job.live
    return {
        "run_id": job.run_id,
        "name": job.entry.name,
        "arn": job.entry.arn,
        "progress": job.entry.state,
        "status": live.status if live else "NotCreated" if job.entry.arn is None else "unknown",
        "message": (live.message if live else job.unknown or job.entry.message) or None,
        "records": job.entry.records,
        "processed_records": job.processed,
        "submit_time": live.submit_time.isoformat() if live and live.submit_time else job.entry.submit_time,
        "end_time": live.end_time.isoformat() if live and live.end_time else job.entry.end_time,
        "usd": job.usd,
    }


def _describe_cost(
    processor: BedrockBatchProcessor, source: RowSource, jobs: Sequence[SeenJob], ledgers: Sequence[LedgerStore]
) -> dict[str, Any]:
    """Return the cost so far: of ended jobs by their manifests, of the others estimated, of kept real-time answers."""
    known = [job for job in jobs if job.usd is not None]
    unknown = sum(job.processed for job in jobs if job.usd is None)
    ended = sum(job.usd or 0.0 for job in known)
    records = sum(job.processed for job in known)
    each = ended / records if records else _estimate_each(processor, source) if unknown else 0.0
    realtime = sum(_realtime_cost(processor, ledger) for ledger in ledgers)
    estimated = None if each is None else round(each * unknown, 6)
    return {
        "currency": "USD",
        "ended_jobs_usd": round(ended, 6),
        "estimated_usd": estimated,
        "realtime_usd": round(realtime, 6),
        "so_far_usd": None if estimated is None else round(ended + estimated + realtime, 6),
        "limit_usd": processor.settings.max_cost_usd,
    }


def _estimate_each(processor: BedrockBatchProcessor, source: RowSource) -> float | None:
    """Return the likely cost of a record in batch, None without a price."""
    price = processor.spending.book.find(processor.effective_model_id)
    size = measure_beginning(processor, source).size
    return processor.estimate(size).cost(price, "batch").likely / max(1, size.records) if price else None


def _realtime_cost(processor: BedrockBatchProcessor, ledger: LedgerStore) -> float:
    total = 0.0
    for answer in labelled_answers(ledger):
        content = read_output(answer.output.body)
        price = processor.spending.book.find(answer.output.model_id)
        if price is not None:
            total += price.cost("realtime", content.input_tokens or 0, content.output_tokens or 0, request=True)
    return total


def _next_start(processor: BedrockBatchProcessor, jobs: Sequence[SeenJob], waiting: int) -> dict[str, Any]:
    """Return what a start would do now: read ended jobs, submit records, and end or wait."""
    settings = processor.settings
    running = sum(job.is_running for job in jobs)
    unread = [job for job in jobs if job.has_ended and job.entry.state not in ("collected", "refused")]
    slots = max(0, settings.max_concurrent_batch_jobs - running)
    submits = waiting if slots else 0
    leaves = bool(running or submits)
    return {
        "reads_jobs": len(unread),
        "reads_records": sum(job.entry.records for job in unread),
        "running_jobs": running,
        "submits_records_at_most": submits,
        "free_slots": slots,
        "ends_as": "submitted" if leaves and not settings.batch_wait else "finished",
        "waits": leaves and settings.batch_wait,
    }
