"""Real-time data streams between systems, written in a notebook cell and kept running by a broker.

Owns the names a notebook needs and the hooks Jupyter looks for. Everything is imported when it is first used, so that
a Jupyter server that merely lists extensions loads none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from teleporter_lab._version import __version__

if TYPE_CHECKING:
    from teleporter_lab.blocking import BlockingClient
    from teleporter_lab.client import Client
    from teleporter_lab.engine.graph import Flow, RunnableGraph, Sink, Source, flow
    from teleporter_lab.engine.kill_switch import KillSwitch
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.engine.stages.folding_sinks import fold
    from teleporter_lab.engine.stages.sinks import foreach, head, ignore, last, to_list
    from teleporter_lab.engine.stages.sources import async_iterate, iterate, single, tick
    from teleporter_lab.engine.stages.unfolding import unfold
    from teleporter_lab.errors import TeleporterError
    from teleporter_lab.instance.logic import stream_logic

_HOMES = {
    "BlockingClient": "blocking",
    "Client": "client",
    "Flow": "engine.graph",
    "KillSwitch": "engine.kill_switch",
    "RunnableGraph": "engine.graph",
    "Runtime": "engine.run",
    "Sink": "engine.graph",
    "Source": "engine.graph",
    "TeleporterError": "errors",
    "async_iterate": "engine.stages.sources",
    "flow": "engine.graph",
    "fold": "engine.stages.folding_sinks",
    "foreach": "engine.stages.sinks",
    "head": "engine.stages.sinks",
    "ignore": "engine.stages.sinks",
    "iterate": "engine.stages.sources",
    "last": "engine.stages.sinks",
    "single": "engine.stages.sources",
    "stream_logic": "instance.logic",
    "tick": "engine.stages.sources",
    "to_list": "engine.stages.sinks",
    "unfold": "engine.stages.unfolding",
}
"""Where each public name lives."""

__all__ = [
    "BlockingClient",
    "Client",
    "Flow",
    "KillSwitch",
    "RunnableGraph",
    "Runtime",
    "Sink",
    "Source",
    "TeleporterError",
    "__version__",
    "async_iterate",
    "flow",
    "fold",
    "foreach",
    "head",
    "ignore",
    "iterate",
    "last",
    "single",
    "stream_logic",
    "tick",
    "to_list",
    "unfold",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _jupyter_labextension_paths() -> list[dict[str, str]]:  # pyright: ignore[reportUnusedFunction]
    return [{"src": "labextension", "dest": "teleporter-lab"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:  # pyright: ignore[reportUnusedFunction]
    return [{"module": "teleporter_lab.lab.server"}]


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext teleporter_lab`."""
    from teleporter_lab.lab.magics import register

    register(ipython)
