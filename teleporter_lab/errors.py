"""Every error of the project, as one tree. Owns names, codes and sentences; refuses to know who raises them.

    TeleporterError
    ├── InvalidInput                 what a person wrote is wrong; HTTP 422, exit code 1
    │   ├── InvalidKey               text that is no key
    │   │   └── UnknownTable         its first segment names no table
    │   ├── InvalidConfig            a value that its table's model refuses; carries all problems
    │   ├── InvalidDuration          text that is no duration
    │   ├── InvalidPattern           a regular expression that does not compile
    │   └── UnresolvedReference      a variable, secret or address that is not there
    ├── NotFound                     nothing is kept under that key; HTTP 404
    ├── Conflict                     compare-and-set lost: the value is another one by now; HTTP 409
    ├── DeadLettersFull              a stream has as many dead letters as may be kept; HTTP 409
    ├── Unauthorized                 no token, or a wrong one; HTTP 401
    ├── Forbidden                    a good token without the scope; HTTP 403
    ├── StoreError                   the store does not answer or refuses; HTTP 503
    │   └── StoreLocked              another process owns this embedded store
    ├── DaemonError                  starting or stopping a process failed
    │   ├── AlreadyRunning           a daemon of that name lives
    │   ├── NotRunning               no daemon of that name lives
    │   └── PortInUse                another program listens there
    ├── Unreachable                  a broker that does not answer; exit code 3
    ├── ProtocolError                the other side of an RPC connection broke the rules
    │   ├── FrameTooLarge
    │   ├── MalformedFrame           bytes that are no message
    │   ├── VersionMismatch
    │   └── ConnectionLost           the connection ended while requests were open
    ├── StreamError                  one stream failed; the others go on
    │   ├── TemplateError            the source of a stream logic does not compile or import
    │   ├── LogicError               the logic raised, or returned something that is no graph
    │   └── ElementError             a user's function failed on an element and no rule allowed to go on
    ├── ConnectorError               a system outside said no
    │   ├── UnknownConnector         no connector of that category
    │   ├── MissingDriver            an extra is not installed; says which
    │   ├── AddressUnreachable       the system does not answer, or the file cannot be opened
    │   ├── BadRecord                one record is not of the form that was promised
    │   └── RecordsRefused           some records of a batch were refused; says which
    ├── AckError                     the ack window was used against its rules
    └── NotConfirmed                 records were delivered as often as allowed and never confirmed

`code` is stable: it travels in REST and RPC bodies, and `from_body` turns a body into the same class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where (`client.topics`, empty for the whole value) and a sentence that says what is right."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class TeleporterError(Exception):
    """The root. `message` is one plain sentence; `problems` lists single mistakes where there are several."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    """The HTTP status that a REST answer carries."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if not self.problems:
            return self.message
        return "\n".join([self.message, *(f"  {problem}" for problem in self.problems)])

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.problems))

    def body(self) -> dict[str, Any]:
        """The form in which an error travels: `{code, message, problems: [{path, message}]}`."""
        return {
            "code": self.code,
            "message": self.message,
            "problems": [{"path": p.path, "message": p.message} for p in self.problems],
        }


class InvalidInput(TeleporterError):
    code, status = "invalid_input", 422


class InvalidKey(InvalidInput):
    code, status = "invalid_key", 422


class UnknownTable(InvalidKey):
    code, status = "unknown_table", 422


class InvalidConfig(InvalidInput):
    code, status = "invalid_config", 422


class InvalidDuration(InvalidInput):
    code, status = "invalid_duration", 422


class InvalidPattern(InvalidInput):
    code, status = "invalid_pattern", 422


class UnresolvedReference(InvalidInput):
    code, status = "unresolved_reference", 422


class NotFound(TeleporterError):
    code, status = "not_found", 404


class Conflict(TeleporterError):
    code, status = "conflict", 409


class DeadLettersFull(TeleporterError):
    code, status = "dead_letters_full", 409


class Unauthorized(TeleporterError):
    code, status = "unauthorized", 401


