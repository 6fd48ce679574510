"""What broker and instance say to each other, as plain values.

Owns the names and fields of every message. Refuses bytes, sockets and meaning: JSON documents travel as text
which nobody here looks into. A message may gain fields that have a default, never lose or rename one: a
receiver ignores fields it does not know.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from teleporter_lab.errors import TeleporterError, from_body

PROTOCOL_VERSION = 1
"""What both sides must agree on; it grows when an old peer could misunderstand a new one."""

MAX_ITEMS = 1_000_000
"""The longest list in a message, so that a length that lies reserves no memory."""

Table = Literal["config", "runtime"]
Texts = Annotated[list[str], msgspec.Meta(max_length=MAX_ITEMS)]
Pairs = Annotated[list[tuple[str, str]], msgspec.Meta(max_length=MAX_ITEMS)]


class Tagged(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="t"):
    """The root: a map on the wire whose field `t` is the name of the class."""


# ---- the handshake


class Hello(Tagged, frozen=True, gc=False):
    """The first frame, of the side that dialled: its key and its version of this package."""

    version: int
    token: str
    instance: str
    pid: int
    host: str
    package: str

    def __repr__(self) -> str:
        return f"Hello(version={self.version}, token='••••', instance={self.instance!r}, pid={self.pid})"


class Welcome(Tagged, frozen=True, gc=False):
    """The answer to a good Hello. `heartbeat` is the wanted time between two signs of life, in seconds."""

    broker: str
    session: str
    heartbeat: Annotated[float, msgspec.Meta(ge=0.01)]


class Goodbye(Tagged, frozen=True, gc=False):
    """The last frame of either side, saying why: the code of an error, or `closing`, `idle`, `stalled`."""

    code: str
    reason: str


# ---- the store


class KVGet(Tagged, frozen=True, gc=False):
    """Answered by KeyValue, or Failure `not_found`."""

    table: Table
    key: str


class RangeRegexKV(Tagged, frozen=True, gc=False):
    """One page of the keys that match a tail regex. Answered by KeyValues."""

    table: Table
    pattern: str
    start: int
    limit: int


class KVSave(Tagged, frozen=True, gc=False):
    table: Table
    key: str
    value: str


class AtomicSaveKV(Tagged, frozen=True, gc=False):
    """Compare-and-set; `expect` None: nothing may be there. Answered by Done, or Failure `conflict`."""

    table: Table
    key: str
    expect: str | None
    update: str


class KVRemove(Tagged, frozen=True, gc=False):
    table: Table
    key: str


class KeyValue(Tagged, frozen=True, gc=False):
    key: str
    value: str


class KeyValues(Tagged, frozen=True, gc=False):
    items: Annotated[list[KeyValue], msgspec.Meta(max_length=MAX_ITEMS)]


class PositionCommit(Tagged, frozen=True, gc=False):
    """Compare-and-set of a position; a stale value or epoch is refused with Failure `conflict`."""

    key: str
    expect: str | None
    update: str
    epoch: int


# ---- who is there, and who owns what


class LinkInstance(Tagged, frozen=True, gc=False):
    """An instance says that it is here; an ephemeral one is forgotten with its connection."""

    instance: str
    ephemeral: bool


class LinkAddress(Tagged, frozen=True, gc=False):
    """An instance uses this address, and wants to hear of its changes."""

    instance: str
    address: str


class LinkVariable(Tagged, frozen=True, gc=False):
    """An instance uses this variable, and wants to hear of its changes."""

    instance: str
    variable: str


class InstanceState(Tagged, frozen=True, gc=False):
    instance: str
    status: str
    at: float


class BrokerState(Tagged, frozen=True, gc=False):
    broker: str
    status: str
    at: float


class TaskState(Tagged, frozen=True, gc=False):
    """The broker tells an instance all it owns of a task now. Answered by Done when the rest has stopped."""

    task: str
    partitions: Texts
    epoch: int


class ConfigChangeNotify(Tagged, frozen=True, gc=False):
    """The broker asks to apply a change. Answered by Done, or by Failure while the old one goes on."""

    key: str
    action: Literal["ADD", "UPDATE", "UPSERT", "REMOVE"]


# ---- streams


class StreamCommand(Tagged, frozen=True, gc=False):
    """`delay` in seconds."""

    key: str
    action: Literal["start", "stop", "restart", "remove"]
    delay: float


class StreamState(Tagged, frozen=True, gc=False):
    """`since` in seconds of the epoch, `rate` in records a second.

    `matched` counts failures that error rules have matched, by level; `alarms` how often the ledger did not add up.
    `acks` says of the present run how many records are `unconfirmed`, the `oldest_age` of one, how many were
    `redelivered` and how many answers came `late`, the `commits` and the `commit_lag`; ages in seconds.
    """

    key: str
    instance: str
    status: str
    since: float
    restarts: int
    error: str
    counts: dict[str, int]
    rate: float
    matched: dict[str, int] = {}
    alarms: int = 0
    acks: dict[str, float] = {}


class MetricsReport(Tagged, frozen=True, gc=False):
    instance: str
    at: float
    streams: Annotated[list[StreamState], msgspec.Meta(max_length=MAX_ITEMS)]


class LogTail(Tagged, frozen=True, gc=False):
    """The last `lines` of an instance's log, as LogLines; with `follow`, later ones come as notices."""

    instance: str
    lines: int
    follow: bool


