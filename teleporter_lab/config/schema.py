"""JSON Schema of the nodes, from which forms are made. Owns what a form needs; refuses to validate (`parse_node` does).

Draft 07 with `$defs`, which react-jsonschema-form 5 and Ajv 8 read as they are: no choice between a value and `null`
(a field left empty is left out), numbers also as text (`"9021"`, `${v.port}`), durations as text. Three keywords help
a form and mean nothing to a validator: `x-table` (a key of which tables belongs here), `x-duration` and
`contentMediaType` (source text).
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import GenerateJsonSchema

from teleporter_lab.config.duration import format_duration
from teleporter_lab.config.nodes import NODES, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.config.key import Table


_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_NO_BLOCKS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType({})
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")
_NUMBER_AS_TEXT: Final[Mapping[str, str]] = {
    "integer": r"^\s*([+-]?[0-9]+)?\s*$|\$\{",
    "number": r"^\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)?\s*$|\$\{",
}


def schema(table: Table, blocks: Mapping[str, type[BaseModel]] = _NO_BLOCKS) -> dict[str, Any]:
    """The schema of a table's values; each of `blocks` takes the place of the field of its name, such as `client`."""
    node = NODES[table]
    fields = {name: _block_field(node, name, model) for name, model in blocks.items() if name in node.model_fields}
    shown = (
        create_model(node.__name__, __base__=node, __doc__=node.__doc__, **cast("dict[str, Any]", fields))
        if fields
        else node
    )
    made = shown.model_json_schema(by_alias=True, mode="validation", schema_generator=_Titled)
    made = cast("dict[str, Any]", _for_forms(made))
    return {"$schema": _DRAFT, **made, "title": node.model_config.get("title", table.value)}


class _Titled(GenerateJsonSchema):
    """Titles as people write them: `batchSize` is titled `Batch size`."""

    def get_title_from_name(self, name: str) -> str:
        words = _HUMP.sub(" ", name).strip()
        return words[:1].upper() + words[1:].lower() if words else name


def _block_field(node: type[Node], name: str, model: type[BaseModel]) -> tuple[type[BaseModel], Any]:
    info = node.model_fields[name]
    needs_one = any(field.is_required() for field in model.model_fields.values())
    default: Any = {} if needs_one else {"default_factory": model}
    return model, Field(title=info.title, description=info.description, **default)


def _for_forms(part: Any) -> Any:
    if isinstance(part, list):
        return [_for_forms(item) for item in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    made = {name: _for_forms(item) for name, item in _without_null(cast("dict[str, Any]", part)).items()}
    pattern = _NUMBER_AS_TEXT.get(made["type"]) if isinstance(made.get("type"), str) else None
    if pattern is not None and not {"enum", "const", "pattern"} & made.keys():
        made |= {"type": [made["type"], "string"], "pattern": pattern}
    if "x-duration" in made and isinstance(made.get("default"), int | float):
        made["default"] = format_duration(made["default"])
    return made


def _without_null(part: dict[str, Any]) -> dict[str, Any]:
    """`part` without `null` as an alternative or a default, and with a lone alternative in its place."""
    kept = {name: item for name, item in part.items() if not (name == "default" and item is None)}
    alternatives: Any = kept.get("anyOf")
    if not isinstance(alternatives, list) or {"type": "null"} not in alternatives:
        return kept
    others = [item for item in cast("list[dict[str, Any]]", alternatives) if item != {"type": "null"}]
    del kept["anyOf"]
    if len(others) > 1:
        return {"anyOf": others, **kept}
    return {**others[0], **kept, **({"type": ["string", "null"]} if others[0].get("type") == "string" else {})}
