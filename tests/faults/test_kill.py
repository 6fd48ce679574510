"""`kill -9` while a real data set is loaded: nothing is missing, nothing is wrong, the ledger adds up."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.demo.flights import ROWS, compare
from teleporter_lab.demo.story import STREAM

if TYPE_CHECKING:
    from tests.faults.site import Site

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

KILLS = 5


def assert_whole(site: Site, view: dict[str, Any]) -> None:
    verdict = compare(site.files)
    assert verdict.perfect, verdict
    counts = view["counts"]
    assert counts["read"] == counts["written"] == ROWS
    assert counts["in_flight"] == counts["filtered"] == counts["skipped"] == 0


def test_an_instance_killed_at_five_random_points_loses_nothing(site: Site) -> None:
    seed = random.randrange(2**32)
    points = sorted(random.Random(seed).sample(range(1_000, ROWS - 30_000), KILLS))
    site.start_broker()
    site.start_instance()
    with site.client() as client:
        site.load(client)
        for point in points:
            site.until(client, STREAM, lambda view, point=point: view["counts"]["written"] >= point)
            site.kill(site.instance())
            site.start_instance()
        view = site.until(client, STREAM, lambda view: view["status"] == "COMPLETE")
    assert_whole(site, view)


def test_a_broker_killed_half_way_stops_no_stream_and_loses_nothing(site: Site) -> None:
    broker = site.start_broker()
    instance = site.start_instance()
    with site.client() as client:
        site.load(client)
        site.until(client, STREAM, lambda view: view["counts"]["written"] >= ROWS // 4)
        site.kill(broker)
    site.start_broker()
    with site.client() as client:
        view = site.until(client, STREAM, lambda view: view["status"] == "COMPLETE")
    assert site.instance().pid == instance.pid
    assert_whole(site, view)
