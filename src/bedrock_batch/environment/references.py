"""Settings that hold a text or refer to it: `file:PATH` in the processing directory, or `s3://BUCKET/KEY`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bedrock_batch.environment.container.paths import check_inside
from bedrock_batch.environment.settings import Settings
from bedrock_batch.environment.variables.price_values import REFERENCE_OR_PRICES, parse_prices
from bedrock_batch.environment.variables.value_types import (
    REFERENCE_OR_COLUMN_MAP,
    REFERENCE_PREFIXES,
    parse_column_map,
)
from bedrock_batch.errors import BedrockBatchError, ConfigurationError, InputError

BYTE_LIMIT = 10_000_000
_FIELDS = (
    "user_prompt_template",
    "system_prompt",
    "input_placeholders",
    "rules",
    "validation_schema",
    "output_column_map",
    "prices",
)

ReadObject = Callable[[str], bytes]


def resolve_texts(settings: Settings, root: Path | None, read_object: ReadObject) -> Settings:
    """Return the settings with each reference replaced by the text that it refers to.

    `root` is the processing directory, if there is one; `read_object` returns the bytes of an S3 object. Raise one
    ConfigurationError that names every reference that cannot be read.
    """
    texts: dict[str, str] = {}
    problems: list[str] = []
    for name in _FIELDS:
        given = getattr(settings, name)
        if isinstance(given, str) and given.strip().startswith(REFERENCE_PREFIXES):
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
        raise InputError(f"{len(data)} bytes are more than a referenced text may have ({BYTE_LIMIT})")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})") from None


def _read_file(reference: str, root: Path | None) -> bytes:
    if root is None:
        raise InputError("file: refers to the processing directory, which this run does not have: give the text itself")
    path = check_inside(root, root / reference.removeprefix("file:").removeprefix("//"))
    try:
        with path.open("rb") as file:
            return file.read(BYTE_LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from None


def column_map_of(settings: Settings) -> Mapping[str, str]:
    """Return the names of columns by answer field; InputError if the text of a reference is not accepted."""
    try:
        return parse_column_map(settings.output_column_map)
    except ValueError:
        raise InputError(
            "BEDROCK_OUTPUT_COLUMN_MAP refers to a text that is not accepted: write "
            f"{REFERENCE_OR_COLUMN_MAP.accepted.partition(', or file:')[0]}"
        ) from None


def prices_of(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """Return the prices by model; InputError if the text of a reference is not accepted."""
    try:
        return parse_prices(settings.prices) if isinstance(settings.prices, str) else settings.prices
    except ValueError:
        raise InputError(
            f"BEDROCK_PRICES refers to a text that is not accepted: write {REFERENCE_OR_PRICES.accepted}"
        ) from None


class JsonText(str):
    """A JSON text of the settings that keeps the value it was written from, so that nobody parses it again.

    The text remains what the settings hold: the identity of a run and the summary are made from it.
    """

    __slots__ = ("value",)
    value: Any

    @classmethod
    def of(cls, value: Any) -> JsonText:
        """Return the JSON text of a value that nobody changes afterwards."""
        text = cls(json.dumps(value))
        text.value = value
        return text


def load_json_text(text: str, name: str) -> Any:
    """Return the JSON value of `text`; raise InputError that names it `name` if it is not JSON."""
    if isinstance(text, JsonText):
        return text.value
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({error})") from None
