"""Builds a TypedDict with the rules of an answer's Pydantic model, which validates without an object per answer."""

from __future__ import annotations

from types import GenericAlias, NoneType
from typing import Annotated, Any, Optional, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from typing_extensions import NotRequired, TypedDict


class JsonValidator(Protocol):
    """The part of pydantic-core's validators that is used here."""

    def validate_json(self, input: str, /) -> Any: ...


def dict_validator(model: type[BaseModel]) -> JsonValidator | None:
    """Return a validator that accepts what `model` accepts and returns what it dumps, without unset fields.

    It takes half of the time. None if the model has a choice between objects, since a model and a TypedDict may choose
    different ones.
    """
    try:
        typed_dict = _typed_dict(model)
    except _ChoiceOfObjects:
        return None
    return TypeAdapter(typed_dict).validator


class _ChoiceOfObjects(Exception):  # noqa: N818 - it names a case, not a fault of the program
    """A union has several members, and one of them is an object."""


def _typed_dict(model: type[BaseModel]) -> Any:
    fields = {info.alias or name: _field(info) for name, info in model.model_fields.items()}
    typed_dict = TypedDict(model.__name__, fields)  # type: ignore[misc] # its fields are known at run time only
    typed_dict.__pydantic_config__ = model.model_config  # type: ignore[attr-defined] # pydantic's own way to configure one
    return typed_dict


def _field(info: FieldInfo) -> Any:
    annotation = _without_models(info.annotation)
    for metadata in info.metadata:
        annotation = Annotated[annotation, metadata]
    return annotation if info.is_required() else NotRequired[annotation]


def _without_models(annotation: Any) -> Any:
    """Return an annotation in which a TypedDict replaces each model."""
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return _typed_dict(annotation)
    if not _holds_model(annotation):
        return annotation
    if get_origin(annotation) is list:
        return GenericAlias(list, tuple(map(_without_models, get_args(annotation))))
    if get_origin(annotation) is Union:
        choices = [choice for choice in get_args(annotation) if choice is not NoneType]
        if len(choices) == 1:
            return Optional[_without_models(choices[0])]  # noqa: UP045 - its type is known at run time only
    raise _ChoiceOfObjects


def _holds_model(annotation: Any) -> bool:
    if isinstance(annotation, type) and not get_args(annotation):
        return issubclass(annotation, BaseModel)
    return any(map(_holds_model, get_args(annotation)))
