from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest
from pydantic import BaseModel, ValidationError

from teleporter_lab.config.secret import MASK, Secret


def test_showing_it_shows_the_mask() -> None:
    secret = Secret("hunter2")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, f"{secret:>4}", "{}".format(secret)]  # noqa: UP031, UP032
    assert shown == [MASK] * len(shown)
    assert str({"password": secret, "all": [secret]}) == f"{{'password': {MASK}, 'all': [{MASK}]}}"


def test_a_log_line_shows_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("connecting with %s and %r", Secret("hunter2"), [Secret("hunter2")])
    assert caplog.messages == [f"connecting with {MASK} and [{MASK}]"]


def test_an_error_shows_the_mask() -> None:
    assert "hunter2" not in repr(ValueError(Secret("hunter2")))
    assert "hunter2" not in str(ValueError(Secret("hunter2")))


def test_it_is_the_text_to_a_driver() -> None:
    secret = Secret("hunter2")
    assert secret == "hunter2"
    assert secret.encode() == b"hunter2"
    assert len(secret) == 7
    assert hash(secret) == hash("hunter2")
    assert type(secret.reveal()) is str
    assert secret.reveal() == "hunter2"


def test_copies_keep_the_text_and_stay_secret() -> None:
    for copied in (copy.copy(Secret("x")), copy.deepcopy(Secret("x")), pickle.loads(pickle.dumps(Secret("x")))):
        assert type(copied) is Secret
        assert copied.reveal() == "x"


class Login(BaseModel):
    password: Secret
    hint: Secret | None = None


def test_as_a_field_it_hides_in_every_form() -> None:
    login = Login.model_validate({"password": "hunter2"})
    assert type(login.password) is Secret
    assert "hunter2" not in repr(login)
    assert "hunter2" not in str(login.model_dump())
    assert json.loads(login.model_dump_json()) == {"password": MASK, "hint": None}
    assert Login.model_json_schema()["properties"]["password"] == {
        "type": "string",
        "format": "password",
        "title": "Password",
    }


@pytest.mark.parametrize("wrong", [None, 5, ["x"], {}])
def test_as_a_field_it_takes_text_only(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Login.model_validate({"password": wrong})


def test_an_empty_secret_is_shown_as_one() -> None:
    assert str(Secret("")) == MASK
    assert not Secret("")
