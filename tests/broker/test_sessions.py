from __future__ import annotations

import pytest

from teleporter_lab.broker.sessions import Session, Sessions
from teleporter_lab.errors import AlreadyRunning, NotFound, Unreachable
from teleporter_lab.rpc.messages import Done, LogTail, Message
from tests.broker.conftest import Remote, hello

A = "/instance/ns/a"
ASK = LogTail(A, 1, follow=False)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


def session(instance: str = A, pid: int = 1) -> Session:
    return Session(hello(instance, pid), Remote(), linked=True)


def test_only_a_linked_session_is_online(sessions: Sessions) -> None:
    one = Session(hello(A), Remote())
    sessions.add(one)
    assert sessions.online() == frozenset()
    assert sessions.get(A) is None
    one.linked = True
    assert sessions.online() == {A}
    assert sessions.require(A) is one
    assert sessions.statistics() == {"open": 1, "online": 1}


def test_another_process_with_the_same_key_is_refused(sessions: Sessions) -> None:
    sessions.add(session(pid=1))
    with pytest.raises(AlreadyRunning, match="from process 1 on here"):
        sessions.add(session(pid=2))


def test_the_same_process_takes_the_place_of_its_dead_connection(sessions: Sessions) -> None:
    old, new = session(), session()
    assert sessions.add(old) is None
    assert sessions.add(new) is old
    sessions.remove(old)
    assert sessions.get(A) is new
    sessions.remove(new)
    assert sessions.get(A) is None


def test_links_are_of_the_sessions_that_are_open(sessions: Sessions) -> None:
    one, two = session(A), session("/instance/ns/b")
    one.uses |= {"/address/ns/db", "/variable/ns/v"}
    two.uses |= {"/address/ns/db"}
    sessions.add(one)
    sessions.add(two)
    assert sessions.links() == {"/address/ns/db": {A, "/instance/ns/b"}, "/variable/ns/v": {A}}
    sessions.remove(two)
    assert sessions.links()["/address/ns/db"] == {A}


async def test_who_is_not_there_is_unreachable(sessions: Sessions) -> None:
    with pytest.raises(Unreachable, match="not connected"):
        await sessions.request(A, ASK)
    with pytest.raises(NotFound, match="not connected"):
        sessions.require(A)


async def test_who_does_not_answer_is_unreachable(sessions: Sessions) -> None:
    async def silent(message: Message) -> Message:
        raise TimeoutError

    one = Session(hello(A), Remote(answer=silent), linked=True)
    sessions.add(one)
    with pytest.raises(Unreachable, match="did not answer within 60 s"):
        await sessions.request(A, ASK)


async def test_who_goes_before_it_answers_is_unreachable(sessions: Sessions) -> None:
    sessions.add(Session(hello(A), Remote(closed=True), linked=True))
    with pytest.raises(Unreachable, match="ended before it answered"):
        await sessions.request(A, ASK)


async def test_closing_says_goodbye_to_everybody(sessions: Sessions) -> None:
    remotes = [Remote(), Remote()]
    for number, remote in enumerate(remotes):
        sessions.add(Session(hello(f"/instance/ns/i{number}"), remote, linked=True))
    assert await sessions.request("/instance/ns/i0", ASK) == Done()
    await sessions.close()
    assert all(remote.closed for remote in remotes)
