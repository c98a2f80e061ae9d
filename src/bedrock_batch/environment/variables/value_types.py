"""The types of the values of settings: what each accepts, in words, and how its text is parsed.

The patterns are AWS's own, from botocore's service models (CreateModelInvocationJob, CodeArtifact). botocore does not
check patterns before it sends a request: a wrong value would fail only at the service, after the upload.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from bedrock_batch.families import parse_overrides

Kind = Literal["string", "integer", "number", "boolean", "json", "enum"]

REFERENCE_PREFIXES = ("file:", "s3://")
MAX_S3_PATH = 800  # AWS's limit for an S3 URI is 1,024 characters; the rest is for the run's own keys
MAX_JOB_NAME_PREFIX = 36  # a job name has at most 63; the rest is for the run's id and the job's number
MAX_COLUMN_PREFIX = 64
MAX_TAGS = 200

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
class ValueType:
    """A type of value; `parse` raises ValueError for text that `accepted` does not describe."""

    kind: Kind
    accepted: str
    parse: Callable[[str], Any]
    is_prose: bool = False
    """True if spaces around the text belong to it; the text of every other type is stripped before it is parsed."""


def optional(type_: ValueType) -> ValueType:
    """Return `type_` with the empty text read as None."""
    return ValueType(type_.kind, type_.accepted, lambda value: type_.parse(value) if value else None)


def none_or(type_: ValueType) -> ValueType:
    """Return `type_` with the word `none` read as None, which leaves a parameter out of the request."""
    return ValueType(
        type_.kind,
        f"{type_.accepted}, or none: not sent",
        lambda value: None if value.casefold() == "none" else type_.parse(value),
    )


def integer(low: int, high: int | None = None) -> ValueType:
    """Return the type of the whole numbers from `low` to `high`, both included."""
    accepted = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def parse(value: str) -> int:
        require(re.fullmatch(r"[+-]?[0-9]{1,18}", value))
        result = int(value)
        require(result >= low and (high is None or result <= high))
        return result

    return ValueType("integer", accepted, parse)


def number(accepted: str, is_in_range: Callable[[float], bool]) -> ValueType:
    """Return the type of the finite decimal numbers that `is_in_range` accepts and `accepted` describes."""

    def parse(value: str) -> float:
        require("_" not in value)  # float() reads 1_0 as ten
        result = float(value)
        require(math.isfinite(result) and is_in_range(result))
        return result

    return ValueType("number", accepted, parse)


def choice(literal: Any) -> ValueType:
    """Return the type of the words of a `Literal`, in any case."""
    names: tuple[str, ...] = get_args(literal)

    def parse(value: str) -> str:
        require(value.casefold() in names)
        return value.casefold()

    return ValueType("enum", f"{', '.join(names[:-1])} or {names[-1]}", parse)


def preferences(literal: Any, alone: str) -> ValueType:
    """Return the type of the word `alone`, or of one or several words of a `Literal` with commas between."""
    names: tuple[str, ...] = get_args(literal)

    def parse(value: str) -> str:
        words = [word.strip() for word in value.casefold().split(",")]
        require(words == [alone] or (set(words) <= set(names) and len(set(words)) == len(words)))
        return ",".join(words)

    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return ValueType("string", f"{alone}, or one or several of {listed}, with commas between", parse)


def matching(accepted: str, expression: str, max_length: int = 2048) -> ValueType:
    """Return the type of text that is empty or matches `expression` as a whole."""
    compiled = re.compile(expression)

    def parse(value: str) -> str:
        require(not value or (len(value) <= max_length and compiled.fullmatch(value)))
        return value

    return ValueType("string", accepted, parse)


def network_ids(limit: int) -> ValueType:
    """Return the type of a list of up to `limit` ids of network resources."""

    def parse(value: str) -> tuple[str, ...]:
        ids = _parse_names(value) if value.startswith("[") else tuple(id_.strip() for id_ in value.split(",") if value)
        require(len(ids) <= limit and all(_NETWORK_ID.fullmatch(id_) for id_ in ids))
        return ids

    return ValueType("string", f"1 to {limit} ids with commas between, or a JSON array of them", parse)


def _parse_moment(value: str) -> str:
    if not value:
        return value
    # Before Python 3.11, fromisoformat takes no Z.
    moment = datetime.fromisoformat(f"{value[:-1]}+00:00" if value.endswith(("Z", "z")) else value)
    require(moment.tzinfo is not None)
    return moment.isoformat()


def _parse_boolean(value: str) -> bool:
    require(value.casefold() in _BOOLEANS)
    return _BOOLEANS[value.casefold()]


def _parse_s3_path(value: str) -> str:
    require(not value or (len(value) <= MAX_S3_PATH and _S3_URI.fullmatch(value)))
    return value.rstrip("/")


def _parse_column_prefix(value: str) -> str:
    require(len(value) <= MAX_COLUMN_PREFIX and value.isprintable())
    return value


def _parse_description(value: str) -> str:
    require(value.strip())
    return value


def _parse_names(value: str) -> tuple[str, ...]:
    parsed = load_json(value or "[]")
    require(isinstance(parsed, list) and all(isinstance(item, str) and item for item in parsed))
    return tuple(parsed)


def parse_column_map(value: str) -> Mapping[str, str]:
    """Return the names of columns by field in a JSON text; ValueError for another, and for a name that comes twice."""
    parsed = load_json(value.strip() or "{}", _unique_members)
    require(isinstance(parsed, dict) and all(isinstance(name, str) for name in parsed.values()))
    require(all(name.strip() and name.isprintable() for name in parsed.values()))
    require(len(set(parsed.values())) == len(parsed))
    return dict(parsed)


def _check_column_map(value: str) -> str:
    if not value.startswith(REFERENCE_PREFIXES):
        parse_column_map(value)
    return value


def _unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(members)
    require(len(parsed) == len(members))
    return parsed


def _parse_tags(value: str) -> tuple[tuple[str, str], ...]:
    parsed = load_json(value or "{}")
    require(isinstance(parsed, dict) and len(parsed) <= MAX_TAGS)
    require(all(_TAG_KEY.fullmatch(key) for key in parsed))
    require(all(isinstance(item, str) and _TAG_VALUE.fullmatch(item) for item in parsed.values()))
    return tuple(parsed.items())


def _parse_capabilities(value: str) -> Mapping[str, Any]:
    parsed = load_json(value or "{}")
    require(isinstance(parsed, dict))
    return parse_overrides(parsed)


def load_json(value: str, make_object: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return the value of a JSON text; ValueError for any other text."""
    try:
        return json.loads(value, object_pairs_hook=make_object)
    except RecursionError:
        raise ValueError from None


