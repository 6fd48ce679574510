from __future__ import annotations

from teleporter_lab.rpc.tokens import new_token, same_token


def test_new_tokens_differ_and_need_no_quoting() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_same_token() -> None:
    token = new_token()
    assert same_token(token, token)
    assert not same_token(token[:-1], token)
    assert not same_token("", token)


def test_no_token_wanted_lets_nobody_in() -> None:
    assert not same_token("", "")


def test_any_text_can_be_compared() -> None:
    assert not same_token("\ud800ü", "plain")
    assert same_token("ü", "ü")
