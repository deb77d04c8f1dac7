"""Test who is let in: that a session which is over is over at once, and how long one may be known after another process has ended it."""

from __future__ import annotations

import pytest

from feedback.study.access import SECONDS_KNOWN, SECONDS_PER_DAY, Access
from feedback.study.store import Store


class Clock:
    """Tell the time that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    with Store(tmp_path / "study.db", clock) as made:
        yield made


def come_in(access: Access, name: str) -> str:
    session = access.accept(access.invite(name))
    assert session is not None
    return session


def test_a_session_is_known_again_and_only_by_its_own_token(store):
    access = Access(store)
    session, other = come_in(access, "ann"), come_in(access, "bob")
    for _ in range(2):  # looked up, then known
        assert access.visit(session).person.handle == "ann"
        assert access.visit(other).person.handle == "bob"
        assert access.visit(session + "x") is None and access.visit("") is None
    assert access.visit(session).csrf != access.visit(other).csrf


def test_whoever_has_left_is_not_known_a_moment_longer(store):
    access = Access(store)
    session = come_in(access, "ann")
    assert access.visit(session) is not None
    access.leave(session)
    assert access.visit(session) is None


def test_a_session_is_over_when_its_time_is_however_lately_it_was_seen(store, clock):
    access = Access(store, days_of_session=1.0)
    session = come_in(access, "ann")
    clock.now += SECONDS_PER_DAY - 1.0
    assert access.visit(session) is not None
    clock.now += 1.0
    assert access.visit(session) is None


def test_a_session_that_another_process_ended_is_refused_after_seconds(store, clock):
    here, elsewhere = Access(store), Access(store)
    session = come_in(here, "ann")
    assert here.visit(session) is not None
    elsewhere.leave(session)
    clock.now += SECONDS_KNOWN
    assert here.visit(session) is None


def test_a_clock_that_was_set_back_makes_nobody_known_for_longer(store, clock):
    here, elsewhere = Access(store), Access(store)
    session = come_in(here, "ann")
    assert here.visit(session) is not None
    elsewhere.leave(session)
    clock.now -= 3600.0
    assert here.visit(session) is None
