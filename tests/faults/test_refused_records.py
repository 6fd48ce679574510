"""A sink that refuses one record in a hundred: each is kept as a dead letter, and written once the sink takes it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.tables import look

if TYPE_CHECKING:
    from tests.faults.plant import Plant
    from tests.faults.verdicts import Verdicts
    from tests.services.postgres import Postgres

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

RATE = 12_000
STREAM = "/stream/faults/refused/copy"
TEMPLATE = '@stream_logic\ndef copy(s):\n    return s.source("numbers").to(s.sink("table"))\n'


def documents(url: str, count: int) -> dict[str, Any]:
    return {
        "/address/faults/database": {"category": "sql", "client": {"url": url}},
        STREAM: {"template": TEMPLATE},
        "/source/faults/refused/copy/numbers": {"category": "generator", "client": {"count": count, "rate": RATE}},
        "/sink/faults/refused/copy/table": {
            "category": "sql", "address": {"key": "/address/faults/database"},
            "client": {"table": "copied", "mode": "upsert", "keys": ["id"]},
            "errorRules": ["BadRecord|ConnectorError:WARN => deadLetter"],
        },
    }  # fmt: skip


def test_what_is_refused_is_written_later_or_kept(
    plant: Plant, postgres: Postgres, verdicts: Verdicts, whole: bool
) -> None:
    count, seed = (600_000 if whole else 100_000), random.randrange(2**32)
    refused = sorted(random.Random(seed).sample(range(count), count // 100))
    postgres.run(
        "CREATE TABLE copied (id bigint PRIMARY KEY, value bigint)", "CREATE TABLE refused (id bigint PRIMARY KEY)",
        f"INSERT INTO refused SELECT unnest(ARRAY{refused})",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT 1 FROM refused WHERE id = NEW.id) THEN RAISE EXCEPTION 'refused'; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON copied FOR EACH ROW EXECUTE FUNCTION refuse()",
    )  # fmt: skip
    plant.start_broker()
    plant.start_instance()
    with plant.client() as client:
        plant.configure(client, "refused", documents(postgres.url, count))
        view = plant.until(client, STREAM, lambda view: view["status"] == "COMPLETE", 200)
        kept = {row["record.id"] for row in client.dead_letter_rows(STREAM, limit=100_000)}
        stored = look(postgres, "copied", count)
        counts = view["counts"]
        verdicts.add(
            "sink refuses 1 % of records", "each is a dead letter, all others stored",
            f"seed {seed}: {stored.rows:,} stored, {len(kept):,} letters of {len(refused):,} refused, "
            f"ledger written {counts['written']:,} dead-lettered {counts['dead_lettered']:,}",
            ok=kept == set(refused) and len(refused) == counts["dead_lettered"] and stored.rows == count - len(refused)
            and stored.wrong == 0 and counts["written"] == stored.rows,
        )  # fmt: skip
        postgres.run("DROP TRIGGER refuse ON copied")
        done = client.redrive(STREAM, everything=True)
    found = look(postgres, "copied", count)
    verdicts.add(
        "refused records redriven", "0 missing", f"{done['redriven']:,} redriven: {found}",
        ok=(found.missing, found.wrong) == (0, 0) and done["redriven"] == len(refused),
    )  # fmt: skip
