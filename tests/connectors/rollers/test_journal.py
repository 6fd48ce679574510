"""A journal says what was added to it, whole record by whole record, wherever it was torn."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers import journal as module
from teleporter_lab.connectors.rollers.journal import Journal, Kept
from teleporter_lab.errors import ConnectorError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".x.journal"


def opened(path: Path) -> Journal:
    journal = Journal(path)
    try:
        journal.open()
    except ConnectorError:
        journal.close()
        raise
    return journal


def kept(path: Path) -> Kept:
    journal = opened(path)
    journal.close()
    return journal.kept


def test_a_fresh_one_says_nothing(path: Path) -> None:
    assert kept(path) == Kept()
    assert path.read_bytes() == b""


def test_what_was_added_is_there_again(path: Path) -> None:
    journal = opened(path)
    journal.add(length=5, records=1, begun="2024-02-29T00:00:00+00:00")
    journal.add(length=9, marks={"/position/a": "{}"})
    journal.add(marks={"/position/b": '{"x":"\\r\\n"}'}, closing="out-1.csv")
    journal.close()
    journal.close()
    assert kept(path) == Kept(
        9,
        1,
        "2024-02-29T00:00:00+00:00",
        closing="out-1.csv",
        marks={"/position/a": "{}", "/position/b": '{"x":"\\r\\n"}'},
    )


def test_marks_can_all_be_removed(path: Path) -> None:
    journal = opened(path)
    journal.add(marks={"a": "1"})
    journal.add(length=1, marks=None)
    journal.close()
    assert kept(path) == Kept(1)


CHANGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "length": st.integers(0, 1 << 60),
            "records": st.integers(0, 99),
            "form": st.text(max_size=5),
            "marks": st.dictionaries(st.sampled_from("ab"), st.text(max_size=8), max_size=2),
        },
    ),
    max_size=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, cut=st.integers(0, 40), flip=st.booleans())
def test_a_torn_record_does_not_count_and_those_before_do(
    path: Path, changes: list[dict[str, Any]], cut: int, flip: bool
) -> None:
    path.unlink(missing_ok=True)
    journal = opened(path)
    states, ends = [journal.kept], [0]
    for change in changes:
        journal.add(**change)
        states.append(journal.kept)
        ends.append(path.stat().st_size)
    journal.close()
    data = path.read_bytes()
    cut = max(ends[-2] if len(ends) > 1 else 0, len(data) - cut)
    data = data[:cut] + (b"\0" * (len(data) - cut) if flip else b"")  # as some file systems do after a loss of power
    path.write_bytes(data)
    whole = max(at for at, end in enumerate(ends) if end <= cut)
    assert kept(path) == states[whole]
    assert path.stat().st_size == ends[whole]


def test_damage_in_the_middle_is_told(path: Path) -> None:
    journal = opened(path)
    journal.add(length=1)
    journal.add(length=2)
    journal.close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"length":1', b'"length":7'))
    with pytest.raises(ConnectorError, match="is damaged at byte 0; bring it back from a copy"):
        opened(path)
    path.write_bytes(data[: len(data) // 2] + module._line({"length": "many"}))
    with pytest.raises(ConnectorError, match="is damaged at byte"):
        opened(path)


def test_a_long_journal_is_made_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 200)
    journal = opened(path)
    for length in range(1, 100):
        journal.add(length=length, marks={"k": str(length)})
        assert path.stat().st_size < 1500
        assert journal.is_there()
    journal.close()
    assert kept(path) == Kept(99, marks={"k": "99"})
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_a_disk_that_says_no_leaves_what_was_kept(path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(module, "LARGEST", 0 if broken == "replace" else 1000)
    journal = opened(path)
    journal.add(length=1)

    def refuse(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def torn(file: Any, data: bytes) -> None:
        file.write(data if broken == "fsync" else data[:3])
        refuse()

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_all", torn)
        with pytest.raises(OSError, match="No space left"):
            journal.add(length=2)
        patch.setattr(os, "fsync", refuse)
        if broken != "replace":
            with pytest.raises(OSError, match="No space left"):
                journal.settle()
    assert journal.kept == Kept(1)
    journal.settle()
    assert kept(path) == Kept(1)
    journal.add(length=3)
    journal.close()
    assert kept(path) == Kept(3)


def test_a_journal_that_was_removed_is_noticed(path: Path) -> None:
    journal = opened(path)
    assert journal.is_there()
    path.unlink()
    assert not journal.is_there()
    path.touch()
    assert not journal.is_there()
    journal.close()


def test_a_closed_one_takes_nothing(path: Path) -> None:
    with pytest.raises(ConnectorError, match="is not open for writing"):
        Journal(path).add(length=1)


def test_a_journal_that_could_not_be_made_short_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step fails, for too many open files say; and the new name is synced before it is relied on."""
    monkeypatch.setattr(module, "LARGEST", 0)
    journal = opened(path)
    journal.add(length=1)
    synced: list[Path] = []

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    for length, (owner, name) in enumerate([(Path, "open"), (Path, "replace"), (module, "sync")], 2):
        journal._limit = 0
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(OSError, match="Too many open files"):
                journal.add(length=length)
        assert journal.kept == Kept(length - 1)
        with monkeypatch.context() as patch:
            patch.setattr(module, "sync", synced.append)
            journal.add(length=length)
        assert path.parent in synced
        synced.clear()
        assert journal.is_there()
        assert kept(path) == Kept(length)
    journal.close()
