"""One run of a stream: what is committed when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.config.key import Key
from teleporter_lab.config.rules import Rules
from teleporter_lab.errors import NotFound
from teleporter_lab.instance.plan import prepare
from teleporter_lab.instance.running import Running as Run
from teleporter_lab.instance.stream_rules import StreamRules
from tests.instance.conftest import STREAM, Desk
from tests.instance.seat import COPY, seat_at

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client

MERGED = """
@stream_logic
def copy(s):
    return s.source("first").merge(s.source("second")).to(s.sink("lines"))
"""


async def test_after_a_failure_each_source_is_committed_whatever_is_refused_of_another(
    broker: Running, desk: Desk
) -> None:
    for name, interval in (("first", "20.millis"), ("second", "1.hours")):
        await desk.client.save(
            f"/source/test/task/copy/{name}",
            {"category": "generator", "client": {"rate": 500}, "ack": {"commitInterval": interval}},
        )
    await desk.deploy(MERGED)
    await desk.until(lambda view: view["acks"].get("commits", 0) > 0 and view["counts"]["written"] > 100)
    while (await desk.view())["status"] == "RUNNING":
        try:
            await broker.service.runtime.delete("/position/test/task/copy/first")
        except NotFound:  # not committed again yet
            continue
    view = await desk.status("FAILURE")
    assert "/first is not there any more" in view["error"]
    assert (await desk.client.position("/source/test/task/copy/second"))["position"]["next"] > 0


async def test_what_earlier_runs_have_read_is_not_counted_as_read_by_this_one(
    broker: Running, client: Client, tmp_path: Path
) -> None:
    async with seat_at(broker) as seat:
        await Desk(client, tmp_path).prepare(200)
        await client.refresh("/group/test/all")
        await client.save(STREAM, {"template": COPY})
        plan = await prepare(seat.services, Key.parse(STREAM))
        for read in (200, 0):
            run = Run(plan, seat.services, lambda: seat.epoch, StreamRules(STREAM, Rules()))
            await run.run()
            assert (run.read(), run.ledger().read) == (read, 200)
