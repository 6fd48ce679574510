"""Each source gets its reader, and the ancestor's documents are read with theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.block import parse_block
from teleporter_lab.config.key import Key
from teleporter_lab.config.nodes import SourceNode, parse_node
from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSourceOptions
from teleporter_lab.connectors.sql_follow import SqlFollow
from teleporter_lab.connectors.sql_rolled import SqlRolled, Time
from teleporter_lab.connectors.sql_source import SqlPages, SqlRows
from teleporter_lab.errors import ConnectorError, InvalidConfig
from teleporter_lab.testing.calls import drain
from teleporter_lab.testing.clock import FakeClock
from tests.connectors.sql_places import Place, at

if TYPE_CHECKING:
    from collections.abc import Iterator

ANCESTOR = Path(__file__).parents[1] / "data" / "ancestor"
QUERY = "SELECT * FROM events"
WINDOW = "SELECT * FROM events WHERE made >= #{start} AND made < #{end}"
LISTED = "#{start}, #{end}, #{page}, #{offset}, #{pageSize}"
QUOTED = "client.query: #{start} stands between quotes, where no parameter can: leave out the quotes."
PAUSE = "Must be a time of 10.millis at least."
FIELDS = "query, key, pageSize, follow, interval, lag, types"
TIME = {"start": "2024-01-01", "end": "2024-01-02"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.mark.parametrize(
    ("options", "roller", "kind"),
    [
        ({"query": QUERY}, None, SqlRows),
        ({"query": QUERY}, {}, SqlRows),
        ({"query": QUERY, "key": "id"}, None, SqlPages),
        ({"query": QUERY}, {"key": "id"}, SqlPages),
        ({"query": QUERY, "key": "id"}, {"pageSize": 5}, SqlPages),
        ({"query": QUERY, "key": "id", "follow": True}, None, SqlFollow),
        ({"query": QUERY, "key": "id", "lag": 5}, None, SqlFollow),
        ({"query": QUERY, "key": "id", "follow": True}, {"pageSize": 5}, SqlFollow),
        ({"query": QUERY}, {"key": "id", "deadline": "fromNow"}, SqlFollow),
        ({"query": WINDOW}, TIME, SqlRolled),
        ({"query": WINDOW, "key": "id"}, TIME, SqlRolled),
        ({"query": f"{QUERY} LIMIT 5 OFFSET {{offset}}"}, {"pageSize": 5}, SqlRolled),
    ],
)
def test_each_source_gets_its_reader(
    place: Place, options: dict[str, Any], roller: dict[str, Any] | None, kind: type[object]
) -> None:
    reader = place.reader(roller, **options)
    assert type(reader) is kind
    assert reader.blocking is (kind in (SqlPages, SqlRows))


@pytest.mark.parametrize(
    ("options", "roller", "wrong"),
    [
        ({"query": WINDOW}, None, r"The query asks for #\{end\}, which a roller says; fill in the roller"),
        ({"query": WINDOW, "key": "id"}, {}, "which a roller says; fill in the roller"),
        ({"query": WINDOW, "key": "id"}, {"pageSize": 5}, "needs a start in the roller"),
        (
            {"query": WINDOW, "key": "id", "follow": True},
            TIME,
            "follow and lag of the client are for reading by",
        ),
        ({"query": WINDOW, "key": "id", "lag": 1}, TIME, "windows have deadline and lag in the roller"),
    ],
)
def test_what_does_not_fit_is_told(
    place: Place, options: dict[str, Any], roller: dict[str, Any] | None, wrong: str
) -> None:
    with pytest.raises(ConnectorError, match=wrong):
        place.reader(roller, **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"query": "SELECT #{x}"}, f"client.query: There is no #{{x}}; the variables are {LISTED}."),
        ({"query": "SELECT '#{start}'"}, QUOTED),
        ({"query": QUERY, "follow": True}, "client: With follow a key is needed, behind which rows are looked for."),
        ({"query": QUERY, "lag": 5}, "client: With lag a key is needed, behind which rows are looked for."),
        ({"query": QUERY, "key": ["a", "a"]}, "client: The key must name each column once."),
        ({"query": QUERY, "key": "a", "interval": 0}, f"client.interval: {PAUSE}"),
        ({"query": QUERY, "sql": QUERY}, f"client.sql: There is no such field; the fields here are {FIELDS}."),
        ({"sql": ""}, "client.query: Is needed: The SELECT to read; with `key`, without ORDER BY and LIMIT."),
    ],
)  # fmt: skip
def test_a_mistake_in_the_form_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_block(SqlSourceOptions, options, ("client",))
    assert [str(problem) for problem in caught.value.problems] == [sentence]


@pytest.mark.parametrize("options", [{"key": ["a", "b"]}, {"key": "a", "follow": True}, {"key": "a", "lag": 1}])
def test_columns_are_read_by_one_key_and_once(place: Place, options: dict[str, Any]) -> None:
    spec = SqlConnector.spec("source")
    assert spec.columnar is not None
    with pytest.raises(ConnectorError, match="are for rows: leave them out, or columnar=True"):
        spec.columnar(SqlSourceOptions(query=QUERY, **options), place.database)


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (None, {"row": 5}, 5),
        ({"row": 2}, {"row": 5}, 3),
        ({"row": 5}, {"row": 2}, -3),
        ({"start": "a", "page": 1, "rows": 2}, {"start": "a", "page": 1, "rows": 7}, 5),
        ({"start": "a", "page": 1, "rows": 2}, {"start": "a", "page": 2, "rows": 7}, None),
        ({"start": "a", "rows": 2}, {"start": "b", "rows": 7}, None),
        (None, {"start": "a", "rows": 2}, None),
        (None, {"key": 5}, None),
        ({"key": 2}, {"key": 5}, None),
        (None, None, None),
        (5, {"row": 2}, None),
    ],
)
def test_how_many_rows_lie_between_two_positions(start: Any, end: Any, rows: int | None) -> None:
    assert Registry.load().distance("sql", start, end) == rows


def ancestor(name: str) -> tuple[Key, dict[str, Any]]:
    document = json.loads((ANCESTOR / name).read_text(encoding="utf-8"))
    return Key.parse(document["key"]), document["value"]


async def test_a_source_of_the_ancestor_is_read(place: Place) -> None:
    """As it stands there, from a database of another kind: windows of ten minutes, in pages by offset."""
    key, value = ancestor("source_jdbc.json")
    registry = Registry.load()
    node = parse_node(key, value, registry.block_models)
    assert isinstance(node, SourceNode)
    spec = registry.get(node.category).spec("source")
    assert spec.roller is not None
    client, roller = parse_block(spec.model, node.client), parse_block(spec.roller, node.roller)
    reader = spec.made(client, place.database, roller)
    clock = FakeClock()
    reader._time = Time(lambda: at(0), clock)
    place.run("CREATE TABLE orders (id INTEGER, changed TEXT)")
    changed = "datetime('2017-01-01', (n * 7) || ' minutes')"
    count = "WITH c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 1200)"
    place.run(f"INSERT INTO orders {count} SELECT n, {changed} FROM c")
    place.run(f"INSERT INTO orders {count} SELECT -n, '2017-02-01 00:00:00' FROM c")
    records = await clock.run(_records(reader, 2402))
    assert sorted(record["id"] for record in records) == sorted([*range(1201), *(-n for n in range(1201))])
    await reader.close()


async def _records(reader: Any, count: int) -> list[dict[str, Any]]:
    await reader.open(None)
    records: list[dict[str, Any]] = []
    while len(records) < count:
        records += await reader.read(700)
    return records


def test_an_address_of_the_ancestor_is_taken() -> None:
    key, value = ancestor("address_jdbc.json")
    parse_node(key, value, Registry.load().block_models)
    options = parse_block(SqlAddressOptions, value["client"])
    assert (options.url, options.user, options.pool_size) == ("jdbc:mysql://db.example:3306/shop", "reader", 4)


async def test_the_ancestors_name_of_the_query_is_taken(place: Place) -> None:
    place.add((1, 0))
    reader = place.reader(sql="SELECT id FROM events")
    reader.open(None)
    assert await drain(reader, 5) == [{"id": 1}]
    reader.close()
