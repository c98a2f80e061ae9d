"""Loads the validation schema and validates answers against it.

Two validators check an answer. The Pydantic model parses it and converts values as the specification demands ("0.9" is
a number). Then jsonschema_rs checks the result against every keyword of the schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow as pa
from pydantic import BaseModel, ValidationError

from bedrock_batch.answers.schema.document import (
    allow_null_for_optional,
    as_node,
    is_known_dialect,
    refuse_external_references,
)
from bedrock_batch.answers.schema.files import find_schema_file
from bedrock_batch.answers.schema.pydantic_model import build_response_model, check_storable
from bedrock_batch.answers.schema.typed_dict import dict_validator
from bedrock_batch.answers.schema.vocabulary import schema_of_file
from bedrock_batch.environment.callable_log import Log, as_logger
from bedrock_batch.environment.container.paths import read_json_file
from bedrock_batch.environment.references import JsonText, load_json_text
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import InputError
from bedrock_batch.prompts.rules import category_schema, read_rules
from bedrock_batch.text import printable, shorten

DEFAULT_MODEL_NAME = "BedrockResponse"
REASON_LIMIT = 300
_VALUE_LIMIT = 80
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_AN_OBJECT = frozenset({"json_invalid", "string_unicode", "model_type", "model_attributes_type"})


class SchemaMismatch(ValueError):  # noqa: N818 - it names a case, not a fault of the program
    """The answer is JSON that the schema does not accept; the message names the field and the rule."""


class MalformedJson(SchemaMismatch):
    """The answer is not a JSON object, although it may contain one."""


def load_validation_schema(schema_path: str | Path, log: Log | None = None) -> dict[str, Any]:
    """Return the content of the newest `validation_schema_*.json`, by the timestamp in its name, then by its age.

    `schema_path` is the file or its folder. InputError names the file and the fault, such as missing `properties`, an
    unknown name in `required`, or an invalid schema.
    """
    path = find_schema_file(Path(schema_path))
    schema = check_validation_schema(read_json_file(path), str(path))
    if logger := as_logger(log):
        logger.info("Loaded %s with %d fields", path.name, len(schema["properties"]))
    return schema


def check_validation_schema(content: Any, source: str) -> dict[str, Any]:
    """Return a schema that compiles; InputError names `source` and the fault."""
    if not isinstance(content, dict):
        raise InputError(f"{source}: expected a JSON object with properties and required")
    try:
        compile_schema(JsonText.of(content))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return content


class ResponseSchema:
    """The compiled schema of an answer: its fields, its Pydantic class, its validators and its column types.

    Safe to share between threads. InputError if the schema is invalid or no table can hold its answers.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        own = schema_of_file(schema)
        _check_sections(own)
        _refuse_surrogates(own)
        self._schema = {"type": "object", **{key: part for key, part in own.items() if key != "$id"}}
        if not is_known_dialect(str(self._schema.get("$schema", ""))):
            self._schema.pop("$schema", None)
        refuse_external_references(self._schema)
        self._validator_as_written = _compile(self._schema)
        self._schema_validator = _compile(allow_null_for_optional(self._schema))
        model = build_response_model(self._schema, _model_name(schema))
        self.model_class: type[BaseModel] = model.model_class
        self.fields: tuple[str, ...] = tuple(model.shapes)
        self.arrow_types: dict[str, pa.DataType] = {
            name: pa.string() if shape.arrow is None else shape.arrow for name, shape in model.shapes.items()
        }
        self._absent: dict[str, Any] = dict.fromkeys(self.fields)
        self._text_fields = frozenset(name for name, shape in model.shapes.items() if shape.arrow is None)
        self._unchecked = tuple(name for name, shape in model.shapes.items() if shape.unchecked)
        self._columns = pa.struct([(n, kind) for n, kind in self.arrow_types.items() if n not in self._text_fields])
        self._dict_validator = dict_validator(model.model_class)
        self._model_validator = model.model_class.__pydantic_validator__
        self._serializer = model.model_class.__pydantic_serializer__

    def accept_texts(self, json_texts: Iterable[str]) -> list[dict[str, Any] | None]:
        """Return the fields of each answer, given as JSON text, without absent fields.

        None if a validator refuses the answer, and always if only the model can validate it: see `dict_validator`.
        """
        if self._dict_validator is None:
            return [None for _ in json_texts]
        validate_json, is_valid, unchecked = (
            self._dict_validator.validate_json,
            self._schema_validator.is_valid,
            self._unchecked,
        )
        accepted: list[dict[str, Any] | None] = []
        for text in json_texts:
            try:
                fields: dict[str, Any] = validate_json(text)
                for name in unchecked:
                    check_storable(fields.get(name), name)
                accepted.append(fields if is_valid(fields) else None)
            except Exception:  # ValidationError, too deep nesting, and the errors of `_is_accepted`
                accepted.append(None)
        return accepted

    def validate_text(self, json_text: str) -> dict[str, Any]:
        """Return the fields of an answer given as JSON text, in schema order, None where absent.

        MalformedJson if it is not a JSON object, SchemaMismatch if one of the two validators refuses it.
        """
        (fields,) = self.accept_texts([json_text])
        if fields is not None:
            return self._whole(fields)
        try:
            model = self._model_validator.validate_json(json_text)
        except ValidationError as error:
            raise _mismatch(error) from None
        return self._check_model(model)

    def validate(self, value: Any) -> dict[str, Any]:
        """Return the fields of a parsed answer; otherwise like `validate_text`."""
        try:
            model = self._model_validator.validate_python(value)
        except ValidationError as error:
            raise _mismatch(error) from None
        return self._check_model(model)

    def _check_model(self, model: BaseModel) -> dict[str, Any]:
        try:
            instance = self._serializer.to_python(model, by_alias=True, exclude_unset=True)
            for name in self._unchecked:
                check_storable(instance.get(name), name)
        except (ValueError, RecursionError) as error:  # Pydantic also raises its own for too deep nesting
            raise SchemaMismatch(_storage_reason(error)) from None
        if not self._is_accepted(instance):
            raise SchemaMismatch(self._reason(instance))
        return self._whole(instance)

    def _whole(self, instance: dict[str, Any]) -> dict[str, Any]:
        whole = {**self._absent, **instance}
        return whole if len(whole) == len(self._absent) else {name: whole[name] for name in self.fields}

    def _is_accepted(self, instance: dict[str, Any]) -> bool:
        try:
            return bool(self._schema_validator.is_valid(instance))
        except Exception:  # undeclared huge integers and lone surrogates fail differently by version
            return False

    def _reason(self, instance: dict[str, Any]) -> str:
        try:
            # The schema that accepts null hides rules behind an anyOf; the schema as it was written names them.
            errors = [*self._validator_as_written.iter_errors(instance), *self._schema_validator.iter_errors(instance)]
        except Exception as failure:  # as in _is_accepted
            return f"cannot be validated: {type(failure).__name__}"
        located = [error for error in errors if _at(instance, error.instance_path) is not None] or errors
        path, rule = list(located[0].instance_path), list(located[0].schema_path)
        expected = _at(self._schema, rule)
        shown = "" if expected is None else " " + shorten(json.dumps(expected, ensure_ascii=False), _VALUE_LIMIT)
        return _reason_text([str(part) for part in path], f"{rule[-1] if rule else 'schema'}{shown} is not met")

    def to_arrays(self, answers: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
        """Return the columns of validated answers: for each field in order, an Arrow array of its type."""
        typed = iter(pa.array(answers, self._columns).flatten())
        return [_json_array(answers, name) if name in self._text_fields else next(typed) for name in self.fields]

    def wire_schema(self) -> dict[str, Any]:
        """Return the schema to send to a service: an object schema without the other keys of its file."""
        return dict(self._schema)


def _json_array(answers: Sequence[Mapping[str, Any]], name: str) -> pa.Array:
    values = [answer.get(name) for answer in answers]
    return pa.array([None if v is None else json.dumps(v, ensure_ascii=False) for v in values], pa.string())


def _check_sections(schema: Mapping[str, Any]) -> None:
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, Mapping) or not properties:
        raise InputError("properties is missing or empty; it names the fields of an answer")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise InputError("required must be a list of field names")
    if unknown := [name for name in required if name not in properties]:
        raise InputError(f"required names {', '.join(map(repr, unknown))}, which properties does not describe")
    if schema.get("type", "object") != "object":
        raise InputError(f"type is {schema['type']!r}; an answer is always an object")


