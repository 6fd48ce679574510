"""Tokens: who may talk to a daemon at all.

Owns making and comparing them. Refuses to keep them (`daemon.connection_file` does) and to say what one
allows.
"""

from __future__ import annotations

import hmac
import secrets


def new_token() -> str:
    """A fresh token: 256 random bits as text that needs no quoting in a header."""
    return secrets.token_urlsafe(32)


def same_token(given: str, wanted: str) -> bool:
    """Whether they are equal, in a time that does not tell where they differ; an empty `wanted` never is."""
    if not wanted:
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode("utf-8", "surrogatepass"))
