"""JSON values of messages as columns.

Owns the columns of a topic: those that its first messages have, with the types found there or given by name. What does
not fit is a bad message; nothing of it is left out to make it fit.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import msgspec

from teleporter_lab.connectors.json_columns import JsonForm
from teleporter_lab.connectors.kafka_records import UNREADABLE, bad_message
from teleporter_lab.connectors.record_batches import arrow, misfits
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.kafka import KafkaSourceOptions
    from teleporter_lab.connectors.record_batches import Batch
    from teleporter_lab.errors import BadRecord

SAMPLE = 1000
"""Messages that say which columns there are."""


class JsonColumns:
    """A row for each message. The columns are those of the first messages given, and stay."""

    columnar = True

    def __init__(self, options: KafkaSourceOptions) -> None:
        self._types = options.types
        self._form: JsonForm | None = None
        self._quick: QuickColumns | None = None

    def decode(self, messages: Sequence[Any]) -> tuple[Batch | None, int, BadRecord | None]:
        if self._form is None:
            sample = _objects(messages[:SAMPLE])
            if not sample:
                return None, 0, _no_row(messages[0])
            self._form = self._found(sample, messages[0].topic)
            self._quick = QuickColumns.of(self._form)
        values = [b"" if message.value is None else message.value for message in messages]
        batch = self._parsed(self._form, values)
        if batch is not None:
            return batch, len(messages), None
        good = self._form.count_good(values)
        return (self._form.parsed(values[:good]) if good else None), good, _wrong(self._form, messages[good])

    def _found(self, sample: list[dict[str, Any]], topic: str) -> JsonForm:
        """The columns of as many of the first objects as fit together: behind these, what does not fit is bad.

        Raises ConnectorError when the first one alone makes none.
        """
        while True:
            try:
                return JsonForm(sample, self._types, topic)
            except ConnectorError as error:
                if len(sample) == 1:
                    raise ConnectorError(
                        f"The values of {topic} make no columns; leave out columns there. {error.message}"
                    ) from error
            sample = sample[: len(sample) // 2]

    def _parsed(self, form: JsonForm, values: list[bytes]) -> Batch | None:
        batch = None if self._quick is None else self._quick.parsed(values)
        return form.parsed(values) if batch is None else batch


class QuickColumns:
    """The columns of values whose fields have simple types: three times as fast as a parser of lines.

    Values become rows of a type made for the columns, which the garbage collector need not look at. Anything unusual
    makes it step back: then the form says what fits and what does not.
    """

    def __init__(self, form: JsonForm) -> None:
        self._schema = form.schema
        fields = {f"f{number}": field for number, field in enumerate(form.schema)}
        row = msgspec.defstruct(
            "Row",
            [(own, _python(field.type) | None, None) for own, field in fields.items()],
            rename={own: field.name for own, field in fields.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode = msgspec.json.Decoder(row).decode
        self._columns = [(attrgetter(own), field.type) for own, field in fields.items()]
        self._wrong = (*UNREADABLE, *misfits())

    @classmethod
    def of(cls, form: JsonForm) -> QuickColumns | None:
        """None where a column has a type that needs the parser of the form."""
        return cls(form) if all(_python(kind) is not None for kind in form.schema.types) else None

    def parsed(self, values: Sequence[bytes]) -> Batch | None:
        pa = arrow()
        try:
            rows = list(map(self._decode, values))
            arrays = [pa.array(list(map(cell, rows)), kind) for cell, kind in self._columns]
        except self._wrong:
            return None
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _python(kind: Any) -> Any:
    """The Python type of a simple column; None of another one."""
    pa = arrow()
    simple: list[tuple[Any, type]] = [(pa.int64(), int), (pa.float64(), float), (pa.string(), str), (pa.bool_(), bool)]
    return next((python for arrow_type, python in simple if arrow_type == kind), None)


def _objects(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """The values that are objects with fields."""
    found: list[dict[str, Any]] = []
    for message in messages:
        try:
            value = msgspec.json.decode(message.value or b"null")
        except UNREADABLE:
            continue
        if isinstance(value, dict) and value:
            found.append(cast("dict[str, Any]", value))
    return found


def _no_row(message: Any) -> BadRecord:
    return bad_message(message, "it has no object with fields as value, and a row needs one")


def _wrong(form: JsonForm, message: Any) -> BadRecord:
    if message.value is None:
        return _no_row(message)
    try:
        return bad_message(message, form.wrong(message.value))
    except UNREADABLE as error:
        return bad_message(message, f"its value is no JSON: {error}", error)
