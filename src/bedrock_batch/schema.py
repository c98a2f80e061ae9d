"""The validation schema: loading it, and the judgement of one answer against it.

An answer must please two judges. The Pydantic model reads it and coerces as the specification wants ("0.9" is a
number); jsonschema_rs, the referee, then checks what came out against every keyword of the schema.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow as pa
from pydantic import BaseModel, ValidationError

from bedrock_batch.errors import InputError
from bedrock_batch.json_files import read_json_file
from bedrock_batch.response_dict import dict_validator
from bedrock_batch.response_model import build_response_model, check_storable
from bedrock_batch.schema_files import find_schema_file
from bedrock_batch.schema_nodes import allow_null_for_optional, as_node, refuse_external_references
from bedrock_batch.text import printable, shorten

DEFAULT_MODEL_NAME = "BedrockResponse"
REASON_LIMIT = 300
_VALUE_LIMIT = 80
# A `$schema` that the referee does not know makes it look for that document in the network.
_DIALECT = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_AN_OBJECT = frozenset({"json_invalid", "string_unicode", "model_type", "model_attributes_type"})
_OWN_SECTIONS = frozenset({"processing_config", "version", "metadata", "generated_at", "$id"})


class SchemaMismatch(ValueError):  # noqa: N818 - it names what is the case, not a fault of the program
    """The answer is JSON that the schema does not accept; the message names field and rule."""


class MalformedJson(SchemaMismatch):
    """The answer is no JSON, or JSON that is no object; an object may still stand somewhere in it."""


def load_validation_schema(schema_path: str | Path, log: logging.Logger | None = None) -> dict[str, Any]:
    """Return the newest `validation_schema_*.json` of a folder, by the timestamp in its name, then by its age.

    InputError names the file and what is wrong: no `properties`, an unknown name in `required`, an invalid schema.
    """
    path = find_schema_file(Path(schema_path))
    schema = check_validation_schema(read_json_file(path), str(path))
    if log:
        log.info("Loaded %s with %d fields", path.name, len(schema["properties"]))
    return schema


def check_validation_schema(content: Any, source: str) -> dict[str, Any]:
    """Return a schema that is known to work; InputError names `source` and the fault."""
    if not isinstance(content, dict):
        raise InputError(f"{source}: expected a JSON object with properties and required")
    try:
        ResponseSchema(content)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return content


class ResponseSchema:
    """The schema of an answer, compiled once: its fields, its Pydantic class, its referee, its column types.

    Safe to share between threads. InputError for a schema that is invalid or that no table can hold.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        _check_sections(schema)
        _refuse_surrogates(schema)
        self._schema = {"type": "object", **{key: part for key, part in schema.items() if key not in _OWN_SECTIONS}}
        if not _DIALECT.fullmatch(str(self._schema.get("$schema", ""))):
            self._schema.pop("$schema", None)
        refuse_external_references(self._schema)
        self._unrelaxed = _compile(self._schema)
        self._referee = _compile(allow_null_for_optional(self._schema))
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
        self._validator = model.model_class.__pydantic_validator__
        self._serializer = model.model_class.__pydantic_serializer__

    def accept_texts(self, json_texts: Iterable[str]) -> list[dict[str, Any] | None]:
        """Return what each answer given as JSON text holds, absent fields left out.

        None where a judge refuses it, and for a schema of which only the model can tell: see `dict_validator`.
        """
        if self._dict_validator is None:
            return [None for _ in json_texts]
        validate_json, is_valid, unchecked = self._dict_validator.validate_json, self._referee.is_valid, self._unchecked
        accepted: list[dict[str, Any] | None] = []
        for text in json_texts:
            try:
                fields: dict[str, Any] = validate_json(text)
                for name in unchecked:
                    check_storable(fields.get(name), name)
                accepted.append(fields if is_valid(fields) else None)
            except Exception:  # ValidationError, too deep a nesting, and what `_is_accepted` tells of
                accepted.append(None)
        return accepted

    def validate_text(self, json_text: str) -> dict[str, Any]:
        """Return the fields of an answer given as JSON text, in schema order, None where absent.

        MalformedJson when it is no JSON object, SchemaMismatch when one of the two judges refuses it.
        """
        (fields,) = self.accept_texts([json_text])
        if fields is not None:
            return self._whole(fields)
        try:
            model = self._validator.validate_json(json_text)
        except ValidationError as error:
            raise _mismatch(error) from None
        return self._judge(model)

    def validate(self, value: Any) -> dict[str, Any]:
        """Do the same for an answer that is parsed already."""
        try:
            model = self._validator.validate_python(value)
        except ValidationError as error:
            raise _mismatch(error) from None
        return self._judge(model)

    def _judge(self, model: BaseModel) -> dict[str, Any]:
        try:
            instance = self._serializer.to_python(model, by_alias=True, exclude_unset=True)
            for name in self._unchecked:
                check_storable(instance.get(name), name)
        except (ValueError, RecursionError) as error:  # also Pydantic's own for what is nested too deeply
            raise SchemaMismatch(_storage_reason(error)) from None
        if not self._is_accepted(instance):
            raise SchemaMismatch(self._reason(instance))
        return self._whole(instance)

    def _whole(self, instance: dict[str, Any]) -> dict[str, Any]:
        whole = {**self._absent, **instance}
        return whole if len(whole) == len(self._absent) else {name: whole[name] for name in self.fields}

    def _is_accepted(self, instance: dict[str, Any]) -> bool:
        try:
            return bool(self._referee.is_valid(instance))
        except Exception:  # how undeclared huge integers and lone surrogates end differs by version
            return False

    def _reason(self, instance: dict[str, Any]) -> str:
        try:
            # Accepting null hides rules behind an anyOf; the schema as it was written names them.
            errors = [*self._unrelaxed.iter_errors(instance), *self._referee.iter_errors(instance)]
        except Exception as failure:  # as in _is_accepted
            return f"cannot be judged: {type(failure).__name__}"
        told = [error for error in errors if _at(instance, error.instance_path) is not None] or errors
        path, rule = list(told[0].instance_path), list(told[0].schema_path)
        expected = _at(self._schema, rule)
        shown = "" if expected is None else " " + shorten(json.dumps(expected, ensure_ascii=False), _VALUE_LIMIT)
        return _reason_text([str(part) for part in path], f"{rule[-1] if rule else 'schema'}{shown} is not met")

    def to_arrays(self, answers: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
        """Return the columns of validated answers, an Arrow array of its own type for each field in their order."""
        typed = iter(pa.array(answers, self._columns).flatten())
        return [_json_array(answers, name) if name in self._text_fields else next(typed) for name in self.fields]

    def wire_schema(self) -> dict[str, Any]:
        """Return the schema as a service takes it: an object schema without the sections that are ours."""
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
        raise InputError("a name or text holds half of a surrogate pair, which no output file can store")


def _model_name(schema: Mapping[str, Any]) -> str:
    name = as_node(schema.get("processing_config")).get("response_model_name")
    return name if isinstance(name, str) and name.isidentifier() else DEFAULT_MODEL_NAME


def _compile(schema: Mapping[str, Any]) -> Any:
    try:
        return jsonschema_rs.validator_for(dict(schema))
    except Exception as error:  # its classes differ by version: ValidationError, ReferencingError, ValueError
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
    """Return what stands at a path of a document, None where the path leads out of it."""
    try:
        for part in path:
            document = document[part]
    except (LookupError, TypeError):
        return None
    return document