def require(condition: object) -> None:
    """Raise ValueError unless a condition is true."""
    if not condition:
        raise ValueError


BOOLEAN = ValueType("boolean", "true or false (also 1, 0, yes, no; any case)", _parse_boolean)
REFERENCE_OR_TEXT = ValueType("string", "text, or file:PATH, or s3://BUCKET/KEY", str, is_prose=True)
REFERENCE_OR_NAMES = ValueType("json", "a JSON array of strings, or file:PATH, or s3://BUCKET/KEY", str)
REFERENCE_OR_RULES = ValueType("json", "a JSON array of rules, or file:PATH, or s3://BUCKET/KEY", str)
REFERENCE_OR_SCHEMA = ValueType("json", "a JSON Schema, or file:PATH, or s3://BUCKET/KEY", str)
NAMES = ValueType("json", 'a JSON array of strings, such as ["a", "b"]', _parse_names)
TAGS = ValueType(
    "json",
    f"a JSON object of at most {MAX_TAGS} strings: keys of 1 to 128, values of up to 256 letters, digits, spaces and "
    "._:/=+@- (AWS keeps keys that begin with aws: to itself)",
    _parse_tags,
)
CAPABILITIES = ValueType(
    "json",
    'a JSON object such as {"family": "claude-4-5", "json_schema": false}: the name of a family and members to change, '
    "as docs/models.md lists them",
    _parse_capabilities,
)
TOOL_NAME = matching("1 to 64 letters, digits, _ and -", r"[a-zA-Z0-9_-]+", 64)
TOOL_DESCRIPTION = ValueType("string", "a text that is more than spaces", _parse_description, is_prose=True)
COLUMN_NAME = ValueType("string", "the name of a column", str, is_prose=True)
REFERENCE_OR_COLUMN_MAP = ValueType(
    "json",
    'a JSON object of answer fields and column names, such as {"category": "label"}, with each name once, '
    "or file:PATH, or s3://BUCKET/KEY",
    _check_column_map,
)
COLUMN_PREFIX = ValueType(
    "string", f"1 to {MAX_COLUMN_PREFIX} printable characters", _parse_column_prefix, is_prose=True
)
S3_PATH = ValueType(
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
MOMENT = ValueType("string", "a time with its zone, such as 2026-12-01T06:00Z or 2026-12-01T06:00+01:00", _parse_moment)
HOURS = number("a number above 0 and up to 1000", lambda value: 0 < value <= 1000)
ANY_ABOVE_ZERO = number("a number above 0", lambda value: value > 0)
DAYS = number("a number above 0 and up to 36500", lambda value: 0 < value <= 36_500)
# The clocks and timers of Python and of the system take no longer times, and no shorter ones make sense.
PACE = number("a number from 0.001 to 1000000", lambda value: 0.001 <= value <= 1_000_000)
FRACTION = number("a number from 0 to 1", lambda value: 0 <= value <= 1)
FRACTION_ABOVE_ZERO = number("a number above 0 and up to 1", lambda value: 0 < value <= 1)
