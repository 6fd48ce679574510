"""A group of fields that a person writes. Owns how blanks and written forms are kept; refuses unknown fields.

A blank (`""` or `null`, which forms leave behind) means "not filled in": the field takes its default. Numbers may be
written as text, durations in several ways; whatever was written comes out of `document()` again as it was.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from teleporter_lab.config.problems import explain
from teleporter_lab.errors import InvalidConfig, Problem

if TYPE_CHECKING:
    from teleporter_lab.config.document import Place

Model = TypeVar("Model", bound=BaseModel)
_Scalar = bool | int | float | str | None


class Block(BaseModel):
    """Base of all groups of fields: camelCase in JSON, snake_case in Python, immutable.

    Two blocks are equal when their fields are, however they were written.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    _written: dict[str, tuple[_Scalar, object]] = PrivateAttr(default_factory=dict)
    """What was written for a field, and the value that it gave; a copy with another value forgets it."""

    @model_validator(mode="wrap")
    @classmethod
    def _keep_written(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, dict):
            return handler(value)
        given = cast("dict[str, object]", value)
        block = handler(without_blanks(cls, given))
        for field, info in cls.model_fields.items():
            name = info.alias or field
            written = given.get(name)
            if name in given and isinstance(written, _Scalar):
                block._written[field] = (written, deepcopy(getattr(block, field)))
        return block

    def document(self) -> dict[str, Any]:
        """The JSON form, as it was written; fields that were not set are left out."""
        found: dict[str, Any] = {}
        for field, info in type(self).model_fields.items():
            value = getattr(self, field)
            written = self._written.get(field)
            if written is not None and written[1] == value:
                found[info.alias or field] = written[0]
            elif field in self.model_fields_set:
                found[info.alias or field] = value.document() if isinstance(value, Block) else deepcopy(value)
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Block):
            return NotImplemented
        return type(self) is type(other) and dict(self) == dict(other)


def without_blanks(model: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """`value` without the fields of `model` that a form left blank: `""` and `null`."""
    known = {info.alias or field for field, info in model.model_fields.items()}
    return {name: item for name, item in value.items() if name not in known or (item is not None and item != "")}


def parse_block(model: type[Model], value: dict[str, Any], base: Place = ()) -> Model:
    """A connector's block (`client`, `roller`, `ack`) by its model, blanks left out; the references are resolved.

    Raises InvalidConfig with all problems, their paths beginning with `base`, such as `("client",)`.
    """
    filled = without_blanks(model, value)
    try:
        return model.model_validate(filled, by_alias=True, by_name=False)
    except ValidationError as error:
        raise refused("The block", explain(error, model, filled, base)) from error


def refused(what: str, problems: list[Problem]) -> InvalidConfig:
    """The error that carries `problems`; `what` begins its sentence."""
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return InvalidConfig(f"{what} has {count}.", tuple(problems))
