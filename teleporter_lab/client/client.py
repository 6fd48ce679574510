"""The one REST client of a broker, async: every verb as a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.client.letters import LetterVerbs
from teleporter_lab.client.positions import PositionVerbs
from teleporter_lab.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from teleporter_lab.client.connection import JSON, Row
    from teleporter_lab.daemon.connection_file import ConnectionFile

PROBE_SECONDS = 5.0


class Client(PositionVerbs, LetterVerbs):
    """A broker at `url`. Close it, or use it in `async with`."""

    # ---- the config tree

    async def get(self, key: str, *, raw: bool = False) -> Row:
        """`{key, value, etag}`; `raw` shows references to secrets. Raises NotFound."""
        return await self.call("GET", "/config", params={"key": key, "raw": raw})

    async def range(self, pattern: str, start: int = 0, limit: int = 100, *, raw: bool = False) -> list[Row]:
        """One page of the entries whose key matches a tail regex, by key."""
        return await self.call(
            "GET", "/config/range", params={"key": pattern, "start": start, "limit": limit, "raw": raw}
        )

    async def save(self, key: str, value: JSON, *, etag: str | None = None) -> Row:
        """Keep a value; with `etag` only in place of the one that has it. Raises InvalidConfig, Conflict."""
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        return await self.call("POST", "/config", json={"key": key, "value": value}, headers=headers)

    async def swap(self, key: str, expect: JSON, update: JSON) -> Row:
        """Compare-and-set; `expect` None: nothing may be there. Raises Conflict."""
        return await self.call("POST", "/config/atomic", json={"key": key, "expect": expect, "update": update})

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """Forget a key. Raises NotFound, Conflict."""
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        await self.call("DELETE", "/config", params={"key": key}, headers=headers)

    async def refresh(self, key: str) -> Row:
        """Apply what is saved: `{key, notified, problems}`."""
        return await self.call("GET", "/config/notify", params={"key": key})

    async def next_id(self) -> int:
        """A number that nobody got before."""
        return (await self.call("GET", "/config/id"))["id"]

    # ---- forms

    async def validate(self, key: str, value: JSON) -> list[Row]:
        """Every mistake of a value: `[{path, message}]`."""
        return (await self.call("POST", "/validate", json={"key": key, "value": value}))["problems"]

    async def schema(self, table: str, category: str | None = None) -> Row:
        """The JSON Schema of a table, with the `client` block of a connector."""
        return await self.call("GET", f"/schema/{table}" + (f"/{category}" if category else ""))

    async def connectors(self) -> list[Row]:
        """Every connector, and what it can be."""
        return await self.call("GET", "/connectors")

    # ---- streams and instances

    async def streams(self, pattern: str = "/stream/", start: int = 0, limit: int = 100) -> list[Row]:
        """One page of streams with status, instance, counts and rate."""
        return await self.call("GET", "/streams", params={"key": pattern, "start": start, "limit": limit})

    async def stream(self, key: str) -> Row:
        """One stream with status, instance, counts and rate. Raises NotFound."""
        exactly = key.replace(".", r"\.") + "$"
        for found in await self.streams(exactly, limit=1):
            return found
        raise NotFound(f"Nothing is kept under {key}.")

    async def command(self, command: str, key: str) -> Row:
        """`start`, `stop`, `restart` or `refresh` a stream; its view after that."""
        return await self.call("POST", f"/streams/{command}", json={"key": key})

    async def start(self, key: str) -> Row:
        """Start a stream, now and whenever an instance has it."""
        return await self.command("start", key)

    async def stop(self, key: str) -> Row:
        """Stop a stream until somebody starts it."""
        return await self.command("stop", key)

    async def restart(self, key: str) -> Row:
        """Stop and start a stream."""
        return await self.command("restart", key)

    async def instances(self) -> list[Row]:
        """All instances with status and partitions."""
        return await self.call("GET", "/instances")

    async def runtime_get(self, key: str) -> Row:
        """`{key, value, etag}` of the runtime table. Raises NotFound."""
        return await self.call("GET", "/runtime", params={"key": key})

    async def runtime_range(self, pattern: str, start: int = 0, limit: int = 100) -> list[Row]:
        """One page of the runtime table."""
        return await self.call("GET", "/runtime/range", params={"key": pattern, "start": start, "limit": limit})

    async def runtime_delete(self, key: str) -> None:
        """Forget a key of the runtime table. Raises NotFound."""
        await self.call("DELETE", "/runtime", params={"key": key})

    # ---- the broker

    async def ready(self) -> Row:
        """`{status, id, name, version, pid, instances}`."""
        return await self.call("GET", "/health/ready")

    async def identity(self) -> Row:
        """`{id, name, version, pid}` of the daemon that answers, ready or not."""
        return await self.call("GET", "/health/identity")

    async def shutdown(self) -> None:
        """Make the broker drain and end; returns when it has begun."""
        await self.call("POST", "/shutdown")

    async def events(self) -> AsyncIterator[Row]:
        """Changes of config, streams and instances as they happen, until the broker ends. Raises Unreachable."""
        async with self.socket("/events") as messages:
            async for message in messages:
                yield message

    async def log(self, instance: str, lines: int = 100) -> AsyncIterator[list[str]]:
        """The log of an instance: its last lines, then new ones, until it leaves. Raises NotFound, Unreachable."""
        async with self.socket("/log", {"instance": instance, "lines": lines}) as messages:
            async for message in messages:
                yield message["lines"]


async def probe(file: ConnectionFile) -> str:
    """The id that the daemon of a connection file answers with. Raises a TeleporterError when it does not."""
    async with Client(file.url, file.token, timeout=PROBE_SECONDS) as client:
        return (await client.identity())["id"]


async def shutdown(file: ConnectionFile) -> None:
    """Tell the daemon of a connection file to end. Raises a TeleporterError when it does not answer."""
    async with Client(file.url, file.token, timeout=PROBE_SECONDS) as client:
        await client.shutdown()
