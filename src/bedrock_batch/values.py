"""The forms that a configuration value can have: what is accepted, in words, and the parser that holds it to them.

The patterns are AWS's own, from botocore's service models (CreateModelInvocationJob, CodeArtifact). botocore does not
check patterns before it sends a request: a value that breaks one would fail only at the service, after the upload.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bedrock_batch.families import parse_overrides

Kind = Literal["string", "integer", "number", "boolean", "json", "enum"]

MAX_S3_PATH = 800  # AWS's limit for an S3 URI is 1,024 characters; the rest is for the run's own keys
MAX_JOB_NAME_PREFIX = 36  # a job name has at most 63; the rest is for the run's id and the job's number
MAX_COLUMN_PREFIX = 64
MAX_TAGS = 200
PRICE_KEYS = ("input", "output", "batch_input", "batch_output")

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_INFERENCE_PROFILE = (
    r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:(application-)?inference-profile/[a-zA-Z0-9:.-]+"
    r"|[a-z0-9-]+[.][a-zA-Z0-9:.-]+"
)
_KMS_KEY_ID = (
    r"arn:aws(-[^:]+)?:kms:[a-zA-Z0-9-]*:[0-9]{12}:(key/[a-zA-Z0-9-]{36}|alias/[a-zA-Z0-9_/-]+)"
    r"|[a-zA-Z0-9-]{36}|alias/[a-zA-Z0-9_/-]+"
)
_S3_URI = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-!_*'().a-z0-9A-Z]+)*/?")
_NETWORK_ID = re.compile(r"[-0-9a-zA-Z]{1,32}")
_TAG_KEY = re.compile(r"(?!(?i:aws:))[a-zA-Z0-9\s._:/=+@-]{1,128}")
_TAG_VALUE = re.compile(r"[a-zA-Z0-9\s._:/=+@-]{0,256}")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a value; `parse` raises ValueError for text that `accepted` does not describe."""

    kind: Kind
    accepted: str
    parse: Callable[[str], Any]
    is_prose: bool = False
    """Prose is taken as it stands, its outer spaces included; every other value is stripped first."""


def optional(form: Form) -> Form:
    """Return `form` with None for the empty text."""
    return Form(form.kind, form.accepted, lambda value: form.parse(value) if value else None)


def none_or(form: Form) -> Form:
    """Return `form` with the word `none` read as None, which leaves a parameter out of the request."""
    return Form(
        form.kind,
        f"{form.accepted}, or none: not sent",
        lambda value: None if value.casefold() == "none" else form.parse(value),
    )


def integer(low: int, high: int | None = None) -> Form:
    """Whole numbers from `low` to `high`, both included."""
    accepted = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def parse(value: str) -> int:
        _require(re.fullmatch(r"[+-]?[0-9]{1,18}", value))
        result = int(value)
        _require(result >= low and (high is None or result <= high))
        return result

    return Form("integer", accepted, parse)


def number(accepted: str, is_in_range: Callable[[float], bool]) -> Form:
    """Finite decimal numbers that `is_in_range` accepts; `accepted` says which those are."""

    def parse(value: str) -> float:
        _require("_" not in value)  # float() reads 1_0 as ten
        result = float(value)
        _require(math.isfinite(result) and is_in_range(result))
        return result

    return Form("number", accepted, parse)


def choice(*names: str) -> Form:
    """One of `names`, in any case."""

    def parse(value: str) -> str:
        _require(value.casefold() in names)
        return value.casefold()

    return Form("enum", f"{', '.join(names[:-1])} or {names[-1]}", parse)


def matching(accepted: str, expression: str, max_length: int = 2048) -> Form:
    """Text that is empty or matches `expression` as a whole."""
    compiled = re.compile(expression)

    def parse(value: str) -> str:
        _require(not value or (len(value) <= max_length and compiled.fullmatch(value)))
        return value

    return Form("string", accepted, parse)


def network_ids(limit: int) -> Form:
    """Up to `limit` ids of network resources."""

    def parse(value: str) -> tuple[str, ...]:
        ids = _parse_names(value) if value.startswith("[") else tuple(id_.strip() for id_ in value.split(",") if value)
        _require(len(ids) <= limit and all(_NETWORK_ID.fullmatch(id_) for id_ in ids))
        return ids

    return Form("string", f"1 to {limit} ids with commas between, or a JSON array of them", parse)


def _parse_boolean(value: str) -> bool:
    _require(value.casefold() in _BOOLEANS)
    return _BOOLEANS[value.casefold()]


def _parse_s3_path(value: str) -> str:
    _require(not value or (len(value) <= MAX_S3_PATH and _S3_URI.fullmatch(value)))
    return value.rstrip("/")


def _parse_column_prefix(value: str) -> str:
    _require(len(value) <= MAX_COLUMN_PREFIX and value.isprintable())
    return value


def _parse_names(value: str) -> tuple[str, ...]:
    parsed = _load_json(value or "[]")
    _require(isinstance(parsed, list) and all(isinstance(item, str) and item for item in parsed))
    return tuple(parsed)


