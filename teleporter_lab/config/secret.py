"""Text that must not be shown. Owns the mask; refuses to say what is behind it unless asked by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import CoreSchema, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

MASK = "••••"
"""What is shown in place of a secret."""


class Secret(str):
    """Text that `str`, `repr`, `format` and `%s` show as `••••`; `reveal()` gives what a driver needs.

    It is a real `str`, so that comparing, encoding and parsing see the true text. Joining it with other text by
    hand gives plain text that hides nothing: reveal late. As the type of a pydantic field it takes text, is shown
    masked in every repr and JSON dump, and becomes a password box in a form.
    """

    __slots__ = ()

    def reveal(self) -> str:
        """The text itself, as a plain `str`."""
        return str.__str__(self)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": "password"}