class Forbidden(TeleporterError):
    code, status = "forbidden", 403


class StoreError(TeleporterError):
    code, status = "store_error", 503


class StoreLocked(StoreError):
    code, status = "store_locked", 503


class DaemonError(TeleporterError):
    code, status = "daemon_error", 500


class AlreadyRunning(DaemonError):
    code, status = "already_running", 409


class NotRunning(DaemonError):
    code, status = "not_running", 404


class PortInUse(DaemonError):
    code, status = "port_in_use", 409


class Unreachable(TeleporterError):
    code, status = "unreachable", 503


class ProtocolError(TeleporterError):
    code, status = "protocol_error", 400


class FrameTooLarge(ProtocolError):
    code, status = "frame_too_large", 400


class MalformedFrame(ProtocolError):
    code, status = "malformed_frame", 400


class VersionMismatch(ProtocolError):
    code, status = "version_mismatch", 400


class ConnectionLost(ProtocolError):
    code, status = "connection_lost", 503


class StreamError(TeleporterError):
    code, status = "stream_error", 500


class TemplateError(StreamError):
    code, status = "template_error", 422


class LogicError(StreamError):
    code, status = "logic_error", 422


class ElementError(StreamError):
    code, status = "element_error", 500


class ConnectorError(TeleporterError):
    code, status = "connector_error", 502


class UnknownConnector(ConnectorError):
    code, status = "unknown_connector", 422


class MissingDriver(ConnectorError):
    code, status = "missing_driver", 422


class AddressUnreachable(ConnectorError):
    code, status = "address_unreachable", 502


class BadRecord(ConnectorError):
    """Nothing of the batch is stored. `index` is the place of the record in its batch, where the writer knows it.

    Of a reader `record` is what could not be read, as it was found.
    """

    code, status = "bad_record", 422

    def __init__(
        self, message: str, problems: tuple[Problem, ...] = (), index: int | None = None, record: Any = None
    ) -> None:
        super().__init__(message, problems)
        self.index = index
        self.record = record

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.problems, self.index, self.record))


class RecordsRefused(ConnectorError):
    """`refused` has what each refused record failed with, by its place in the batch.

    Raised by `write` all other records of the batch are stored, by `write_marked` nothing is.
    """

    code, status = "records_refused", 422

    def __init__(
        self, message: str, problems: tuple[Problem, ...] = (), refused: Mapping[int, Exception] | None = None
    ) -> None:
        super().__init__(message, problems)
        self.refused: dict[int, Exception] = dict(refused or {})

    @classmethod
    def of(cls, refused: Mapping[int, Exception], what: str) -> RecordsRefused:
        """With a sentence that counts them and shows the first one; `what` has refused them, like `The index goods`."""
        records = "1 record" if len(refused) == 1 else f"{len(refused)} records"
        return cls(
            f"{what} has refused {records} of the batch; the first one: {refused[min(refused)]}", refused=refused
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.problems, self.refused))


class AckError(TeleporterError):
    code, status = "ack_error", 500


class NotConfirmed(TeleporterError):
    code, status = "not_confirmed", 504


def _subclasses(root: type[TeleporterError]) -> list[type[TeleporterError]]:
    found = [root]
    for child in root.__subclasses__():
        found.extend(_subclasses(child))
    return found


BY_CODE: dict[str, type[TeleporterError]] = {kind.code: kind for kind in _subclasses(TeleporterError)}
"""Every class under its code, so that a client raises what the server raised."""


def from_body(body: dict[str, Any]) -> TeleporterError:
    """The error that `body()` described; an unknown code becomes the root class. Raises nothing."""
    kind = BY_CODE.get(str(body.get("code", "")), TeleporterError)
    raw: list[Any] = body.get("problems") or []
    rows = [cast("dict[str, Any]", row) for row in raw if isinstance(row, dict)]
    problems = tuple(Problem(str(row.get("path", "")), str(row.get("message", ""))) for row in rows)
    return kind(str(body.get("message", "unknown error")), problems)
