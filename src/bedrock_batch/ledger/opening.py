"""Opening a run: its identity out of settings and rows, the place of its ledger, a folder for its files."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext, make_storage
from bedrock_batch.ledger.book import open_ledger
from bedrock_batch.ledger.run import Run
from bedrock_batch.ledger.store import LedgerStore, LocalLedgerStore, S3LedgerStore
from bedrock_batch.model_input import ModelInput
from bedrock_batch.prompts import PromptTemplate
from bedrock_batch.text import digest

_WORK = "work-"
_LOCK = "lock"


def run_parts(
    settings: Settings, template: PromptTemplate, asked: ModelInput, inputs: str, job_type: str
) -> dict[str, str]:
    """Return everything that can change an answer, part by part; `inputs` is the digest of all rows."""
    texts = [template.user_prompt_template, template.system_prompt, *template.placeholders]
    limits = [settings.truncation_enabled, settings.max_input_field_length, settings.validation_retries]
    limits += [settings.deduplicate_prompts]  # it decides which record has which number
    return {
        "inputs": inputs,
        "template": digest(json.dumps(texts), 32),
        "schema": digest(settings.validation_schema, 32),
        "model": f"{asked.model_id} {settings.fallback_model_id}".strip(),
        "parameters": digest(json.dumps([asked.head, asked.tail, *limits]), 32),
        "job_type": job_type,
    }


def ledger_store(settings: Settings, context: RunContext, run_id: str, folder: Path) -> LedgerStore:
    """Return where the run's ledger is kept: in S3, else in the state folder, else only as long as `folder`."""
    if settings.batch_input_s3_path:
        return S3LedgerStore(make_storage(settings, context), settings.batch_input_s3_path, run_id, context.sleep)
    return LocalLedgerStore(context.state_folder or folder, run_id)


@contextmanager
def work_folder(context: RunContext) -> Iterator[Path]:
    """A folder for the files of a run, gone at the end of the block; folders of killed processes go at its beginning.

    They hold prompts and answers. A lock on a file of the folder tells whether its process lives.
    """
    if context.state_folder is not None:
        context.state_folder.mkdir(parents=True, exist_ok=True)
        for left in context.state_folder.glob(f"{_WORK}*"):
            _remove_abandoned(left)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=context.state_folder) as folder, _lock(Path(folder)):
        yield Path(folder)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / _LOCK).open("wb") as file:
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
    settings: Settings, context: RunContext, run_id: str, parts: Mapping[str, str], count: int, folder: Path
) -> Iterator[Run]:
    """The run with an id over `count` rows, claimed for this process until the end of the block."""
    store = ledger_store(settings, context, run_id, folder)
    lease = settings.batch_lease_seconds
    with open_ledger(
        store, run_id=run_id, parts=parts, folder=folder, log=context.log, lease=lease, sleep=context.sleep
    ) as ledger:
        yield Run(count, folder, ledger)
