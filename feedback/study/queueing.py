"""Hand out questions and take answers: who is asked what next, for how long, and what becomes of what they say.

- A question goes to as many people at once as it still wants answers, and never twice to one person (a repeat is a question of its own).
- Who leaves with a question unanswered gets the same one again until the lease is over; then somebody else may get it.
- What stands first is drawn from a hash of question, person and attempt, so that it favours nobody and can be recomputed.
- An answer that comes after its lease is stored and counts, if the question takes more.
- Skips keep their reason, count for nothing, and the question goes to somebody else. An answer that is taken back opens the question again.
- After so many answers a person gets a question whose answer is known, and one that they answered before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, exists, func, or_, select

from feedback.study.payloads import check_payload
from feedback.study.records import (
    COUNTED,
    OPINIONS,
    Answer,
    Interface,
    Lease,
    Outcome,
    Passage,
    Payload,
    Person,
    Purpose,
    Question,
    RecordError,
    Return,
    digest,
)
from feedback.study.store import Store
from feedback.study.tables import answers, leases, questions

# Statements are built once; what they are asked with: a person, a question, the present time.
_PERSON: BindParameter[str] = bindparam("person")
_QUESTION: BindParameter[str] = bindparam("question")
_NOW: BindParameter[float] = bindparam("now")
_IN_TIME = or_(questions.c.expires.is_(None), questions.c.expires > _NOW)
_ANSWERED = exists().where(answers.c.question == questions.c.id, answers.c.person == _PERSON, answers.c.is_current)
_MAY_ASK = and_(questions.c.is_open, _IN_TIME, or_(questions.c.only_for == "", questions.c.only_for == _PERSON), ~_ANSWERED)
_NUM_OUT = (
    select(func.count()).where(leases.c.question == questions.c.id, leases.c.is_live, leases.c.expires > _NOW).scalar_subquery()
)  # people who hold a question now
_MINE = and_(answers.c.person == _PERSON, answers.c.is_current)
_IS_GOLD = questions.c.purpose == str(Purpose.GOLD)
_MY_OPINIONS = and_(_MINE, answers.c.outcome.in_(sorted(OPINIONS)))
_RECENT = select(answers.c.question).where(_MY_OPINIONS).order_by(answers.c.number.desc()).limit(bindparam("every")).subquery()
_LONG_AGO = (
    select(answers.c.number)
    .where(_MY_OPINIONS)
    .order_by(answers.c.number.desc())
    .limit(1)
    .offset(bindparam("after"))
    .correlate(None)
    .scalar_subquery()
)  # the opinion before the last so many
_ASKABLE = (
    select(questions.c.id)
    .where(_MAY_ASK, _NUM_OUT + questions.c.num_counted < questions.c.wanted)
    .order_by(questions.c.turn, questions.c.number)
    .limit(1)
)
NEXT, NEXT_GOLD = _ASKABLE.where(~_IS_GOLD), _ASKABLE.where(_IS_GOLD)
NEXT_REPEAT = _ASKABLE.where(questions.c.purpose == str(Purpose.REPEAT))  # one that was not answered when it was shown
MOST_LEFT = 100  # questions that are counted; a study of many thousands is not read for each screen
NUM_LEFT = select(func.count()).select_from(select(questions.c.id).where(_MAY_ASK).limit(MOST_LEFT).subquery())
PURPOSES = select(questions.c.purpose).join(_RECENT, _RECENT.c.question == questions.c.id)  # of the last opinions
REPEATABLE = (
    select(answers.c.question)
    .join(questions, questions.c.id == answers.c.question)
    .where(_MY_OPINIONS, questions.c.purpose == str(Purpose.TRAIN), answers.c.number <= _LONG_AGO)
    .order_by(answers.c.number)
)
NUM_COUNTED = select(func.count()).where(_MINE, answers.c.outcome.in_(sorted(COUNTED)))
NUM_SHOWN = select(func.count()).where(leases.c.question == _QUESTION, leases.c.person == _PERSON)
LAST = select(answers.c.id).where(_MINE).order_by(answers.c.number.desc()).limit(bindparam("limit"))
STANDING = select(answers.c.id).where(_MINE, answers.c.question == _QUESTION).order_by(answers.c.number.desc()).limit(1)
EARLIER = (
    select(answers.c.id)
    .where(answers.c.person == _PERSON, answers.c.question == _QUESTION, answers.c.outcome != str(Outcome.WITHDRAWN))
    .order_by(answers.c.number.desc())
    .limit(1)
)
HELD = (
    select(leases.c.id)
    .join(questions, questions.c.id == leases.c.question)
    .where(leases.c.person == _PERSON, leases.c.is_live, leases.c.expires > _NOW, questions.c.is_open, _IN_TIME)
    .order_by(leases.c.expires.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Mixing:
    """Say how often a person is tested.

    Args:
        gold_every: answers between two questions whose answer is known; 0 = none.
        repeat_every: answers between two that the person answered before; 0 = none.
        repeat_after: answers that lie between a question and its repetition, at least.
    """

    gold_every: int = 10
    repeat_every: int = 15
    repeat_after: int = 8

    def __post_init__(self) -> None:
        for name in ("gold_every", "repeat_every", "repeat_after"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 answers, got {getattr(self, name)}")


@dataclass(frozen=True)
class Showing:
    """Hold what a person is shown.

    Args:
        passages: in the order of the lease. earlier: the person's own answer that this one would take the place of, if any.
    """

    lease: Lease
    question: Question
    passages: tuple[Passage, ...]
    earlier: Answer | None = None


@dataclass(frozen=True)
class Reply:
    """Hold what a person says, before it is an answer; see `Answer`."""

    outcome: Outcome
    payload: Payload = field(default_factory=dict)
    seconds: float | None = None
    confidence: float | None = None
    comment: str = ""
    reason: str = ""
    artefact: str = ""


class Progress(NamedTuple):
    """Hold how many answers of a person stand, how many more they could be asked for (at most `MOST_LEFT`), and whether any stands."""

    done: int
    left: int
    has_history: bool


class NotYoursError(RecordError):
    """Report a lease or an answer that belongs to somebody else."""


class Queue:
    """Hand out a store's questions.

    Args:
        store: where they are.
        seconds_to_answer: how long a lease lasts.
        mixing: how often people are tested.
    """

    def __init__(self, store: Store, seconds_to_answer: float = 1800.0, mixing: Mixing | None = None) -> None:
        if not seconds_to_answer > 0:
            raise ValueError(f"seconds_to_answer must be above 0, got {seconds_to_answer}")
        self.store = store
        self.seconds_to_answer = seconds_to_answer
        self.mixing = Mixing() if mixing is None else mixing

    def next_for(self, person: Person, interface: Interface, session: str = "") -> Showing | None:
        """Return what a person is to judge now, with what they said of it before, as in `show`; None while there is nothing."""
        with self.store.database.writing() as connection:
            self.store.append(connection, [person])  # whose answers are kept can be named
            held = self._held(connection, person)
            if held is not None:
                return self._with_earlier(connection, self._showing(connection, held), person)
            name = self._choose(connection, person)
            return (
                None if name is None else self._with_earlier(connection, self._lease(connection, name, person, interface, session), person)
            )

    def answer(self, person: Person, lease: str, key: str, reply: Reply, interface: Interface | None = None) -> Answer:
        """Store what a person says of what they were shown, and return it once it is lasting.

        The same key again gives the answer that is stored. A second answer to the same question supersedes the first.

        Args:
            interface: by which it was said, where it was shown by another, as with a spoken answer to a page. The answer then gets a lease
                of its own, in the order that was shown.

        Errors: KeyError for an unknown lease, NotYoursError for somebody else's, RecordError for what the question does not take, or a key
        that was used for another answer.
        """
        with self.store.database.writing() as connection:
            shown = self.store.record(Lease, lease, connection)
            if shown.person != person.id:
                raise NotYoursError(f"this question was shown to somebody else, not to {person.handle!r}")
            question = self.store.record(Question, shown.question, connection)
            passages = {name: self.store.record(Passage, name, connection) for name in question.passages}
            check_payload(question, reply.outcome, reply.payload, passages)
            if len(reply.reason) > 1000:
                raise RecordError(f"a reason has at most 1000 characters, got {len(reply.reason)}")
            said = Answer(
                question=question.id,
                person=person.id,
                lease=lease,
                key=key,
                given=self.store.clock(),
                supersedes=self._standing(connection, person, question.id) or "",
                **vars(reply),
            )
            stored = self.store.find(Answer, said.id, connection)
            if stored is not None:
                return _same(stored, said)
            if interface is not None and interface is not shown.interface:
                attempt = connection.execute(NUM_SHOWN, {"question": question.id, "person": person.id}).scalar_one()
                other = replace(shown, interface=interface, attempt=attempt)
                self.store.append(connection, [Return(lease, self.store.clock()), other])
                said = replace(said, lease=other.id)
            self.store.append(connection, [said])
            return said

    def undo(self, person: Person, key: str, interface: Interface, session: str = "") -> Showing | None:
        """Take back a person's last answer and show its question again; None where there is nothing to take back.

        The same key again takes nothing more back. Errors: RecordError for a key that was used before, once its question is not shown.
        """
        with self.store.database.writing() as connection:
            stored = self.store.find(Answer, digest(Answer.name, {"person": person.id, "key": key}), connection)
            held = self._held(connection, person)
            if stored is not None:
                return self._undone(connection, stored, held)
            last = connection.execute(LAST, {"person": person.id, "limit": 1}).scalar()
            if last is None:
                return None
            said = self.store.record(Answer, last, connection)
            if held is not None:
                self.store.append(connection, [Return(held.id, self.store.clock())])
            back = Answer(said.question, person.id, "", key, Outcome.WITHDRAWN, self.store.clock(), supersedes=said.id)
            self.store.append(connection, [back])
            return replace(self._lease(connection, said.question, person, interface, session), earlier=said)

    def revise(self, person: Person, answer: str, interface: Interface, session: str = "") -> Showing:
        """Show the question of a person's earlier answer again, which stands until another takes its place.

        Errors: KeyError for an unknown answer, NotYoursError for somebody else's.
        """
        with self.store.database.writing() as connection:
            said = self.store.record(Answer, answer, connection)
            if said.person != person.id:
                raise NotYoursError(f"this answer is somebody else's, not one of {person.handle!r}")
            held = self._held(connection, person)
            if held is not None:
                self.store.append(connection, [Return(held.id, self.store.clock())])
            standing = self._standing(connection, person, said.question)
            earlier = None if standing is None else self.store.record(Answer, standing, connection)
            return replace(self._lease(connection, said.question, person, interface, session), earlier=earlier)

    def show(self, person: Person, lease: str) -> Showing:
        """Show once more what a person was shown, with what they said of it last, even if they have taken that back.

        Errors: KeyError for an unknown lease, NotYoursError for somebody else's.
        """
        with self.store.database.reading() as connection:
            shown = self.store.record(Lease, lease, connection)
            if shown.person != person.id:
                raise NotYoursError(f"this question was shown to somebody else, not to {person.handle!r}")
            return self._with_earlier(connection, self._showing(connection, shown), person)

    def show_answered(self, answer: Answer) -> Showing:
        """Show what a person was shown when they gave an answer; one that came without a lease (an import), in the question's order."""
        with self.store.database.reading() as connection:
            shown = self.store.find(Lease, answer.lease, connection)
            if shown is None:
                order = self.store.record(Question, answer.question, connection).passages
                shown = Lease(answer.question, answer.person, order, Interface.WEB, answer.given, answer.given)
            return replace(self._showing(connection, shown), earlier=answer)

    def give_back(self, person: Person, lease: str) -> None:
        """Let somebody else have a question that was shown and not answered."""
        with self.store.database.writing() as connection:
            if self.store.record(Lease, lease, connection).person != person.id:
                raise NotYoursError(f"this question was shown to somebody else, not to {person.handle!r}")
            self.store.append(connection, [Return(lease, self.store.clock())])

    def give_back_held(self, person: Person) -> None:
        """Let somebody else have what a person holds, if anything; an answer to it that comes all the same is taken."""
        with self.store.database.writing() as connection:
            held = self._held(connection, person)
            if held is not None:
                self.store.append(connection, [Return(held.id, self.store.clock())])

    def history(self, person: Person, limit: int = 20) -> list[Answer]:
        """Return a person's last answers that stand, newest first."""
        with self.store.database.reading() as connection:
            found = connection.execute(LAST, {"person": person.id, "limit": limit}).scalars()
            return [self.store.record(Answer, name, connection) for name in found.all()]

    def progress(self, person: Person) -> Progress:
        """Return how far a person is."""
        with self.store.database.reading() as connection:
            done = connection.execute(NUM_COUNTED, {"person": person.id}).scalar_one()
            left = connection.execute(NUM_LEFT, {"person": person.id, "now": self.store.clock()}).scalar_one()
            last = connection.execute(LAST, {"person": person.id, "limit": 1}).scalar()
        return Progress(int(done), int(left), last is not None)

    def _held(self, connection: Connection, person: Person) -> Lease | None:
        """Return the lease that a person holds, if its question still wants an answer."""
        found = connection.execute(HELD, {"person": person.id, "now": self.store.clock()}).scalar()
        return None if found is None else self.store.record(Lease, found, connection)

    def _choose(self, connection: Connection, person: Person) -> str | None:
        """Return the id of the question that a person is asked next."""
        if self._is_due(connection, person, Purpose.REPEAT, self.mixing.repeat_every):
            repeated = self._first(connection, NEXT_REPEAT, person) or self._repeat(connection, person)
            if repeated is not None:
                return repeated
        if self._is_due(connection, person, Purpose.GOLD, self.mixing.gold_every):
            tested = self._first(connection, NEXT_GOLD, person)
            if tested is not None:
                return tested
        return self._first(connection, NEXT, person)

    def _first(self, connection: Connection, statement: Select[str], person: Person) -> str | None:
        """Return the first question of a statement for a person."""
        return connection.execute(statement, {"person": person.id, "now": self.store.clock()}).scalar()

    def _is_due(self, connection: Connection, person: Person, purpose: Purpose, every: int) -> bool:
        """Return whether a person has given as many opinions since the last test of a kind as lie between two."""
        if every == 0:
            return False
        purposes = connection.execute(PURPOSES, {"person": person.id, "every": every}).scalars().all()
        return len(purposes) == every and str(purpose) not in purposes

    def _repeat(self, connection: Connection, person: Person) -> str | None:
        """Ask a person again what they answered long enough ago and were not asked again; return the question's id."""
        rows = connection.execute(REPEATABLE, {"person": person.id, "after": self.mixing.repeat_after}).scalars()
        for name in rows.all():
            asked = self.store.record(Question, name, connection)
            again = replace(
                asked, purpose=Purpose.REPEAT, repeats=name, only_for=person.id, least=1, wanted=1, most=1, seconds_to_live=None
            )
            if self.store.find(Question, again.id, connection) is None:
                self.store.append(connection, [again])
                return again.id
        return None

    def _lease(self, connection: Connection, name: str, person: Person, interface: Interface, session: str) -> Showing:
        question = self.store.record(Question, name, connection)
        attempt = connection.execute(NUM_SHOWN, {"question": name, "person": person.id}).scalar_one()
        now = self.store.clock()
        order = shown_order(question, person, attempt)
        lease = Lease(name, person.id, order, interface, now, now + self.seconds_to_answer, attempt, session)
        self.store.append(connection, [lease])
        return self._showing(connection, lease)

    def _showing(self, connection: Connection, lease: Lease) -> Showing:
        question = self.store.record(Question, lease.question, connection)
        return Showing(lease, question, tuple(self.store.record(Passage, name, connection) for name in lease.order))

    def _with_earlier(self, connection: Connection, showing: Showing, person: Person) -> Showing:
        """Return what is shown with what the person said of it last, even if they have taken that back."""
        name = connection.execute(EARLIER, {"person": person.id, "question": showing.question.id}).scalar()
        return showing if name is None else replace(showing, earlier=self.store.record(Answer, name, connection))

    def _undone(self, connection: Connection, stored: Answer, held: Lease | None) -> Showing:
        """Return what an undo showed that has been done already."""
        if stored.outcome is not Outcome.WITHDRAWN or held is None or held.question != stored.question:
            raise RecordError(f"the key {stored.key!r} was used before: every undo needs a new one")
        return replace(self._showing(connection, held), earlier=self.store.record(Answer, stored.supersedes, connection))

    def _standing(self, connection: Connection, person: Person, question: str) -> str | None:
        """Return the id of a person's answer to a question that stands."""
        return connection.execute(STANDING, {"question": question, "person": person.id}).scalar()


