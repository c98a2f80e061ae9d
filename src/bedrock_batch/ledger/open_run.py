"""Opening a run: its identity, the store of its ledger, and a folder for its files."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bedrock_batch.environment.context import RunContext, make_storage
from bedrock_batch.environment.private_files import make_private_folder, private_opener
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.local_store import LocalLedgerStore
from bedrock_batch.ledger.run import Run, RunOptions
from bedrock_batch.ledger.s3_store import S3LedgerStore
from bedrock_batch.ledger.store import DOCUMENT, LedgerStore
from bedrock_batch.ledger.takeover import open_ledger
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.prompts.template import PromptTemplate
from bedrock_batch.text import digest

_WORK = "work-"
_LOCK = "lock"


def run_parts(
    settings: Settings, template: PromptTemplate, asked: ModelInput, schema: str, inputs: str, job_type: str
) -> dict[str, str]:
    """Return everything that can change an answer, part by part.

    `schema` is the text that stands for the schema, and `inputs` the digest of all rows.
    """
    texts: list[Any] = [template.user_prompt_template, template.system_prompt, *template.placeholders]
    texts += [template.rules.identity()] if template.rules else []
    limits = [settings.truncation_enabled, settings.max_input_field_length, settings.validation_retries]
    limits += [settings.deduplicate_prompts]  # it decides which record has which number
    return {
        "inputs": inputs,
        "template": digest(json.dumps(texts), 32),
        "schema": digest(schema, 32),
        "model": f"{asked.model_id} {settings.fallback_model_id}".strip(),
        "parameters": digest(json.dumps([asked.head, asked.tail, *limits]), 32),
        "job_type": job_type,
    }


def ledger_store(settings: Settings, context: RunContext, run_id: str, folder: Path) -> LedgerStore:
    """Return the store of the run's ledger: in S3 if there is an S3 path, otherwise in `folder`."""
    if settings.batch_input_s3_path:
        return S3LedgerStore(make_storage(settings, context), settings.batch_input_s3_path, run_id, context.sleep)
    return LocalLedgerStore(folder, run_id)


def store_at(location: str, settings: Settings, context: RunContext) -> LedgerStore:
    """Return the store of the ledger of another run, by the location of its document, for reading.

    RunError if the location is none of a ledger.
    """
    head, _, document = location.rpartition("/")
    root, _, run_id = head.rpartition("/")
    if document != DOCUMENT or not root or not run_id:
        raise RunError(f"{location} is no location of a ledger")
    if location.lower().startswith("s3://"):
        return S3LedgerStore(make_storage(settings, context), root, run_id, context.sleep)
    return LocalLedgerStore(Path(root), run_id)


@contextmanager
def work_folder(state_folder: Path | None) -> Iterator[Path]:
    """Make a folder for the files of a run until the end of the block, and remove folders of killed processes.

    They hold prompts and answers. A lock on a file in the folder shows that its process is alive.
    """
    if state_folder is not None:
        make_private_folder(state_folder)
        for left in state_folder.glob(f"{_WORK}*"):
            _remove_abandoned(left)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=state_folder) as folder, _lock(Path(folder)):
        yield Path(folder)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with open(folder / _LOCK, "wb", opener=private_opener) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _remove_abandoned(folder: Path) -> None:
    try:
        with _lock(folder):
            shutil.rmtree(folder)
    except OSError:  # in use, or gone meanwhile
        return


@contextmanager
def open_run(
    settings: Settings,
    context: RunContext,
    run_id: str,
    parts: Mapping[str, str],
    count: int,
    folder: Path,
    options: RunOptions,
) -> Iterator[Run]:
    """Hold the run with an id over `count` rows for this process until the end of the block."""
    store = ledger_store(settings, context, run_id, options.state_folder or folder)
    lease = settings.batch_lease_seconds
    with open_ledger(
        store,
        run_id=run_id,
        parts=parts,
        folder=folder,
        log=context.log,
        lease=lease,
        sleep=context.sleep,
        clocks=(context.clock, lambda: context.now().timestamp()),
    ) as ledger:
        yield Run(count, folder, ledger, options)
