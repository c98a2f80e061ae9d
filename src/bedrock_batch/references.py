"""Settings that hold a text or name a place where it lies: `file:PATH` in the processing directory, or `s3://...`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bedrock_batch.config import REFERENCE_PREFIXES, Settings
from bedrock_batch.container import check_inside
from bedrock_batch.errors import BedrockBatchError, ConfigurationError, InputError

BYTE_LIMIT = 10_000_000
_FIELDS = ("user_prompt_template", "system_prompt", "input_placeholders", "validation_schema")

ReadObject = Callable[[str], bytes]


def resolve_texts(settings: Settings, root: Path | None, read_object: ReadObject) -> Settings:
    """Return settings whose template and schema are texts; ConfigurationError names each reference that leads nowhere.

    `root` is the processing directory, None where there is none; `read_object` returns the bytes of an S3 object.
    """
    texts: dict[str, str] = {}
    problems: list[str] = []
    for name in _FIELDS:
        given = getattr(settings, name)
        if given.strip().startswith(REFERENCE_PREFIXES):
            try:
                texts[name] = _read(given.strip(), root, read_object)
            except BedrockBatchError as error:
                problems.append(f"BEDROCK_{name.upper()}={given.strip()}: {error}")
    if problems:
        raise ConfigurationError(problems)
    return replace(settings, **texts)  # type: ignore[arg-type]  # the fields above are texts


def _read(reference: str, root: Path | None, read_object: ReadObject) -> str:
    data = read_object(reference) if reference.startswith("s3://") else _read_file(reference, root)
    if len(data) > BYTE_LIMIT:
        raise InputError(f"{len(data)} bytes are more than a template or schema may have ({BYTE_LIMIT})")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})") from None


def _read_file(reference: str, root: Path | None) -> bytes:
    if root is None:
        raise InputError("file: names a file of the processing directory, and this run has none: give the text itself")
    path = check_inside(root, root / reference.removeprefix("file:").removeprefix("//"))
    try:
        with path.open("rb") as file:
            return file.read(BYTE_LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from None
