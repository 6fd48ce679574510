"""Lines are cut at exact bytes, wherever blocks end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors import lines as module
from teleporter_lab.connectors.lines import Lines, encoding_that_keeps_ascii
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from pathlib import Path

Write = Callable[[bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(data: bytes) -> str:
        path = tmp_path / "lines"
        path.write_bytes(data)
        return str(path)

    return write


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 7 bytes and lines of 20 at most, so that every edge is met."""
    monkeypatch.setattr(module, "BLOCK", 7)
    monkeypatch.setattr(module, "LONGEST", 20)


def every(lines: Lines, n: int = 3) -> list[bytes]:
    taken: list[bytes] = []
    while chunk := lines.take(n):
        assert len(chunk) <= n
        taken += chunk
    lines.close()
    return taken


DATA = st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"|", b"-").replace(b"\n", b" ")), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=DATA, ended=st.booleans(), delimiter=st.sampled_from([b"\n", b"||"]), n=st.integers(1, 5))
@pytest.mark.usefixtures("small")
def test_cuts_as_split_does_and_knows_the_byte_behind_each(
    write: Write, parts: list[bytes], ended: bool, delimiter: bytes, n: int
) -> None:
    data = delimiter.join(parts) + (delimiter if ended else b"")
    expected = data.split(delimiter)
    if expected[-1] == b"":
        expected.pop()
    path = write(data)
    lines, taken = Lines(path, delimiter), list[bytes]()
    while chunk := lines.take(n):
        taken += chunk
        assert lines.offset == min(len(data), sum(map(len, taken)) + len(delimiter) * len(taken))
        other = Lines(path, delimiter)
        other.seek(lines.offset)
        assert every(other) == expected[len(taken) :]
    lines.close()
    assert taken == expected
    assert lines.offset == len(data)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=DATA, ended=st.booleans(), backs=st.lists(st.integers(0, 3), max_size=9))
@pytest.mark.usefixtures("small")
def test_what_is_put_back_comes_again(write: Write, parts: list[bytes], ended: bool, backs: list[int]) -> None:
    data = b"\n".join(parts) + (b"\n" if ended else b"")
    plain = every(Lines(write(data)))
    lines, taken = Lines(write(data)), list[bytes]()
    for back in backs:
        before = lines.offset
        chunk = lines.take(3)
        kept = max(0, len(chunk) - back)
        lines.back(chunk[kept:])
        taken += chunk[:kept]
        if not kept:
            assert lines.offset == before
    assert taken + every(lines) == plain


@pytest.mark.usefixtures("small")
def test_iterating_takes_line_after_line(write: Write) -> None:
    lines = Lines(write(b"one\ntwo and more\nthree"))
    offsets = [(line, lines.offset) for line in lines]
    lines.close()
    assert offsets == [(b"one", 4), (b"two and more", 17), (b"three", 22)]


@pytest.mark.usefixtures("small")
def test_a_line_that_is_too_long_is_passed_once_it_was_reported(write: Write) -> None:
    lines = Lines(write(b"a\nb\n" + b"x" * 100 + b"\nc\n" + b"y" * 100))
    assert lines.take(9) == [b"a", b"b"]
    with pytest.raises(BadRecord, match=r"Line 3 of .*lines has more than 20 bytes"):
        lines.take(9)
    assert lines.offset == 105
    assert lines.take(9) == [b"c"]
    with pytest.raises(BadRecord, match="Line 5"):
        lines.take(9)
    assert lines.take(9) == []
    assert lines.offset == 207
    lines.close()


@pytest.mark.usefixtures("small")
def test_the_mark_is_told_for_the_lines_at_hand(write: Write) -> None:
    lines = Lines(write(b"aaaaaa\nbbb'b\nccccc\n"), mark=b"'")
    seen: dict[bytes, bool] = {}
    while chunk := lines.take(1):
        seen[chunk[0]] = lines.marked
    lines.close()
    assert seen == {b"aaaaaa": False, b"bbb'b": True, b"ccccc": False}


@pytest.mark.usefixtures("small")
def test_line_numbers_are_counted_from_anywhere(write: Write) -> None:
    lines = Lines(write(b"a\nbb\nccc\n\neeeeeeeee\nf"))
    assert [lines.line_number(offset) for offset in (0, 2, 5, 9, 10, 20, 2)] == [1, 2, 3, 4, 5, 6, 2]
    lines.close()


def test_a_byte_order_mark_is_no_part_of_the_first_line(write: Write) -> None:
    for data, offset in ((b"\xef\xbb\xbfa\n", 3), (b"a\n", 0), (b"", 0)):
        lines = Lines(write(data))
        lines.skip_byte_order_mark()
        assert lines.offset == offset
        assert every(lines) == [b"a"][: len(data)]


def test_a_file_that_became_shorter_than_the_position_is_refused(write: Write) -> None:
    lines = Lines(write(b"abc"))
    with pytest.raises(ConnectorError, match="has 3 bytes, but byte 4 was reached before: it was replaced or cut"):
        lines.seek(4)
    lines.close()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AddressUnreachable, match=r"cannot be used: Is a directory\."):
        Lines(str(tmp_path))


def test_encodings_that_could_hide_a_line_end_are_refused() -> None:
    assert encoding_that_keeps_ascii("cp1252") == "cp1252"
    with pytest.raises(ValueError, match="nonsense is no encoding"):
        encoding_that_keeps_ascii("nonsense")
    with pytest.raises(ValueError, match="utf-16 does not write a line end as one byte"):
        encoding_that_keeps_ascii("utf-16")
