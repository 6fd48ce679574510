"""What a store is: an ordered map of texts with compare-and-set. Four methods, so that another one is a small class.

Owns the interface, the pair of tables of a broker and the choice of a backend by URL. Refuses to know what the texts
mean: keys and values are checked and made canonical above (`broker.documents`).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self

from teleporter_lab.errors import Conflict, InvalidInput, StoreError

if TYPE_CHECKING:
    from types import TracebackType

EMBEDDED = ("leveldb", "sqlite", "memory")
SERVERS = ("postgresql", "mysql", "mariadb")
SCHEMES = (*EMBEDDED, *SERVERS)


class Expectation(Enum):
    """The one value of `expect` that is no expectation."""

    ANYTHING = "anything"


ANYTHING: Final = Expectation.ANYTHING
Expect = str | Literal[Expectation.ANYTHING] | None
"""What must be kept under the key now: exactly this text, nothing at all (None), or ANYTHING."""

Item = tuple[str, str]
"""A key and its text."""


class Store(Protocol):
    """An ordered map from key to text. Raises StoreError when the backend fails.

    A `write` or `delete` that returned has reached the disk (where the backend has one), and is atomic:
    of many at once with the same expectation exactly one succeeds and the others raise Conflict.
    """

    async def get(self, key: str) -> str | None:
        """The text under `key`, None where there is none."""
        ...

    async def range(self, prefix: str, start: int = 0, limit: int | None = None) -> list[Item]:
        """The items whose key begins with `prefix`, sorted by key, without the first `start`, at most `limit`."""
        ...

    async def write(self, key: str, value: str, expect: Expect = ANYTHING) -> None:
        """Keep `value` under `key`; raises Conflict where `expect` does not hold."""
        ...

    async def delete(self, key: str, expect: Expect = ANYTHING) -> bool:
        """Forget `key`; says whether it was there. Raises Conflict where `expect` does not hold."""
        ...

    async def close(self) -> None:
        """Give back files, locks and threads; a second call does nothing."""
        ...


def check_expectation(key: str, current: str | None, expect: Expect) -> None:
    """Raise Conflict, with a sentence for a person, where `current` is not what was expected."""
    if expect is ANYTHING or current == expect:
        return
    if expect is None:
        raise Conflict(f"{key} exists already.")
    if current is None:
        raise Conflict(f"{key} is not there any more.")
    raise Conflict(f"{key} has another value by now: read it again and repeat the change.")


@dataclass(frozen=True)
class Stores:
    """The two tables of a broker; closes both at the end of `async with`."""

    config: Store
    runtime: Store
    url: str

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close both tables, the second one even when the first fails."""
        try:
            await self.config.close()
        finally:
            await self.runtime.close()


def default_url(folder: Path) -> str:
    """The store that lives in `folder`, or where none does: leveldb if plyvel can be imported, else sqlite.

    Raises StoreError for a leveldb store without plyvel, rather than starting beside it with an empty tree.
    """
    has_leveldb = importlib.util.find_spec("plyvel") is not None
    if (folder / "leveldb").exists():
        if not has_leveldb:
            raise StoreError(
                f"{folder / 'leveldb'} is a leveldb store and plyvel is not installed here: "
                "run `pip install 'teleporter-lab[leveldb]'`, or name another store with --store."
            )
        return f"leveldb:{folder / 'leveldb'}"
    if (folder / "sqlite").exists() or not has_leveldb:
        return f"sqlite:{folder / 'sqlite'}"
    return f"leveldb:{folder / 'leveldb'}"


def split_url(url: str) -> tuple[str, str]:
    """`scheme:path` or `scheme:///path` as scheme and path; raises InvalidInput for what is neither.

    Of a server what follows the scheme comes back as it is.
    """
    scheme, colon, path = url.partition(":")
    if not colon or scheme not in SCHEMES:
        forms = [*(f"{name}:PATH" for name in EMBEDDED), *(f"{name}://USER@HOST/DATABASE" for name in SERVERS)]
        raise InvalidInput(f"{url.partition('@')[0][:40]!r} is no store: write one of {', '.join(forms)}.")
    if scheme in SERVERS:
        if not path.startswith("//") or "/" not in path[2:]:
            raise InvalidInput(f"The store names no database: write {scheme}://USER@HOST/DATABASE.")
        return scheme, path
    if path.startswith("//"):
        path = path[2:]
    if scheme != "memory" and not path:
        raise InvalidInput(f"{url!r} names no folder: write {scheme}:/path/to/folder.")
    return scheme, path


async def open_stores(url: str) -> Stores:
    """Open both tables of the store at `url`: `leveldb:PATH`, `sqlite:PATH`, `memory:` or a database server's URL.

    Raises InvalidInput for another URL, StoreLocked where another broker owns the path, StoreError where it cannot
    be opened.
    """
    scheme, path = split_url(url)
    if scheme == "memory":
        from teleporter_lab.broker.stores.memory import MemoryStore

        return Stores(MemoryStore(), MemoryStore(), url)
    if scheme in SERVERS:
        from teleporter_lab.broker.stores.sql import open_sql

        return Stores(*await open_sql(url))
    from teleporter_lab.broker.stores.embedded import EmbeddedStore
    from teleporter_lab.broker.stores.leveldb import LevelFiles
    from teleporter_lab.broker.stores.sqlite import SqliteFiles

    files = LevelFiles if scheme == "leveldb" else SqliteFiles
    folder = Path(path)
    config = await EmbeddedStore.open(folder / "config", files)
    try:
        return Stores(config, await EmbeddedStore.open(folder / "runtime", files), url)
    except BaseException:
        await config.close()
        raise
