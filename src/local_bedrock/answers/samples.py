"""Seeded random objects that match a JSON Schema. A schema is compiled once into a fast sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from local_bedrock.answers.patterns import compile_pattern
from local_bedrock.draws import Draw

Sampler = Callable[[Draw], Any]

_SENTENCES = (
    "the request names its order and asks for a clear reply because the parcel came late with a broken "
    "seal while support was friendly price and quality seem fair overall delivery took longer than "
    "promised customer would buy again module returns value for each element when no argument is given "
    "and raises error otherwise"
)
_WORDS = tuple(_SENTENCES.split())
_FORMATS: dict[str, Callable[[Draw], str]] = {
    "date": lambda draw: f"20{draw.below(26):02d}-{1 + draw.below(12):02d}-{1 + draw.below(28):02d}",
    "time": lambda draw: f"{draw.below(24):02d}:{draw.below(60):02d}:{draw.below(60):02d}Z",
    "email": lambda draw: f"{draw.choice(_WORDS)}.{draw.below(1000)}@example.com",
    "uri": lambda draw: f"https://example.com/{draw.choice(_WORDS)}/{draw.below(1000)}",
    "uuid": lambda draw: f"{draw.below(1 << 32):08x}-0000-4000-8000-{draw.below(1 << 40):012x}",
    "ipv4": lambda draw: f"192.0.2.{draw.below(256)}",
}
_FORMATS["date-time"] = lambda draw: f"{_FORMATS['date'](draw)}T{_FORMATS['time'](draw)}"
_MAX_DEPTH = 24
"""Levels of a schema that are compiled. A limit, because a recursive schema has infinitely many."""
_DEEP = 5
"""Nesting depth of objects beyond which optional fields are left out."""
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})


class SchemaCompiler:
    """Compiles a root schema into a sampler.

    It follows local `$ref`s. Samples leave out the share `omit_share` of the optional fields.
    """

    def __init__(self, root: Any, omit_share: float = 0.25) -> None:
        self._root = root
        self._omit_share = omit_share
        self._references: dict[str, Sampler] = {}

    def compile(self) -> Sampler:
        """Return the sampler of the root schema."""
        return self._node(self._root, 0)

    def _node(self, schema: Any, depth: int) -> Sampler:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return lambda draw: draw.choice(_WORDS)
        if "$ref" in schema:
            siblings = _without(schema, "$ref")
            if siblings.keys() <= _ANNOTATIONS:
                return self._reference(schema["$ref"])
            return self._node({**self._resolve(schema["$ref"]), **siblings}, depth + 1)
        if "const" in schema:
            constant = schema["const"]
            return lambda _draw: constant
        if "enum" in schema:
            members = list(schema["enum"])
            return lambda draw: draw.choice(members)
        for keyword in ("anyOf", "oneOf"):
            if schema.get(keyword):
                return self._union([{**_without(schema, keyword), **option} for option in schema[keyword]], depth)
        if schema.get("allOf"):
            return self._node(_merge(_without(schema, "allOf"), map(self._resolved, schema["allOf"])), depth + 1)
        kind = schema.get("type") or _implied_type(schema)
        if isinstance(kind, list):
            return self._union([{**schema, "type": each} for each in kind], depth)
        return self._typed(kind, schema, depth)

    def _reference(self, reference: str) -> Sampler:
        """Return a sampler that compiles its target at the first sample, because a schema may refer to itself."""

        def sample(draw: Draw) -> Any:
            if reference not in self._references:
                self._references[reference] = self._node(self._resolve(reference), 0)
            return self._references[reference](draw)

        return sample

    def _typed(self, kind: str, schema: Mapping[str, Any], depth: int) -> Sampler:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer":
                return _integer(schema)
            case "number":
                return _number(schema)
            case "boolean":
                return lambda draw: draw.below(2) == 1
            case "null":
                return lambda _draw: None
            case _:
                return _string(schema)

    def _union(self, options: list[Mapping[str, Any]], depth: int) -> Sampler:
        samplers = [self._node(option, depth + 1) for option in options]
        flat = [sampler for sampler, option in zip(samplers, options, strict=True) if _is_flat(option)] or samplers
        return lambda draw: draw.choice(flat if draw.depth > _DEEP else samplers)(draw)

    def _object(self, schema: Mapping[str, Any], depth: int) -> Sampler:
        required = set(schema.get("required", ()))
        properties = dict(schema.get("properties", {}))
        for name in required - set(properties):
            extra = schema.get("additionalProperties")
            properties[name] = extra if isinstance(extra, Mapping) else {}
        members = [(name, self._node(each, depth + 1), name in required) for name, each in properties.items()]
        least = schema.get("minProperties", 0)
        omit = int(self._omit_share * 1000)

        def sample(draw: Draw) -> dict[str, Any]:
            result = {}
            draw.depth += 1
            for name, sampler, needed in members:
                if needed or (draw.below(1000) >= omit and draw.depth <= _DEEP):
                    result[name] = sampler(draw)
            if len(result) < least:
                for name, sampler, _ in members:
                    result.setdefault(name, sampler(draw))
            draw.depth -= 1
            return result

        return sample

    def _array(self, schema: Mapping[str, Any], depth: int) -> Sampler:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 3)))
        first = [self._node(each, depth + 1) for each in schema.get("prefixItems", ())]
        items = schema.get("items", {})
        rest = self._node(items if isinstance(items, Mapping) else {}, depth + 1)
        closed = items is False or (bool(first) and "items" not in schema)
        unique = bool(schema.get("uniqueItems"))

        def sample(draw: Draw) -> list[Any]:
            extra = draw.below(most - least + 1) if draw.depth <= _DEEP else 0
            size = len(first) if closed else max(len(first), least + extra)
            result: list[Any] = [sampler(draw) for sampler in first]
            for _ in range(20 * size):
                if len(result) >= size:
                    break
                item = rest(draw)
                if not unique or item not in result:
                    result.append(item)
            return result

        return sample

    def _resolve(self, reference: str) -> Mapping[str, Any]:
        node: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node if isinstance(node, Mapping) else {}

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        if isinstance(schema, Mapping) and "$ref" in schema:
            return {**self._resolve(schema["$ref"]), **_without(schema, "$ref")}
        return schema if isinstance(schema, Mapping) else {}


def _is_flat(schema: Mapping[str, Any]) -> bool:
    return "$ref" not in schema and (schema.get("type") or _implied_type(schema)) not in ("object", "array")


def _without(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != keyword}


def _merge(base: dict[str, Any], parts: Any) -> dict[str, Any]:
    for part in parts:
        properties = {**base.get("properties", {}), **part.get("properties", {})}
        required = [*base.get("required", ()), *part.get("required", ())]
        base = {**base, **part}
        if properties:
            base["properties"] = properties
        if required:
            base["required"] = required
    return base


def _implied_type(schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(keyword in schema for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")):
        return "number"
    return "string"


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    # Draft 4 wrote the exclusive bounds as booleans beside minimum and maximum.
    if above is True:
        low = low + step if low is not None else None
    elif above is not None and above is not False:
        low = above + step if low is None else max(low, above + step)
    if below is True:
        high = high - step if high is not None else None
    elif below is not None and below is not False:
        high = below - step if high is None else min(high, below - step)
    if low is None:
        low = 0 if high is None else min(0, high)
    if high is None:
        high = max(low + 100, 100) if step == 1 else max(low + 1, 1)
    return low, high


def _integer(schema: Mapping[str, Any]) -> Sampler:
    low, high = _bounds(schema, 1)
    step = int(schema.get("multipleOf", 1)) or 1
    first = -(-math.ceil(low) // step)
    count = max(1, math.floor(high) // step - first + 1)
    return lambda draw: (first + draw.below(count)) * step


def _number(schema: Mapping[str, Any]) -> Sampler:
    low, high = _bounds(schema, 0.01)
    step = schema.get("multipleOf")
    if step:
        first = math.ceil(low / step)
        count = max(1, math.floor(high / step) - first + 1)
        return lambda draw: round((first + draw.below(count)) * step, 10)
    width = high - low
    if width < 0.05:
        return lambda _draw: low
    return lambda draw: min(max(round(low + draw.share() * width, 2), low), high)


def _string(schema: Mapping[str, Any]) -> Sampler:
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if schema.get("pattern"):
        return compile_pattern(schema["pattern"], least, most)
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    words = max(1, min(12, (most or 72) // 6))

    def sample(draw: Draw) -> str:
        text = " ".join(draw.choice(_WORDS) for _ in range(min(3, words) + draw.below(words)))
        while len(text) < least:
            text += " " + draw.choice(_WORDS)
        if most is not None and len(text) > most:
            text = text[:most]
        return text

    return sample
