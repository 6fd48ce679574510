"""Files begin and end when they should, are called as they should, and none takes another's place."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from teleporter_lab.connectors.csv import CsvSinkOptions
from teleporter_lab.connectors.csv_format import CsvFormat
from teleporter_lab.connectors.file import FileSinkOptions
from teleporter_lab.connectors.file_format import LineFormat
from teleporter_lab.connectors.parquet import ParquetSinkOptions
from teleporter_lab.connectors.parquet_format import ParquetFormat
from teleporter_lab.connectors.rollers.rolled_folder import RolledFolder
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.errors import AddressUnreachable, BadRecord, Conflict, ConnectorError
from tests.connectors.rollers.written import finals, hidden, unfinished

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "/position/demo/t/s/in"


def text_sink(folder: Path, name: str = "out-{index}.txt", exactly: bool = False, **roller: Any) -> RolledFolder:
    path = f"{folder}/{name}"
    return RolledFolder(path, SinkRoller(**roller), LineFormat(FileSinkOptions(path=path)), exactly)


def csv_sink(folder: Path, roller: dict[str, Any], **options: Any) -> RolledFolder:
    path = f"{folder}/out-{{index}}.csv"
    return RolledFolder(path, SinkRoller(**roller), CsvFormat(CsvSinkOptions(path=path, **options)))


def parquet_sink(folder: Path, **options: Any) -> RolledFolder:
    path = f"{folder}/out-{{index}}.parquet"
    return RolledFolder(path, SinkRoller(records=100), ParquetFormat(ParquetSinkOptions(path=path, **options)))


def seen(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in finals(folder)}


def write(sink: RolledFolder, *batches: list[Any], now: datetime = NOW) -> None:
    sink.open(now)
    for batch in batches:
        sink.write(batch, now)
    sink.close(now)


def test_a_batch_is_in_one_file_and_no_file_is_larger_than_it_may(tmp_path: Path) -> None:
    write(text_sink(tmp_path, size=10), ["abc"], ["d"], ["efgh"], ["0123456789 and more"], ["ij", "kl", "m"])
    assert seen(tmp_path) == {
        "out-1.txt": "abc\nd\n",
        "out-2.txt": "efgh\n",
        "out-3.txt": "0123456789 and more\n",
        "out-4.txt": "ij\nkl\nm\n",
    }


def test_a_full_file_is_complete_at_once(tmp_path: Path) -> None:
    sink = text_sink(tmp_path, records=2)
    sink.open(NOW)
    sink.write(["a"], NOW)
    assert seen(tmp_path) == {}
    sink.write(["b"], NOW)
    assert seen(tmp_path) == {"out-1.txt": "a\nb\n"}
    assert sink.statistics() == {"records": 2, "files": 1, "unfinished_records": 0, "unfinished_bytes": 0}
    sink.close(NOW)


def test_a_file_is_of_the_hour_that_it_was_begun_in(tmp_path: Path) -> None:
    sink = text_sink(tmp_path, "{date:%Y/%m/%d}/{date:%H}-{end:%H%M}.txt", cron="0 * * * *", time_zone="Asia/Kathmandu")
    sink.open(NOW)
    assert sink.due is None
    sink.write(["a"], NOW)
    assert sink.due == NOW.replace(minute=15, second=0) + HOUR  # a full hour there
    sink.roll(sink.due - timedelta(seconds=1))
    assert seen(tmp_path) == {}
    sink.roll(sink.due + timedelta(minutes=1))
    assert seen(tmp_path) == {"2024/02/29/18-1900.txt": "a\n"}
    assert sink.due is None
    sink.write(["b"], NOW + 5 * HOUR)
    sink.write(["c"], NOW + 8 * HOUR)
    assert seen(tmp_path)["2024/02/29/23-0000.txt"] == "b\n"
    sink.close(NOW + 8 * HOUR)
    assert seen(tmp_path)["2024/03/01/02-0219.txt"] == "c\n"


def test_what_is_over_when_a_sink_comes_back_is_completed_and_the_rest_is_gone_on_with(tmp_path: Path) -> None:
    for text, after, there in (("a", 0, ""), ("b", 1, ""), ("c", 70, "a\nb\n")):
        sink = text_sink(tmp_path, "{date:%H}.txt", cron="0 * * * *", on_close="keep")
        sink.open(NOW + timedelta(minutes=after))
        assert "".join(seen(tmp_path).values()) == there
        sink.write([text], NOW + timedelta(minutes=after))
        sink.close(NOW + timedelta(minutes=after))
    assert unfinished(tmp_path) == b"c\n"


def test_the_index_goes_on_when_files_were_taken_away_and_begins_anew_with_a_new_date(tmp_path: Path) -> None:
    def name(days: int) -> str:
        write(text_sink(tmp_path, "{date:%d}-{index:02}.txt", records=1), ["a"], now=NOW + timedelta(days=days))
        (path,) = finals(tmp_path)
        path.unlink()
        return path.name

    assert [name(0), name(0), name(1), name(1)] == ["29-01.txt", "29-02.txt", "01-01.txt", "01-02.txt"]


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "29.txt").write_text("somebody else's")
    (tmp_path / "29-2.txt").symlink_to(tmp_path / "nowhere")
    write(text_sink(tmp_path, "{date:%d}.txt", records=1), ["a"], ["b"])
    assert seen(tmp_path) == {"29.txt": "somebody else's", "29-3.txt": "a\n", "29-4.txt": "b\n"}


@pytest.mark.parametrize(("on_close", "expected"), [("complete", {"out-1.txt": "a\n"}), ("keep", {})])
def test_what_becomes_of_the_unfinished_file(tmp_path: Path, on_close: Any, expected: dict[str, str]) -> None:
    write(text_sink(tmp_path, records=10, on_close=on_close), ["a"])
    assert seen(tmp_path) == expected
    write(text_sink(tmp_path, records=10), ["b"])
    assert "".join(seen(tmp_path).values()) == "a\nb\n"
    assert hidden(tmp_path, "part") == []


def test_without_records_there_is_no_file(tmp_path: Path) -> None:
    write(text_sink(tmp_path, cron="* * * * *"), [], [])
    assert seen(tmp_path) == {}


def test_a_bad_record_changes_nothing(tmp_path: Path) -> None:
    sink = text_sink(tmp_path, records=3)
    sink.open(NOW)
    sink.write(["a"], NOW)
    with pytest.raises(BadRecord):
        sink.write(["b", 5], NOW)
    sink.write(["c"], NOW)
    sink.close(NOW)
    assert seen(tmp_path) == {"out-1.txt": "a\nc\n"}


def mark(at: int, expect: str | None) -> Mark:
    return Mark(KEY, f'{{"at":{at}}}', expect, at)


def test_a_mark_is_stored_with_its_records_and_only_if_nobody_has_gone_on(tmp_path: Path) -> None:
    sink = text_sink(tmp_path, records=10)
    sink.open(NOW)
    assert sink.marked(KEY) is None
    sink.write(["a"], NOW, mark(1, None))
    sink.write([], NOW, mark(2, '{"at":1}'))
    with pytest.raises(Conflict, match="another run has gone on"):
        sink.write(["b"], NOW, mark(2, '{"at":1}'))
    sink.close(NOW)
    sink = text_sink(tmp_path, records=10)
    sink.open(NOW)
    assert sink.marked(KEY) == '{"at":2}'
    sink.close(NOW)
    assert seen(tmp_path) == {"out-1.txt": "a\n"}


@pytest.mark.parametrize(("exactly", "kept"), [(True, '{"at":1}'), (False, None)])
def test_records_without_a_mark_make_the_marks_worthless_unless_they_are_beside_the_order(
    tmp_path: Path, exactly: bool, kept: str | None
) -> None:
    sink = text_sink(tmp_path, exactly=exactly, records=10)
    sink.open(NOW)
    sink.write(["a"], NOW, mark(1, None))
    sink.write(["b"], NOW)
    assert sink.marked(KEY) == kept
    sink.close(NOW)


def test_a_full_file_that_cannot_be_completed_fails_the_next_batch_not_the_one_that_is_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = text_sink(tmp_path, "{date:%Y}/out-{index}", records=1)
    sink.open(NOW)
    (tmp_path / "2024").write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING):
        sink.write(["a"], NOW)
    assert "A full file of" in caplog.text
    for _ in range(2):
        with pytest.raises(AddressUnreachable, match=r"out-\{index\} cannot be used: (File exists|Not a directory)"):
            sink.write(["b"], NOW)
    (tmp_path / "2024").unlink()
    sink.write(["b"], NOW)
    sink.close(NOW)
    assert seen(tmp_path) == {"2024/out-1": "a\n", "2024/out-2": "b\n"}


def test_each_csv_file_has_a_header_and_all_have_the_same_columns(tmp_path: Path) -> None:
    write(csv_sink(tmp_path, {"records": 2}), [{"a": 1, "b": 2}], [{"b": 4, "a": 3}], [{"a": 5, "b": 6}])
    assert seen(tmp_path) == {"out-1.csv": "a,b\n1,2\n3,4\n", "out-2.csv": "a,b\n5,6\n"}
    sink = csv_sink(tmp_path, {"records": 2})
    sink.open(NOW)
    with pytest.raises(BadRecord, match="has the field c"):
        sink.write([{"a": 1, "b": 2, "c": 3}], NOW)
    sink.close(NOW)


@pytest.mark.parametrize("options", [{"columns": ["b", "a"]}, {"delimiter": ";", "columns": ["a", "b"]}])
def test_other_columns_or_signs_begin_another_file(tmp_path: Path, options: dict[str, Any]) -> None:
    write(csv_sink(tmp_path, {"records": 10, "on_close": "keep"}), [{"a": 1, "b": 2}])
    write(csv_sink(tmp_path, {"records": 10}, **options), [{"a": 3, "b": 4}])
    first, second = seen(tmp_path).values()
    assert first == "a,b\n1,2\n"
    assert second == ("b,a\n4,3\n" if "delimiter" not in options else "a;b\n3;4\n")


def test_an_unfinished_file_of_another_category_is_not_touched(tmp_path: Path) -> None:
    path = f"{tmp_path}/out-{{index}}.csv"
    write(csv_sink(tmp_path, {"records": 10, "on_close": "keep"}), [{"a": 1}])
    other = RolledFolder(path, SinkRoller(records=10), ParquetFormat(ParquetSinkOptions(path=path)))
    with pytest.raises(ConnectorError, match=r"with 1 records, left by a sink of category csv: let that one complete"):
        other.open(NOW)
    write(csv_sink(tmp_path, {"records": 10}), [])
    write(RolledFolder(path, SinkRoller(records=10), ParquetFormat(ParquetSinkOptions(path=path))), [{"a": 1}])
    assert pq.ParquetFile(tmp_path / "out-2.csv").read().to_pylist() == [{"a": 1}]


def test_parquet_files_have_the_types_of_those_before_in_row_groups_of_a_usual_size(tmp_path: Path) -> None:
    write(parquet_sink(tmp_path), *([{"n": n, "x": None}] for n in range(150)))
    write(parquet_sink(tmp_path), [{"n": 1, "x": "text"}])
    groups = [pq.ParquetFile(path) for path in finals(tmp_path)]
    assert [(each.num_row_groups, each.metadata.num_rows) for each in groups] == [(1, 100), (1, 50), (1, 1)]
    assert len({str(each.schema_arrow) for each in groups}) == 1
    sink = parquet_sink(tmp_path)
    sink.open(NOW)
    with pytest.raises(BadRecord, match="the column n holds int64"):
        sink.write([{"n": 1.5, "x": ""}], NOW)
    sink.close(NOW)


def test_other_types_begin_another_parquet_file(tmp_path: Path) -> None:
    path = f"{tmp_path}/out-{{index}}"
    keep = SinkRoller(records=100, on_close="keep")
    write(RolledFolder(path, keep, ParquetFormat(ParquetSinkOptions(path=path))), [{"n": 1}])
    options = ParquetSinkOptions(path=path, types={"n": "float"})
    write(RolledFolder(path, SinkRoller(records=100), ParquetFormat(options)), [{"n": 1.5}])
    assert [pq.ParquetFile(each).read().to_pylist() for each in finals(tmp_path)] == [[{"n": 1}], [{"n": 1.5}]]


def test_what_parquet_cannot_keep_is_refused_when_it_comes(tmp_path: Path) -> None:
    sink = parquet_sink(tmp_path)
    sink.open(NOW)
    with pytest.raises(BadRecord, match="cannot be kept in Parquet"):
        sink.write([{"n": {}}], NOW)
    sink.write([{"n": 1}], NOW)
    sink.close(NOW)
    assert len(finals(tmp_path)) == 1


def test_a_second_sink_and_a_missing_folder_are_told_in_a_sentence(tmp_path: Path) -> None:
    sink = text_sink(tmp_path, records=1)
    sink.open(NOW)
    sink.open(NOW)
    with pytest.raises(ConnectorError, match=r"are being written in .* by another sink"):
        text_sink(tmp_path, records=2).open(NOW)
    sink.close(NOW)
    sink.close(NOW)
    with pytest.raises(AddressUnreachable, match="No such file or directory"):
        text_sink(tmp_path / "missing", records=1).open(NOW)
    with pytest.raises(ConnectorError, match="are not open for writing"):
        sink.write(["a"], NOW)
