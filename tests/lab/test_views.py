"""How things look: everything escaped, columns that line up, numbers that can be read."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from teleporter_lab.lab.views import COUNTS, Document, Note, Table, card, stream_row, stream_table

HOSTILE = "<script>alert('x')</script>\"&amp;<b onclick=x>"
VALUES = st.one_of(
    st.text(max_size=12),
    st.text("<>&'\"/a=", max_size=12),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.lists(st.text("<'\">", max_size=3), max_size=2),
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["key", "status", "<i>"]), VALUES), max_size=4)


class Tags(HTMLParser):
    """The tags of a text, with their attributes, and what stands between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.shown: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


OURS = {("b", ()), ("table", ()), ("thead", ()), ("tbody", ()), ("tr", ()), ("small", ()), ("pre", ())}
OURS |= {(tag, ("style",)) for tag in ("th", "td", "span", "div")}


def check(html: str) -> list[str]:
    """That there is no tag but ours; what is shown."""
    found = Tags(html)
    assert set(found.tags) <= OURS
    return found.shown


@settings(deadline=None)
@given(st.text(max_size=9), ROWS)
@example(HOSTILE, [{"key": HOSTILE, "status": HOSTILE, "<i>": [HOSTILE]}])
def test_a_table_shows_values_as_they_are(title: str, rows: list[dict[str, Any]]) -> None:
    html = Table(title, ("key", "status", "<i>"), rows, f"none & {title}")._repr_html_()
    check(html)
    assert html.count("<tr>") == (len(rows) + 1 if rows else 0)


@settings(deadline=None)
@given(st.text(max_size=9), st.dictionaries(st.text(max_size=9), VALUES, max_size=4))
@example(HOSTILE, {HOSTILE: HOSTILE, "status": "RUNNING"})
def test_a_card_shows_values_as_they_are(title: str, facts: dict[str, Any]) -> None:
    check(card(title, facts))


@settings(deadline=None)
@given(st.text(max_size=20), st.dictionaries(st.text(max_size=9), VALUES, max_size=4))
@example(HOSTILE, {HOSTILE: [HOSTILE]})
def test_a_document_shows_values_as_they_are(etag: str, value: dict[str, Any]) -> None:
    document = Document({"key": "/namespace/a", "value": value, "etag": etag})
    shown = "".join(check(document._repr_html_()))
    assert json.dumps(value, indent=2, ensure_ascii=False).splitlines()[0] in shown
    assert json.loads(repr(document).split("\n", 1)[1]) == value


def test_hostile_text_is_shown_letter_by_letter() -> None:
    assert HOSTILE in "".join(check(Table("t", ("a",), [{"a": HOSTILE}])._repr_html_()))


@settings(deadline=None)
@given(ROWS.filter(bool))
@example([{"key": "a\nb", "status": "x\u2028y", "<i>": "\x1c\r"}])
def test_the_text_form_lines_up(rows: list[dict[str, Any]]) -> None:
    columns = ("key", "status", "<i>")
    title, *lines = repr(Table("Title", columns, rows)).split("\n")
    assert title == "Title"
    assert len(lines) == len(rows) + 1
    assert len({len(line) for line in lines}) == 1
    for column in columns:
        assert lines[0].index(column) >= 0


def test_the_text_form_is_a_table() -> None:
    table = Table("Streams", ("key", "read"), [{"key": "/a", "read": 1234567}, {"key": "/longer", "read": None}])
    assert repr(table) == "Streams\nkey      read     \n/a       1,234,567\n/longer           "


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (-1234567, "-1,234,567"),
        (2**64, "18,446,744,073,709,551,616"),
        (1.5, "1.5"),
        (True, "yes"),
        (False, "no"),
        (None, ""),
        ("1000", "1000"),
        (["a"], "['a']"),
    ],
)
def test_values_are_written_for_people(value: Any, text: str) -> None:
    assert repr(Table("t", ("a",), [{"a": value}])).split("\n")[2].rstrip() == text
    assert f">{text.replace(chr(39), '&#x27;')}</td>" in Table("t", ("a",), [{"a": value}])._repr_html_()


def test_an_empty_table_says_so() -> None:
    table = Table("Instances", ("key",), [], "none <yet>")
    assert (repr(table), table._repr_html_()) == ("Instances: none <yet>", "<b>Instances</b>: none &lt;yet&gt;")


def test_a_status_has_its_colour_and_only_a_status() -> None:
    html = Table("t", ("status", "key"), [{"status": "RUNNING", "key": "RUNNING"}])._repr_html_()
    assert html.count("● RUNNING") == 1
    assert "●" not in Table("t", ("status",), [{"status": "ODD"}])._repr_html_()


def test_a_stream_is_one_row() -> None:
    view = {
        "key": "/stream/a/b/c",
        "status": "FAILURE",
        "instance": "",
        "counts": {"read": 1500, "written": 1499, "in_flight": 1, "expanded": 7},
        "rate": 12.6,
        "restarts": 3,
        "error": "ValueError: no luck\nIn map, on the element 7",
    }
    row = stream_row(view)
    assert row["instance"] == "nobody"
    assert (row["read"], row["written"], row["filtered"], row["in_flight"]) == (1500, 1499, 0, 1)
    assert (row["rate/s"], row["restarts"], row["error"]) == (13, 3, "ValueError: no luck")
    assert "1,500" in repr(stream_table([view]))
    bare = stream_row(
        {"key": "/stream/a/b/c", "status": "NORMAL", "instance": "/instance/a/i", "error": None, "rate": None}
    )
    assert [bare[name] for name in (*COUNTS, "rate/s", "restarts", "error")] == [0] * 7 + [""]
    assert repr(stream_table([])) == "Streams: none is configured; deploy one."


def test_a_note_is_its_text() -> None:
    assert repr(Note("Done.")) == "Done."
