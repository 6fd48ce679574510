"""What holds for all tests: a browser's driver keeps an event loop running in this thread, so its tests come last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the order, with the browser tests at the end."""
    items.sort(key=lambda item: item.get_closest_marker("ui") is not None)
