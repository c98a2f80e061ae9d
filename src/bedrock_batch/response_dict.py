"""The answer's model as a TypedDict: the same rules, without an object for each answer."""

from __future__ import annotations

from types import GenericAlias, NoneType
from typing import Annotated, Any, Optional, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from typing_extensions import NotRequired, TypedDict


class JsonValidator(Protocol):
    """What is used of pydantic-core's validators."""

    def validate_json(self, input: str, /) -> Any: ...


def dict_validator(model: type[BaseModel]) -> JsonValidator | None:
    """Return the validator that accepts what `model` accepts and gives what the model dumps, unset fields left out.

    It takes half of the time. None for a model with a choice between objects: which of them an answer is may be
    decided by another rule there.
    """
    try:
        twin = _typed_dict(model)
    except _ChoiceOfObjects:
        return None
    return TypeAdapter(twin).validator


class _ChoiceOfObjects(Exception):  # noqa: N818 - it names what is the case, not a fault of the program
    """A union holds two shapes of which one is an object."""


def _typed_dict(model: type[BaseModel]) -> Any:
    fields = {info.alias or name: _field(info) for name, info in model.model_fields.items()}
    twin = TypedDict(model.__name__, fields)  # type: ignore[misc] # its fields are known at run time only
    twin.__pydantic_config__ = model.model_config  # type: ignore[attr-defined] # pydantic's own way to configure one
    return twin


def _field(info: FieldInfo) -> Any:
    annotation = _twin(info.annotation)
    for metadata in info.metadata:
        annotation = Annotated[annotation, metadata]
    return annotation if info.is_required() else NotRequired[annotation]


def _twin(annotation: Any) -> Any:
    """Return an annotation with a TypedDict in the place of each model."""
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return _typed_dict(annotation)
    if not _holds_model(annotation):
        return annotation
    if get_origin(annotation) is list:
        return GenericAlias(list, tuple(map(_twin, get_args(annotation))))
    if get_origin(annotation) is Union:
        choices = [choice for choice in get_args(annotation) if choice is not NoneType]
        if len(choices) == 1:
            return Optional[_twin(choices[0])]  # noqa: UP045 - the twin is known at run time only
    raise _ChoiceOfObjects


def _holds_model(annotation: Any) -> bool:
    if isinstance(annotation, type) and not get_args(annotation):
        return issubclass(annotation, BaseModel)
    return any(map(_holds_model, get_args(annotation)))
