"""Which lines are one row together, as the standard library's parser sees it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.csv_cut import RowEnds

LINES: list[tuple[list[bytes], list[int]]] = [
    ([b"a,b", b"1,2"], [0, 1]),
    ([b"", b"1,2", b"\r", b"3,4", b""], [1, 3]),
    ([b'"a,b', b'c",d', b"1,2"], [1, 2]),
    ([b'1,"x', b"", b'y"'], [2]),
    ([b'1,"x', b'a,b",2'], [1]),
    ([b'1,"x', b'y","z', b'w"'], [2]),
    ([b'5" pipe,b', b"1,2"], [0, 1]),
    ([b'x,5" pipe', b'"1",2'], [0, 1]),
    ([b'"a""', b'b",c'], [1]),
    ([b'"a""b"', b"c,d"], [0, 1]),
    ([b'"a",""', b'"",b'], [0, 1]),
    ([b'1,"open', b"2,3"], []),
    ([b'"a"x,"b', b'c"'], [1]),
    ([b'1,"x"\r', b'2,"y\r', b'z"\r'], [0, 2]),
]


@pytest.mark.parametrize(("lines", "ends"), LINES)
def test_rows_end_at_lines_outside_of_quotes(lines: list[bytes], ends: list[int]) -> None:
    assert RowEnds(b",", b'"').of(lines) == ends


def test_other_marks_are_taken_as_they_are() -> None:
    assert RowEnds(b"|", b"'").of([b"1|'x", b"y'|2", b'"|3']) == [1, 2]
    assert RowEnds(b"^", b"]").of([b"1^]x", b"y]^2"]) == [1]


FIELD = st.text(alphabet='ab,"\n ', max_size=5)


@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=8), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_whatever_the_standard_library_writes_is_cut_where_its_rows_end(
    rows: list[tuple[str, ...]], quoting: int
) -> None:
    ends: list[int] = []
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    for row in rows:
        writer.writerow(row)
        ends.append(text.getvalue().count("\n") - 1)
    assert RowEnds(b",", b'"').of(text.getvalue().encode().split(b"\n")[:-1]) == ends
