"""A stream as it runs, in a cell's output: a card that keeps itself up to date.

Owns one widget and the thread that feeds it, at most twice a second; it ends with the stream or after a while.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from teleporter_lab.errors import TeleporterError
from teleporter_lab.lab.deploy import stream_view
from teleporter_lab.lab.views import card, stream_row

if TYPE_CHECKING:
    from teleporter_lab.blocking import BlockingClient
    from teleporter_lab.config.key import Key

INTERVAL = 0.5
"""Seconds between two looks."""

LONGEST = 3600.0
"""Seconds after which a card stands still; run the cell again to wake it."""

ENDED = frozenset({"COMPLETE", "FAILURE", "STOPPED", "REMOVE"})


class LiveStream:
    """What `%%teleport deploy` returns. `view` is the last state seen; `refresh()` looks again."""

    def __init__(self, client: BlockingClient, key: Key, view: dict[str, Any], content: str = "") -> None:
        self.key = key
        self.view = view
        self.hash = content
        self._client = client
        self._stop = threading.Event()

    def refresh(self) -> dict[str, Any]:
        """The stream's view now. Raises Unreachable, NotFound."""
        self.view = stream_view(self._client, self.key)
        return self.view

    def close(self) -> None:
        """Lets the card stand still."""
        self._stop.set()

    def _html(self) -> str:
        facts = stream_row(self.view)
        facts.pop("stream")
        if self.hash:
            facts = {"hash": self.hash, **facts}
        return card(str(self.key), {name: value for name, value in facts.items() if value != ""})

    def __repr__(self) -> str:
        row = stream_row(self.view)
        return f"{self.key} {row['status']} on {row['instance']}: read {row['read']:,}, written {row['written']:,}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from ipywidgets import HTML

        widget = HTML(self._html())
        threading.Thread(target=self._feed, args=(widget,), name=f"live {self.key}", daemon=True).start()
        return {**(widget._repr_mimebundle_() or {}), "text/html": self._html(), "text/plain": repr(self)}

    def _feed(self, widget: Any) -> None:
        left = LONGEST
        while left > 0 and self.view["status"] not in ENDED and not self._stop.wait(INTERVAL):
            left -= INTERVAL
            try:
                self.refresh()
            except TeleporterError as error:
                widget.value = card(str(self.key), {"status": "unknown", "why": error.message})
                continue
            except (CancelledError, RuntimeError):  # the kernel ends, and with it the loop behind the client
                return
            widget.value = self._html()