def _refuse_surrogates(schema: Mapping[str, Any]) -> None:
    if _SURROGATE.search(json.dumps(schema, ensure_ascii=False)):
        raise InputError("a name or text contains half of a surrogate pair, which no output file can store")


def _model_name(schema: Mapping[str, Any]) -> str:
    name = as_node(schema.get("processing_config")).get("response_model_name")
    return name if isinstance(name, str) and name.isidentifier() else DEFAULT_MODEL_NAME


def _refuse_to_fetch(uri: str) -> Any:
    """Refuse to load a document; `refuse_external_references` has refused everything that could lead here."""
    raise ValueError(f"{uri} is not fetched")


# Older versions of the validator have no retriever.
_TAKES_RETRIEVER = "retriever" in (getattr(jsonschema_rs.validator_for, "__text_signature__", None) or "")
_OFFLINE: dict[str, Any] = {"retriever": _refuse_to_fetch} if _TAKES_RETRIEVER else {}


def _compile(schema: Mapping[str, Any]) -> Any:
    try:
        return jsonschema_rs.validator_for(dict(schema), **_OFFLINE)
    except Exception as error:  # the class depends on the version: ValidationError, ReferencingError, ValueError
        message = getattr(error, "message", str(error)).partition("\n")[0]
        raise InputError(f"not a valid JSON schema: {shorten(message, REASON_LIMIT)}") from None


