"""Visit a study's page as a program: come in by an invitation, read what is shown, answer it.

It sends what a browser sends. Whatever breaks on the way is tried again with the same key until the page has acknowledged it, so that
an answer is stored once, whatever happens to the server meanwhile.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from feedback.page.settings import PageError
from feedback.study.queueing import Reply, Showing
from feedback.study.records import Interface, Kind, Lease, Outcome, Passage, Person, Question, Scale

if TYPE_CHECKING:
    from feedback.simulated.study_rater import SimulatedRater

BETWEEN_TRIES = 0.05  # seconds
REASONS = {Outcome.SKIP: "nothing to judge", Outcome.TIMEOUT: "no answer in time"}  # of skips


@dataclass
class Seen(HTMLParser):
    """Hold what a question's screen shows.

    Args:
        kind: of the question. fields: hidden ones of its form. prompt: what the texts continue. texts: first to last.
        choices: values of its buttons. can_skip: whether it can be skipped.
    """

    page: str
    kind: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    prompt: str = ""
    texts: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    can_skip: bool = False

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._sections: list[str] = []
        self._is_text = False
        self._is_answer = False
        self.feed(self.page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where in the screen this is."""
        given = {name: value or "" for name, value in attrs}
        classes = given.get("class", "").split()
        if "data-kind" in given:
            self.kind = given["data-kind"]
        if tag == "form":
            self._is_answer = given.get("id") == "answer"
            self.can_skip |= given.get("action") == "/skip"
        if tag == "input" and self._is_answer and given.get("type") == "hidden":
            self.fields[given["name"]] = given["value"]
        if tag == "button" and given.get("name") == "choice":
            self.choices.append(given["value"])
        if tag in ("section", "li") and {"prompt", "passage"} & set(classes):
            self._sections.append("prompt" if "prompt" in classes else "passage")
        if tag == "div" and "text" in classes:
            self._is_text = True
            if self._sections[-1:] == ["passage"]:
                self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        """Note what ends here."""
        if tag == "div":
            self._is_text = False
        if tag in ("section", "li") and self._sections:
            self._sections.pop()

    def handle_data(self, data: str) -> None:
        """Take the words of prompts and texts."""
        if self._is_text and self._sections[-1:] == ["passage"]:
            self.texts[-1] += data
        elif self._is_text and self._sections[-1:] == ["prompt"]:
            self.prompt += data


class Client:
    """Visit a page as one person.

    Args:
        invitation: the link.
        patience: seconds for which a request is tried again while nobody answers.

    Errors: ValueError for what is no link of an invitation; PageError where it is not taken.
    """

    def __init__(self, invitation: str, patience: float = 60.0) -> None:
        parts = urlsplit(invitation)
        found = re.fullmatch(r"/invitation/([\w-]+)", parts.path)
        if parts.scheme not in ("http", "https") or parts.hostname is None or found is None:
            raise ValueError(f"an invitation is a link such as http://127.0.0.1:8000/invitation/..., got {invitation!r}")
        self.address = f"{parts.scheme}://{parts.netloc}"
        self.patience = patience
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.netloc, timeout=30)
        self._cookie = ""
        status, headers, _ = self._insist("POST", parts.path, {})
        if status != 303:
            raise PageError(f"the invitation was not taken (status {status}): it was used before, or its time is over")
        self._cookie = headers["set-cookie"].partition(";")[0]

    def look(self) -> Seen | None:
        """Return what is to be judged now; None while there is nothing."""
        status, headers, page = self._insist("GET", "/")
        if status == 303 and headers.get("location") == "/done":
            return None
        if status != 200:
            raise PageError(f"the page could not be seen (status {status}): {_words(page)}")
        return Seen(page)

    def send(self, seen: Seen, said: Mapping[str, str], path: str = "/answer") -> str:
        """Send an answer and return its id once it is stored; where the page asks to go slower, it is sent again later.

        Errors: PageError where the page does not take it.
        """
        while True:
            status, headers, body = self._insist("POST", path, {**seen.fields, **said})
            if status != 429:
                break
            time.sleep(float(headers.get("retry-after", "1")))
        if status != 200:
            raise PageError(f"the answer was not taken (status {status}): {_words(body)}")
        return str(json.loads(body)["answer"])

    def _insist(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], str]:
        """Send a request until there is a whole answer: status, headers, text."""
        headers = {"Origin": self.address, "Accept": "text/html" if fields is None else "application/json", "Cookie": self._cookie}
        body = None
        if fields is not None:
            body = urlencode(fields)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        until = time.monotonic() + self.patience
        while True:
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                text = response.read().decode()
                return response.status, {name.lower(): value for name, value in response.getheaders()}, text
            except (OSError, HTTPException):
                self._connection.close()
                if time.monotonic() > until:
                    raise
                time.sleep(BETWEEN_TRIES)


def answer_by_taste(client: Client, rater: SimulatedRater, person: Person, limit: int | None = None) -> int:
    """Answer what the page shows as a simulated person would; return how many answers were stored.

    It knows nothing but what the screen says.
    """
    count = 0
    while limit is None or count < limit:
        seen = client.look()
        if seen is None:
            break
        showing = as_showing(seen, person)
        reply = rater.reply(showing, person)
        if reply.outcome not in (Outcome.SKIP, Outcome.TIMEOUT):
            client.send(seen, _fields(showing, reply))
        elif seen.can_skip:
            client.send(seen, {"reason-text": REASONS[reply.outcome]}, "/skip")
        else:
            break  # without an answer the page shows nothing else
        count += 1
    return count


def as_showing(seen: Seen, person: Person) -> Showing:
    """Return what a screen shows as a rater takes it. Its ids are not the study's."""
    kind = Kind(seen.kind)
    passages = tuple(Passage(seen.prompt, text) for text in seen.texts)
    steps = [int(choice) for choice in seen.choices if choice.lstrip("-").isdecimal()] if kind is Kind.RATE else []
    # Of a rating's buttons the last may be "I cannot say", whose value is a word.
    scale = Scale(min(steps), max(steps), ()) if steps else None
    names = tuple(passage.id for passage in passages)
    offered = [each for each in ("tie", "all_bad", "abstain") if each in seen.choices or (each == "tie" and kind is Kind.RANK)]
    question = Question(kind, names, scale=scale, allows=(*offered, *(["skip"] if seen.can_skip else [])))
    return Showing(Lease(question.id, person.id, names, Interface.SIMULATED, 0.0, 0.0), question, passages)


def _fields(showing: Showing, reply: Reply) -> dict[str, str]:
    """Return what a form holds that says this."""
    payload = reply.payload
    if reply.outcome is not Outcome.ANSWERED:
        return _without_opinion(showing, reply)
    if "step" in payload:
        return {"choice": str(payload["step"])}
    if "good" in payload:
        return {"choice": "good" if payload["good"] else "bad"}
    if "text" in payload:
        return {"choice": "send", "text": payload["text"]}
    at = {name: place for place, name in enumerate(showing.lease.order)}
    if showing.question.kind is Kind.COMPARE:
        return {"choice": "ab"[at[payload["groups"][0][0]]]}
    places = {f"place-{at[name]}": str(place) for place, group in enumerate(payload["groups"], 1) for name in group}
    return {"choice": "send", **places}


def _without_opinion(showing: Showing, reply: Reply) -> dict[str, str]:
    if showing.question.kind is Kind.RANK and reply.outcome is Outcome.TIE:
        return {"choice": "send", **{f"place-{at}": "1" for at in range(len(showing.passages))}}
    return {"choice": str(reply.outcome)}


def _words(page: str) -> str:
    """Return the beginning of a page without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())[:300]