class LogLines(Tagged, frozen=True, gc=False):
    lines: Texts


class Tap(Tagged, frozen=True, gc=False):
    """At most `limit` live records of a running stream."""

    key: str
    limit: int


class PutAside(Tagged, frozen=True, gc=False):
    """An instance puts records of a stream aside: pairs of a letter's id and its JSON. One that is put twice is one.

    Answered by Done when all of them are kept, or Failure `dead_letters_full`, `conflict`, `invalid_input`.
    """

    stream: str
    letters: Pairs


class Redrive(Tagged, frozen=True, gc=False):
    """The broker asks to send dead letters through their stream again, each from its place on. Answered by Redriven."""

    key: str
    letters: Pairs


class Redriven(Tagged, frozen=True, gc=False):
    """The ids of the letters that have arrived, and of each that has not (id, why)."""

    done: Texts
    failed: Pairs


class Done(Tagged, frozen=True, gc=False):
    """It is done, and there is nothing more to say."""


class Failure(Tagged, frozen=True, gc=False):
    """An error as it travels: the fields of `TeleporterError.body()`, each problem a (path, message)."""

    code: str
    message: str
    problems: Pairs


Message = (
    KVGet
    | RangeRegexKV
    | KVSave
    | AtomicSaveKV
    | KVRemove
    | KeyValue
    | KeyValues
    | PositionCommit
    | LinkInstance
    | LinkAddress
    | LinkVariable
    | InstanceState
    | BrokerState
    | TaskState
    | ConfigChangeNotify
    | StreamCommand
    | StreamState
    | MetricsReport
    | LogTail
    | LogLines
    | Tap
    | PutAside
    | Redrive
    | Redriven
    | Done
)

# ---- envelopes


class Request(Tagged, frozen=True, gc=False):
    """Wants a Reply of the same `seq`, which its sender never uses twice on a connection."""

    seq: Annotated[int, msgspec.Meta(ge=0)]
    body: Message


class Reply(Tagged, frozen=True, gc=False):
    seq: Annotated[int, msgspec.Meta(ge=0)]
    body: Message | Failure


class Notice(Tagged, frozen=True, gc=False):
    """Wants no answer. Notices are taken in the order in which they were sent."""

    body: Message


Envelope = Hello | Welcome | Goodbye | Request | Reply | Notice
"""Whatever one frame may hold."""


def failure_of(error: TeleporterError) -> Failure:
    """The form in which `error` travels."""
    return Failure(error.code, error.message, [(p.path, p.message) for p in error.problems])


def error_of(failure: Failure) -> TeleporterError:
    """The error that `failure_of` described, of the same class; an unknown code becomes the root class."""
    problems = [{"path": path, "message": message} for path, message in failure.problems]
    return from_body({"code": failure.code, "message": failure.message, "problems": problems})