def _parse_tags(value: str) -> tuple[tuple[str, str], ...]:
    parsed = _load_json(value or "{}")
    _require(isinstance(parsed, dict) and len(parsed) <= MAX_TAGS)
    _require(all(_TAG_KEY.fullmatch(key) for key in parsed))
    _require(all(isinstance(item, str) and _TAG_VALUE.fullmatch(item) for item in parsed.values()))
    return tuple(parsed.items())


def _parse_capabilities(value: str) -> Mapping[str, Any]:
    parsed = _load_json(value or "{}")
    _require(isinstance(parsed, dict))
    return parse_overrides(parsed)


def _parse_prices(value: str) -> Mapping[str, Mapping[str, float]]:
    parsed = _load_json(value or "{}")
    _require(isinstance(parsed, dict) and all(_is_price(entry) for entry in parsed.values()))
    return {model: {key: float(amount) for key, amount in entry.items()} for model, entry in parsed.items()}


def _is_price(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys() <= set(PRICE_KEYS):
        return False
    return all(type(amount) in (int, float) and 0 <= amount < 1e9 for amount in entry.values())


def _load_json(value: str) -> Any:
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError from None


def _require(condition: object) -> None:
    if not condition:
        raise ValueError


BOOLEAN = Form("boolean", "true or false (also 1, 0, yes, no; any case)", _parse_boolean)
REFERENCE_OR_TEXT = Form("string", "text, or file:PATH, or s3://BUCKET/KEY", str, is_prose=True)
REFERENCE_OR_NAMES = Form("json", "a JSON array of strings, or file:PATH, or s3://BUCKET/KEY", str)
REFERENCE_OR_SCHEMA = Form("json", "a JSON Schema, or file:PATH, or s3://BUCKET/KEY", str)
NAMES = Form("json", 'a JSON array of strings, such as ["a", "b"]', _parse_names)
TAGS = Form(
    "json",
    f"a JSON object of at most {MAX_TAGS} strings: keys of 1 to 128, values of up to 256 letters, digits, spaces and "
    "._:/=+@- (AWS keeps keys that begin with aws: to itself)",
    _parse_tags,
)
PRICES = Form(
    "json",
    'a JSON object in USD per million tokens, such as {"MODEL": {"input": 3, "output": 15, "batch_input": 1.5, '
    '"batch_output": 7.5}}; the batch prices may be left out',
    _parse_prices,
)
CAPABILITIES = Form(
    "json",
    'a JSON object such as {"family": "claude-4-5", "json_schema": false}: the name of a family and members to change, '
    "as docs/models.md lists them",
    _parse_capabilities,
)
COLUMN_PREFIX = Form("string", f"1 to {MAX_COLUMN_PREFIX} printable characters", _parse_column_prefix, is_prose=True)
S3_PATH = Form(
    "string",
    f"s3://BUCKET/PATH of at most {MAX_S3_PATH} characters, with letters, digits and -!_*'(). between single slashes "
    "(AWS refuses = and spaces in batch inference)",
    _parse_s3_path,
)
MODEL_ID = matching("a model id, inference profile id or ARN", r"[a-zA-Z0-9][a-zA-Z0-9_.:/-]*")
INFERENCE_PROFILE = matching("the ARN or the id of an inference profile", _INFERENCE_PROFILE)
REGION = matching("a region name, such as eu-central-1", r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}", 32)
ROLE_ARN = matching(
    "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/NAME", r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+"
)
ACCOUNT_ID = matching("an account id of 12 digits", r"[0-9]{12}")
KMS_KEY_ID = matching("a KMS key id, key ARN, alias ARN or alias/NAME", _KMS_KEY_ID)
JOB_NAME_PREFIX = matching(
    f"1 to {MAX_JOB_NAME_PREFIX} letters, digits and + - . with a letter or digit first (AWS refuses the underscore)",
    r"[a-zA-Z0-9][a-zA-Z0-9+.-]*",
    MAX_JOB_NAME_PREFIX,
)
CODEARTIFACT_DOMAIN = matching(
    "a CodeArtifact domain of 2 to 50 lower-case letters, digits and hyphens", r"[a-z][a-z0-9-]{0,48}[a-z0-9]"
)
CODEARTIFACT_REPOSITORY = matching(
    "a CodeArtifact repository of 2 to 100 letters, digits and . _ -", r"[A-Za-z0-9][A-Za-z0-9._-]{1,99}"
)
METRICS_NAMESPACE = matching(
    "a CloudWatch namespace of at most 255 letters, digits and . - _ / # : (AWS/... is AWS's own)",
    r"(?!AWS/)[A-Za-z0-9._/#:-]+",
    255,
)
ANY_ABOVE_ZERO = number("a number above 0", lambda value: value > 0)
FRACTION = number("a number from 0 to 1", lambda value: 0 <= value <= 1)
FRACTION_ABOVE_ZERO = number("a number above 0 and up to 1", lambda value: 0 < value <= 1)
