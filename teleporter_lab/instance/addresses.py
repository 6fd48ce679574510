"""Clients of systems outside, shared by the streams of an instance and closed with their last user.

Owns the count of users. Refuses to know any system: a connector's `address` spec makes the object.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.connectors.base import Address
    from teleporter_lab.engine.blocking import DriverThreads


@dataclass
class _Shared:
    address: Address
    users: int


class Addresses:
    """One object for each bind key and content of its configuration.

    After a change of the configuration new users get a new object, and the old one lives as long as its users.
    """

    def __init__(self, threads: DriverThreads) -> None:
        self._threads = threads
        self._shared: dict[tuple[str, str], _Shared] = {}

    async def lease(self, bind: tuple[str, str], make: Callable[[], Address]) -> Address:
        """The object under `bind` (key, content), made by the first user. Raises what `make` raises."""
        shared = self._shared.get(bind)
        if shared is None:
            made = await self._threads.submit(make)
            shared = self._shared.setdefault(bind, _Shared(made, 0))
            shared.users += 1
            if shared.address is not made:  # another stream was faster
                await self._close_spare(bind, made)
            return shared.address
        shared.users += 1
        return shared.address

    async def release(self, bind: tuple[str, str]) -> None:
        """One user less; the last one closes the object."""
        shared = self._shared[bind]
        shared.users -= 1
        if shared.users == 0:
            del self._shared[bind]
            await self._close(shared.address)

    async def _close_spare(self, bind: tuple[str, str], made: Address) -> None:
        try:
            await self._close(made)
        except BaseException:
            await self.release(bind)
            raise

    async def _close(self, address: Address) -> None:
        if inspect.iscoroutinefunction(address.close):
            await address.close()
        else:
            await self._threads.submit(address.close)

    def statistics(self) -> dict[str, int]:
        """Users of each shared object, by key."""
        counts: dict[str, int] = {}
        for (key, _), shared in self._shared.items():
            counts[key] = counts.get(key, 0) + shared.users
        return counts

    def __contains__(self, key: Any) -> bool:
        return any(bind[0] == key for bind in self._shared)