def shown_order(question: Question, person: Person, attempt: int) -> tuple[str, ...]:
    """Return the ids of the passages in the order in which a person sees them: the order of their hashes with question, person, attempt."""
    salt = f"{question.id} {person.id} {attempt} "
    return tuple(sorted(question.passages, key=lambda name: hashlib.sha256((salt + name).encode()).digest()))


def _same(stored: Answer, said: Answer) -> Answer:
    """Return the stored answer if the other says the same.

    Errors: RecordError where it does not.
    """
    one, other = (
        (answer.question, answer.outcome, answer.payload, answer.comment, answer.reason, answer.artefact) for answer in (stored, said)
    )
    if one != other:
        raise RecordError(f"the key {said.key!r} was used for another answer, which is stored: send a changed answer with a new key")
    return stored


def gold_is_met(question: Question, answer: Answer) -> bool | None:
    """Return whether an answer is what a question with a known answer wants; None where nothing is known."""
    if question.gold is None or answer.outcome is not Outcome.ANSWERED:
        return None if question.gold is None else False
    expected: Mapping[str, Any] = question.gold
    return all(_unordered(name, answer.payload.get(name)) == _unordered(name, value) for name, value in expected.items())


def _unordered(name: str, value: Any) -> Any:
    """Return groups with their members in one order: within a group nothing is first."""
    return [sorted(group) for group in value] if name == "groups" and isinstance(value, list) else value