def _mismatch(error: ValidationError) -> SchemaMismatch:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if not first["loc"] and first["type"] in _NOT_AN_OBJECT:
        return MalformedJson(shorten(first["msg"], REASON_LIMIT))
    return SchemaMismatch(_reason_text([str(part) for part in first["loc"]], first["msg"]))


def _reason_text(path: Sequence[str], rule: str) -> str:
    place = ".".join(shorten(part, _VALUE_LIMIT) for part in path[:12]) or "the answer"
    return printable(shorten(f"{place}: {rule}", REASON_LIMIT))


def _storage_reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else "nested too deeply"


def _at(document: Any, path: Iterable[str | int]) -> Any:
    """Return the value at a path of a document, or None if the path does not exist."""
    try:
        for part in path:
            document = document[part]
    except (LookupError, TypeError):
        return None
    return document


def response_schema_of(settings: Settings) -> ResponseSchema | None:
    """Return the schema of `validation_schema` (JSON text) or else of `rules`, None without either."""
    if not settings.validation_schema.strip():
        return _schema_of_rules(settings)
    return compile_schema(settings.validation_schema)


@lru_cache(maxsize=2)
def compile_schema(text: str) -> ResponseSchema:
    """Return the compiled schema of `validation_schema` (JSON text).

    The last ones are kept: preparation, processor and `--local` need the same schema, and compiling it takes
    milliseconds.
    """
    schema = load_json_text(text, "BEDROCK_VALIDATION_SCHEMA")
    if not isinstance(schema, dict):
        raise InputError("BEDROCK_VALIDATION_SCHEMA must be a JSON object")
    return ResponseSchema(schema)


def _schema_of_rules(settings: Settings) -> ResponseSchema | None:
    """Return the schema that follows from the rules of a rule set, or None without rules."""
    if not settings.rules.strip():
        return None
    return ResponseSchema(category_schema(read_rules(load_json_text(settings.rules, "BEDROCK_RULES"), "BEDROCK_RULES")))
