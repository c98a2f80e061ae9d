"""No schema can make the step open a connection or a file."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.errors import InputError

KEYWORDS = ("$ref", "$dynamicRef", "$recursiveRef", "$id", "id", "$schema", "$anchor", "$dynamicAnchor")


class Listener:
    """A server on loopback that counts connections and never answers."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


def places(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield schemas with the part at every kind of place, including names that are keywords elsewhere."""
    text: dict[str, Any] = {"type": "string"}
    yield "property", {"properties": {"label": {**text, **part}}}
    for name in ("enum", "const", "default", "examples", "$ref", "properties"):
        yield f"property-{name}", {"properties": {name: {**text, **part}}}
    yield "root", {**part, "properties": {"label": text}}
    yield "defs", {"$defs": {"x": {**text, **part}}, "properties": {"label": {"$ref": "#/$defs/x"}}}
    yield "unused-defs", {"$defs": {"x": {**text, **part}}, "properties": {"label": text}}
    yield "definitions", {"definitions": {"x": part}, "properties": {"label": text}}
    yield "items", {"properties": {"label": {"type": "array", "items": {**text, **part}}}}
    yield "prefix-items", {"properties": {"label": {"type": "array", "prefixItems": [{**text, **part}]}}}
    yield "any-of", {"properties": {"label": {"anyOf": [text, part]}}}
    yield "all-of", {"properties": {"label": text}, "allOf": [part]}
    yield "not", {"properties": {"label": text}, "not": part}
    yield "if", {"properties": {"label": text}, "if": part, "then": part}
    yield "additional", {"properties": {"label": text}, "additionalProperties": part}
    yield "pattern", {"properties": {"label": text}, "patternProperties": {"^x": part}}
    yield "dependent", {"properties": {"label": text}, "dependentSchemas": {"label": part}}
    yield "dependencies", {"properties": {"label": text}, "dependencies": {"label": part}}
    yield "contains", {"properties": {"label": {"type": "array", "contains": part}}}
    yield "names", {"properties": {"label": text}, "propertyNames": part}
    yield "unknown-keyword", {"properties": {"label": text}, "x-more": part, "x-list": [part]}
    yield "const", {"properties": {"label": text, "other": {"const": part}}}
    yield "enum", {"properties": {"label": text, "other": {"enum": [part, "x"]}}}
    yield "default", {"properties": {"label": {**text, "default": part}}}
    deep: dict[str, Any] = {"type": "object", "properties": {"label": {**text, **part}}}
    for _ in range(6):
        deep = {"type": "object", "properties": {"inner": deep}}
    yield "deep", deep
    for dialect in ("http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#"):
        yield dialect[24:32], {"$schema": dialect, "properties": {"label": {**text, **part}}}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_no_schema_opens_a_connection(listener: Listener, tmp_path: Path, keyword: str) -> None:
    """A foreign schema would make the step connect to a host of its choice, or hang at its start."""
    file = tmp_path / "schema.json"
    file.write_text('{"type": "integer"}', encoding="utf-8")
    host = f"127.0.0.1:{listener.port}"
    targets = (f"http://{host}/a", f"https://{host}/a", f"//{host}/a", f"http://{host}/a#b", file.as_uri(), str(file))
    for target, more in itertools.product(targets, ({}, {"$ref": "other.json"}, {"$ref": "#b"})):
        for place, schema in places({**more, keyword: target}):
            with suppress(InputError):
                ResponseSchema(schema).accept_texts(['{"label": "x"}', '{"label": 5}'])
            assert listener.connections == 0, place
    assert listener.connections == 0


@pytest.mark.parametrize("keyword", ["$ref", "$schema", "$id", "$anchor"])
def test_an_outside_reference_is_refused_with_its_place(keyword: str) -> None:
    """A user would read that the schema is wrong, but not where."""
    part = {"type": "string", keyword: "http://example.com/a"}
    with pytest.raises(InputError, match="#/properties/label"):
        ResponseSchema({"properties": {"label": part}})


@pytest.mark.parametrize(
    "name", ["$schema", "$ref", "$id", "id", "$anchor", "$defs", "properties", "enum", "const", "default"]
)
def test_a_property_may_have_the_name_of_a_keyword(name: str) -> None:
    """A schema with a field called `id` would be refused."""
    schema = ResponseSchema({"properties": {name: {"type": "string"}}, "required": [name]})
    assert schema.validate({name: "x"}) == {name: "x"}


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", "https://example.com/unknown", "x"])
def test_the_dialect_at_the_root_is_no_error(dialect: str) -> None:
    """A schema of another tool that names its dialect would be refused."""
    assert ResponseSchema({"$schema": dialect, "properties": {"a": {"type": "string"}}}).fields == ("a",)
