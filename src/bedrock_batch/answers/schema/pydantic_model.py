"""Builds the Pydantic model of an answer and the Arrow types of its columns from a JSON Schema."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import GenericAlias
from typing import Annotated, Any, Literal, Optional, Union

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from bedrock_batch.answers.schema.document import as_node, resolve
from bedrock_batch.errors import InputError

MAX_DEPTH = 50
"""Levels of arrays, objects and choices in a field. Arrow stores at most 64, and Pydantic compiles not many more."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_Int64 = Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)]
_NO_WORD = re.compile(r"\W")
_TAKEN = frozenset(dir(BaseModel))
# With one of these keywords, undeclared properties can decide whether an object is valid, so they must be kept.
_LOOKS_AT_EXTRAS = (
    frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$dynamicRef", "$recursiveRef"})
    | frozenset({"propertyNames", "patternProperties", "minProperties", "maxProperties", "unevaluatedProperties"})
    | frozenset({"dependentRequired", "dependentSchemas", "dependencies"})
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The types of one part of the schema: a Python annotation and an Arrow type.

    `arrow` is None if no single Arrow type fits; the column then contains JSON text. `unchecked` says that values may
    contain numbers and texts that no type has checked. `nullable` says that the schema allows null.
    """

    annotation: Any
    arrow: pa.DataType | None
    unchecked: bool = False
    nullable: bool = False

    def or_none(self) -> Shape:
        return replace(self, annotation=Optional[self.annotation], nullable=True)  # noqa: UP045 - `| None` fails on Literal aliases in 3.10


_NULL = Shape(type(None), None, nullable=True)
_ANYTHING = Shape(Any, None, unchecked=True, nullable=True)
_SCALARS = {
    "string": Shape(str, pa.string()),
    "number": Shape(float, pa.float64()),
    "integer": Shape(_Int64, pa.int64()),
    "boolean": Shape(bool, pa.bool_()),
}


@dataclass(frozen=True, slots=True)
class PydanticValidator:
    """The Pydantic class of an answer, and the shape of each of its fields by the field's name in the answer."""

    model_class: type[BaseModel]
    shapes: dict[str, Shape]


def build_response_model(schema: Mapping[str, Any], name: str) -> PydanticValidator:
    """Return the model of a schema's properties.

    InputError for recursion, for references that lead nowhere, and for nesting beyond `MAX_DEPTH`.
    """
    return _ModelBuilder(schema).build(schema, _Place(name))


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the walk: its class name, the references that led to it, whether extras are kept, and its depth."""

    name: str
    trail: tuple[str, ...] = ()
    keep_extras: bool = False
    depth: int = 0

    def child(self, name: str) -> _Place:
        if self.depth == MAX_DEPTH:
            raise InputError(f"a field is nested more than {MAX_DEPTH} levels deep, which no column can hold")
        return replace(self, name=f"{self.name}_{_NO_WORD.sub('_', name)}", depth=self.depth + 1)


class _ModelBuilder:
    """Walks over one schema document and resolves its references."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def build(self, node: Mapping[str, Any], place: _Place) -> PydanticValidator:
        properties: Mapping[str, Any] = node["properties"]
        required = frozenset(node.get("required", ()))
        place = replace(place, keep_extras=place.keep_extras or bool(_LOOKS_AT_EXTRAS & node.keys()))
        shapes: dict[str, Shape] = {}
        fields: dict[str, Any] = {}
        for index, (name, part) in enumerate(properties.items()):
            shape = shapes[name] = self.shape(as_node(part), place.child(name))
            annotation = shape.annotation if name in required else shape.or_none().annotation
            info = _field_info(as_node(part), name, ... if name in required else None)
            fields[_attribute_name(name, index, properties)] = (annotation, info)
        config = ConfigDict(extra=_extra_of(node, place.keep_extras), allow_inf_nan=False, protected_namespaces=())
        model: type[BaseModel] = create_model(place.name, __config__=config, **fields)
        return PydanticValidator(model, shapes)

    def shape(self, node: Mapping[str, Any], place: _Place) -> Shape:
        node, trail = resolve(node, self._root, place.trail)
        place = replace(place, trail=trail)
        if "enum" in node:
            return _enum_shape(node["enum"])
        if "const" in node:
            return _enum_shape([node["const"]])
        if "type" in node or "properties" in node:
            return self._of_kinds(node, place)
        if branches := node.get("anyOf") or node.get("oneOf"):
            place = replace(place, keep_extras=place.keep_extras or len(branches) > 2)
            return _union([self.shape(as_node(part), place.child(str(i))) for i, part in enumerate(branches)])
        if len(node.get("allOf", ())) == 1:  # Pydantic writes a reference with a description like this
            return self.shape(as_node(node["allOf"][0]), place)
        return _ANYTHING

    def _of_kinds(self, node: Mapping[str, Any], place: _Place) -> Shape:
        declared = node.get("type", "object")
        kinds: list[str] = declared if isinstance(declared, list) else [declared]
        concrete = [kind for kind in kinds if kind != "null" and not (kind == "integer" and "number" in kinds)]
        shape = _union([self._of_kind(kind, node, place) for kind in concrete])
        return shape.or_none() if "null" in kinds else shape

    def _of_kind(self, kind: str, node: Mapping[str, Any], place: _Place) -> Shape:
        if kind in _SCALARS:
            return _SCALARS[kind]
        if kind == "array":
            return self._array(node, place)
        return self._object(node, place) if node.get("properties") else Shape(dict[str, Any], None, unchecked=True)

    def _array(self, node: Mapping[str, Any], place: _Place) -> Shape:
        if "prefixItems" in node or not isinstance(node.get("items"), Mapping):
            return Shape(list[Any], None, unchecked=True)
        item = self.shape(node["items"], place.child("item"))
        arrow = None if item.arrow is None else pa.list_(item.arrow)
        return Shape(GenericAlias(list, (item.annotation,)), arrow, item.unchecked)

    def _object(self, node: Mapping[str, Any], place: _Place) -> Shape:
        model = self.build(node, place)
        shapes = model.shapes.values()
        keeps_extras = model.model_class.model_config.get("extra") == "allow"
        typed = not keeps_extras and all(shape.arrow is not None for shape in shapes)
        arrow = pa.struct([(name, shape.arrow) for name, shape in model.shapes.items()]) if typed else None
        return Shape(model.model_class, arrow, keeps_extras or any(shape.unchecked for shape in shapes))


def _union(shapes: list[Shape]) -> Shape:
    """Return the shape of alternatives: their Arrow type if all have the same flat one, else JSON text."""
    concrete = [shape for shape in shapes if shape.annotation is not type(None)]
    if not concrete:
        return _NULL
    arrow = concrete[0].arrow
    same = len(concrete) == 1 or (not pa.types.is_nested(arrow) if arrow else False)
    if not same or any(shape.arrow != arrow for shape in concrete):
        arrow = None
    annotation: Any = Union[tuple(shape.annotation for shape in concrete)]  # noqa: UP007 - built at run time
    union = Shape(annotation, arrow, any(shape.unchecked for shape in concrete))
    nullable = len(concrete) < len(shapes) or any(shape.nullable for shape in concrete)
    return union.or_none() if nullable else union


def _enum_shape(values: list[Any]) -> Shape:
    concrete = [value for value in values if value is not None]
    shape = _concrete_enum_shape(concrete)
    return shape.or_none() if len(concrete) < len(values) else shape


def _concrete_enum_shape(values: list[Any]) -> Shape:
    kinds = {type(value) for value in values}
    if not values:
        return _NULL
    if kinds == {str} or kinds == {bool}:
        return Shape(Literal[tuple(values)], pa.string() if kinds == {str} else pa.bool_())
    if kinds == {int} and all(INT64_MIN <= value <= INT64_MAX for value in values):
        return Shape(Annotated[_Int64, AfterValidator(_member_of(values))], pa.int64())
    if kinds <= {int, float}:
        return Shape(Annotated[float, AfterValidator(_member_of(values))], pa.float64())
    if kinds <= {str, int, float, bool}:
        return Shape(Annotated[Any, AfterValidator(_member_of(values))], None, unchecked=True)
    return replace(_ANYTHING, nullable=False)


def _member_of(values: list[Any]) -> Callable[[Any], Any]:
    """Return a check of an enumeration by JSON's equality: 1 and 1.0 are equal, 1 and true are not.

    Unlike Literal, it runs after the type, which may have converted "1" to 1.
    """
    members = frozenset((type(value) is bool, value) for value in values)
    text = ", ".join(map(repr, values[:10]))

    def check(value: Any) -> Any:
        if isinstance(value, (dict, list)) or (type(value) is bool, value) not in members:
            raise ValueError(f"must be one of {text}")
        return value

    return check


def _field_info(node: Mapping[str, Any], field_name: str, default: Any) -> FieldInfo:
    text = node.get("description")
    info: FieldInfo = Field(default, alias=field_name, description=text if isinstance(text, str) else None)
    return info


def _attribute_name(field_name: str, index: int, properties: Mapping[str, Any]) -> str:
    """Return an attribute name for a field: its own name if a Pydantic class allows it."""
    usable = field_name.isidentifier() and not field_name.startswith("_") and not keyword.iskeyword(field_name)
    if usable and field_name.isascii() and field_name not in _TAKEN:
        return field_name
    name = f"field_{index}"
    while name in properties:
        name += "_"
    return name


def _extra_of(node: Mapping[str, Any], keep_extras: bool) -> Literal["allow", "ignore", "forbid"]:
    """Return what to do with undeclared properties: they have no column and are kept only for rules that need them."""
    additional = node.get("additionalProperties", True)
    if additional is False and "patternProperties" not in node:
        return "forbid"
    harmless = additional is True or additional == {}
    return "ignore" if harmless and not keep_extras else "allow"


def check_storable(value: Any, path: str) -> None:
    """Raise ValueError if a column cannot hold a number or text in `value`; `path` names the place."""
    match value:
        case bool() | None:
            return
        case int() if not INT64_MIN <= value <= INT64_MAX:
            raise ValueError(f"{path}: integer beyond 64 bits")
        case float() if value - value != 0:
            raise ValueError(f"{path}: not a finite number")
        case str() if not _is_encodable(value):
            raise ValueError(f"{path}: text with a lone surrogate")
        case dict():
            for key, item in value.items():
                check_storable(str(key), path)
                check_storable(item, path)
        case list():
            for item in value:
                check_storable(item, path)


def _is_encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
