import msgspec


class Row(msgspec.Struct):
    id: int
    name: str
    note: str
    amount: float


class Envelope(msgspec.Struct):
    payload: Row


decode = msgspec.json.Decoder(Envelope).decode


@stream_logic  # noqa: F821 - a template is given it
def rows(s):
    return s.source("topic").map(lambda value: decode(value).payload).to(s.sink("table"))
