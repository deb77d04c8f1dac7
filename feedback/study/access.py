"""Say who may come in: invitations that are used once, and the sessions that they open.

Only hashes of tokens are kept, so that nobody who reads the database can come in as somebody else. Who somebody is follows from their
session alone, never from what a request says.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from feedback.study.records import Person
from feedback.study.store import Store
from feedback.study.tables import invitations, people, sessions

SECONDS_PER_DAY = 86_400.0
SECONDS_KNOWN = 10.0  # for which a session is not looked up again; one that another process ends is refused after so long
MOST_KNOWN = 10_000  # sessions


@dataclass(frozen=True)
class Visit:
    """Hold who has come in.

    Args:
        session: an opaque name of the session, which may stand in the log.
        csrf: what every form of this session carries.
    """

    person: Person
    session: str
    csrf: str


class Access:
    """Invite people to a study, and know them again.

    Args:
        store: the study.
        secret: signs the forms of a session; empty where only this machine reaches the page.
        days_of_session: after which somebody needs a new invitation.
    """

    def __init__(self, store: Store, secret: bytes = b"", days_of_session: float = 30.0) -> None:
        if not days_of_session > 0:
            raise ValueError(f"days_of_session must be above 0, got {days_of_session}")
        self.store = store
        self.days_of_session = days_of_session
        self._secret = secret
        self._known: dict[str, tuple[float, Visit]] = {}  # until when, by the hash of the session's token

    def invite(self, handle: str, role: str = "rater", days: float = 7.0) -> str:
        """Enrol a person if they are new, and return the token of an invitation for them.

        Errors: ValueError for a wrong handle or role, or an invitation that would be over at once.
        """
        if not days > 0:
            raise ValueError(f"an invitation must hold for more than 0 days, got {days}")
        person = self.store.enrol(handle, role)
        token = secrets.token_urlsafe(32)
        row = {"token_hash": _hash(token), "person": person.id, "expires": self.store.clock() + days * SECONDS_PER_DAY}
        with self.store.database.writing() as connection:
            connection.execute(insert(invitations), row)
        return token

    def invited(self, token: str) -> Person | None:
        """Return whom an invitation is for; None if it is unknown, used or over. It stays as it is."""
        chosen = select(invitations.c.person).where(invitations.c.token_hash == _hash(token), invitations.c.expires > self.store.clock())
        with self.store.database.reading() as connection:
            name = connection.execute(chosen).scalar()
            return None if name is None else self.store.record(Person, name, connection)

    def accept(self, token: str) -> str | None:
        """Use an invitation up and return the token of a new session; None if it is unknown, used or over."""
        now, session = self.store.clock(), secrets.token_urlsafe(32)
        with self.store.database.writing() as connection:
            row = connection.execute(select(invitations).where(invitations.c.token_hash == _hash(token))).one_or_none()
            if row is None or row.expires <= now:
                return None
            connection.execute(delete(invitations).where(invitations.c.token_hash == row.token_hash))
            connection.execute(delete(sessions).where(sessions.c.expires <= now))
            expires = now + self.days_of_session * SECONDS_PER_DAY
            connection.execute(insert(sessions), {"token_hash": _hash(session), "person": row.person, "started": now, "expires": expires})
        return session

    def visit(self, session: str) -> Visit | None:
        """Return who has come in with a session's token; None if it is unknown or over."""
        now, name = self.store.clock(), _hash(session)
        until, known = self._known.get(name, (0.0, None))
        if known is not None and now < until <= now + SECONDS_KNOWN:
            return known
        with self.store.database.reading() as connection:
            row = connection.execute(select(sessions.c.person, sessions.c.expires).where(sessions.c.token_hash == name)).one_or_none()
            if row is None or row.expires <= now:
                return None
            person = self.store.record(Person, row.person, connection)
        csrf = hmac.new(self._secret, b"form " + _bytes(session), hashlib.sha256).hexdigest()
        found = Visit(person, hashlib.sha256(b"name " + _bytes(session)).hexdigest()[:16], csrf)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name] = (min(now + SECONDS_KNOWN, row.expires), found)
        return found

    def leave(self, session: str) -> None:
        """End a session."""
        with self.store.database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.token_hash == _hash(session)))
        self._known.pop(_hash(session), None)

    def has_people(self) -> bool:
        """Say whether anybody is enrolled."""
        with self.store.database.reading() as connection:
            return connection.execute(select(people.c.id).limit(1)).scalar() is not None


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")


def _hash(token: str) -> str:
    return hashlib.sha256(_bytes(token)).hexdigest()
