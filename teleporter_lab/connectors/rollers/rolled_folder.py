"""Files of one path pattern, written one after another.

Owns what is decided: when a file is begun, gone on with, completed and called how. Refuses to wait for a moment
(`rolled_files` does) and to know a format. Blocks; what the clock shows is handed in.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.lines import unreachable
from teleporter_lab.connectors.rollers.names import NamePattern, Naming
from teleporter_lab.connectors.rollers.part import Part
from teleporter_lab.errors import Conflict, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from teleporter_lab.connectors.rollers.formats import Draft, Format
    from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
    from teleporter_lab.engine.endpoints import Mark

log = logging.getLogger(__name__)


class RolledFolder:
    """One file grows, hidden; when its time is over or it is full it gets its name, and the next batch begins another.

    A batch is never in two files. Methods raise ConnectorError; then nothing of the batch is stored.
    """

    def __init__(self, path: str, roller: SinkRoller, form: Format, exactly_once: bool = False) -> None:
        """`exactly_once`: records without a mark are beside the order of their source, and leave the marks as they are.

        Raises ConnectorError where `path` is no pattern.
        """
        try:
            self._pattern = NamePattern(path)
            now = datetime.now(roller.zone)
            self._pattern.name(Naming(now, now), 1)
        except ValueError as error:
            raise ConnectorError(str(error)) from error
        self._roller = roller
        self._schedule = roller.schedule()
        self._format = form
        self._part = Part(self._pattern.folder, self._pattern.hidden)
        self._exactly_once = exactly_once
        self._open = False
        self._owed = False
        """The file is to be completed before anything else is written."""
        self.due: datetime | None = None
        """When the time of the unfinished file is over; None: there is none, or its time is not bounded."""
        self._records = 0
        self._files = 0

    @property
    def columnar(self) -> bool:
        """Takes columns as well as rows."""
        return self._format.columnar

    def open(self, now: datetime) -> None:
        """Goes on with the unfinished file that is there, or completes it."""
        if self._open:
            return
        try:
            with self._told():
                self._part.open()
                self._open = True
                self._owed = not self._resumed()
                self._begun()
                self._complete_if_over(now)
        except BaseException:
            self._part.close()
            self._open = False
            raise

    def marked(self, key: str) -> str | None:
        """The position record that is stored with the records under `key`."""
        return self._part.kept.marks.get(key)

    def write(self, records: Sequence[Any], now: datetime, mark: Mark | None = None) -> None:
        """Returns when the records, and the mark, are on the disk. Raises Conflict where the mark expects another."""
        with self._told():
            self._complete_if_over(now)
            changes = self._marking(mark)
            if len(records):
                self._add(self._format.draft(records), now, changes)
            elif mark is not None:
                self._part.append(b"", **changes)
        self._complete_if_full(now)

    def roll(self, now: datetime) -> None:
        """Completes the file if its time is over."""
        with self._told():
            self._complete_if_over(now)

    def close(self, now: datetime) -> None:
        """Completes the file or keeps it, and lets go of everything; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        try:
            with self._told():
                if self._part.kept.records and (self._owed or self._roller.on_close == "complete"):
                    self._complete(now)
        finally:
            self._part.close()

    def statistics(self) -> dict[str, int]:
        """Records and files completed since it was made, and the records and bytes of the unfinished file."""
        kept = self._part.kept
        return {
            "records": self._records,
            "files": self._files,
            "unfinished_records": kept.records,
            "unfinished_bytes": kept.length,
        }

    def _resumed(self) -> bool:
        """Whether the unfinished file, if there is one, may be gone on with."""
        kept = self._part.kept
        name, _, form = kept.form.partition(":")
        if name == self._format.name:
            return self._format.resumed(form)
        if kept.records:
            raise ConnectorError(
                f"There is an unfinished file of {self._pattern.text} with {kept.records} records, left by a sink of "
                f"category {name}: let that one complete it, or write to another path."
            )
        return True

    def _marking(self, mark: Mark | None) -> dict[str, Any]:
        """What the mark changes. A sink that stores records without one makes worthless what those there say."""
        kept = self._part.kept.marks
        if mark is None:
            return {"marks": None} if kept and not self._exactly_once else {}
        if kept.get(mark.key) != mark.expect:
            raise Conflict(
                f"What is kept of {mark.key} with the files {self._pattern.text} is not what was expected: another run "
                "has gone on."
            )
        return {"marks": {mark.key: mark.text}}

    def _add(self, draft: Draft, now: datetime, changes: dict[str, Any]) -> None:
        kept = self._part.kept
        if kept.records and not self._schedule.fits(kept.length + len(draft.body), kept.records + draft.rows):
            self._complete(now)
            kept = self._part.kept
        data = draft.body
        if not kept.records:
            data = draft.head + draft.body
            begun = self._schedule.begin(now).isoformat()
            changes = {**changes, "begun": begun, "form": f"{self._format.name}:{draft.form}"}
        self._part.append(data, records=kept.records + draft.rows, **changes)
        self._format.stored(draft)
        self._records += draft.rows
        self._begun()

    def _complete_if_full(self, now: datetime) -> None:
        kept = self._part.kept
        if not kept.records or not self._schedule.full(kept.length, kept.records):
            return
        self._owed = True
        try:
            with self._told():
                self._complete(now)
        except ConnectorError as error:
            # The batch is stored, so its write has not failed; the next one will try again, and fails if this does.
            log.warning("A full file of %s is not complete yet: %s", self._pattern.text, error)

    def _complete_if_over(self, now: datetime) -> None:
        if not self._open:
            raise ConnectorError(f"The files {self._pattern.text} are not open for writing.")
        kept = self._part.kept
        if kept.records and (kept.closing or self._owed or (self.due is not None and self.due <= now)):
            self._complete(now)

    def _complete(self, now: datetime) -> None:
        self._owed = True
        zone, kept = self._roller.zone, self._part.kept
        end = min(now, self.due) if self.due is not None else now
        naming = Naming(datetime.fromisoformat(kept.begun).astimezone(zone), end.astimezone(zone), kept.records)
        self._part.finish(lambda: self._name(naming), self._format.convert)
        self._owed = False
        self._files += 1
        self._begun()

    def _name(self, naming: Naming) -> dict[str, Any]:
        """A name that no file has, and that none had that this sink has written."""
        stem, kept = self._pattern.stem(naming), self._part.kept
        index = kept.index + 1 if kept.stem == stem else 1
        while (self._pattern.folder / (name := self._pattern.name(naming, index))).exists():
            index += 1
        return {"closing": name, "stem": stem, "index": index}

    def _begun(self) -> None:
        kept = self._part.kept
        self.due = self._schedule.due(datetime.fromisoformat(kept.begun)) if kept.records else None

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise unreachable(self._pattern.text, error) from error
