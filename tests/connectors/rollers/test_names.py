"""Names say when a file was, are counted apart, and stay below their folder."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.names import NamePattern, Naming

NAMING = Naming(datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2024, 2, 29, 13, 5, 9, tzinfo=UTC), 1234)


@pytest.mark.parametrize(
    ("text", "folder", "name"),
    [
        ("/data/out-{index}.csv", "/data", "out-7.csv"),
        ("/data/out-{index:06}.csv", "/data", "out-000007.csv"),
        ("/data/{date:%Y/%m/%d}/out-{date:%H}-{index}.csv.gz", "/data", "2024/02/29/out-12-7.csv.gz"),
        ("/data/year={date:%Y}/x-{end:%H%M%S}-{records}-{index}", "/data", "year=2024/x-130509-1234-7"),
        ("out-{date}-{index}.csv", ".", "out-20240229T120000-7.csv"),
        ("a/b/{{x}}-{index}.csv", "a/b", "{x}-7.csv"),
        ("/{date:%H:%M}-{index}", "/", "12:00-7"),
    ],
)
def test_placeholders_are_filled_in(text: str, folder: str, name: str) -> None:
    pattern = NamePattern(text)
    assert pattern.folder == Path(folder)
    assert pattern.name(NAMING, 7) == name


def test_hosts_and_random_parts() -> None:
    name = NamePattern("/d/{host}_{uuid}").name(NAMING, 1)
    assert re.fullmatch(rf"{re.escape(socket.gethostname())}_[0-9a-f]{{32}}", name)
    assert NamePattern("/d/{uuid}").name(NAMING, 1) != NamePattern("/d/{uuid}").name(NAMING, 1)


def test_moments_are_written_in_their_zone() -> None:
    berlin = NAMING.date.astimezone(ZoneInfo("Europe/Berlin"))
    assert NamePattern("{date:%H%z}").name(Naming(berlin, berlin), 1) == "13+0100"


def test_without_an_index_the_second_file_of_a_name_gets_a_number() -> None:
    pattern = NamePattern("/data/{date:%Y}/out-{date:%m}.csv.gz")
    assert [pattern.name(NAMING, index) for index in (1, 2, 10)] == [
        "2024/out-02.csv.gz",
        "2024/out-02-2.csv.gz",
        "2024/out-02-10.csv.gz",
    ]


def test_files_that_are_only_counted_apart_have_one_stem() -> None:
    pattern = NamePattern("/data/{date:%Y-%m}-{uuid}-{index}-{records}.csv")
    later = Naming(NAMING.date.replace(day=1), NAMING.end, 5)
    assert pattern.stem(NAMING) == pattern.stem(later)
    assert pattern.stem(NAMING) != pattern.stem(Naming(NAMING.date.replace(year=2020), NAMING.end))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("/data/out.csv", r"names one file; with a roller there are many"),
        ("/data/{host}.csv", r"names one file"),
        ("/data/{name}-{index}", r"has the placeholder \{name\}, which is none; write \{date:%Y-%m-%d\}"),
        ("/data/{0}-{index}", "which is none"),
        ("/data/{date.year}-{index}", "which is none"),
        ("/data/{index!r}", "which is none"),
        ("/data/{index", "is no pattern"),
        ("/data/{index:x}", "may have a width, such as 06"),
        ("/data/{date:year}-{index}", "needs a form such as %Y-%m-%d"),
        ("/data/{date:{index}}", "needs a form"),
        ("/data/{uuid:3}", "stands alone"),
    ],
)
def test_what_is_no_pattern_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        NamePattern(text)


@pytest.mark.parametrize(
    "text",
    ["/d/{date:%Y}/../{index}", "/d/{date:../%Y}", "/d/{index}//x", "/d/{index}/", "/d/{date:/%Y}", "/d/.{uuid}"],
)
def test_a_name_never_leads_out_of_its_folder(text: str) -> None:
    with pytest.raises(ValueError, match="none below a folder"):
        NamePattern(text).name(NAMING, 1)


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 200 bytes"):
        NamePattern("/d/" + "x" * 200 + "{index}").name(NAMING, 1)


SAFE = st.text(alphabet="ab-_. /%{}", max_size=12).map(lambda text: text.replace("{", "{{").replace("}", "}}"))


@given(before=SAFE, after=SAFE, other=SAFE)
def test_hidden_files_are_hidden_in_one_folder_and_no_two_patterns_share_them(
    before: str, after: str, other: str
) -> None:
    first, second = NamePattern(f"/d/{before}{{index}}{after}"), NamePattern(f"/d/{before}{{index}}{other}")
    assert re.fullmatch(r"\.[A-Za-z0-9._-]+", first.hidden)
    assert len(first.hidden) < 150
    assert (first.hidden == second.hidden) == (first.text == second.text)
