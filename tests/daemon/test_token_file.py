"""A broker's token outlives it, is its user's alone, and goes when its file is deleted."""

from __future__ import annotations

import pytest

from teleporter_lab.daemon.token_file import kept_token, token_path
from teleporter_lab.errors import DaemonError


@pytest.fixture(autouse=True)
def home(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))


def test_it_is_the_same_every_time_and_readable_by_its_user_alone() -> None:
    token = kept_token("broker", "one")
    assert len(token) >= 32
    assert kept_token("broker", "one") == token
    assert kept_token("broker", "two") != token
    assert token_path("broker", "one").stat().st_mode & 0o777 == 0o600


def test_deleting_the_file_makes_a_new_one() -> None:
    token = kept_token("broker", "one")
    token_path("broker", "one").unlink()
    assert kept_token("broker", "one") != token


def test_one_that_others_can_read_is_refused() -> None:
    kept_token("broker", "one")
    token_path("broker", "one").chmod(0o644)
    with pytest.raises(DaemonError, match="chmod 600"):
        kept_token("broker", "one")


def test_an_empty_one_is_refused() -> None:
    kept_token("broker", "one")
    token_path("broker", "one").write_text("")
    with pytest.raises(DaemonError, match="delete it"):
        kept_token("broker", "one")
