"""A study to serve, and a visitor without script: reads the forms of a page and sends what a browser would send."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from starlette.testclient import TestClient

from feedback.page.application import make_application
from feedback.page.desk import Desk
from feedback.page.run_metrics import RunFolder
from feedback.page.settings import Settings
from feedback.study.access import Access
from feedback.study.queueing import Mixing, Queue
from feedback.study.records import Answer, Kind, Passage, Question
from feedback.study.store import Store

ADDRESS = "http://127.0.0.1:8000"
NUM_PASSAGES = {Kind.COMPARE: 2, Kind.RANK: 3}
NO_TESTS = Mixing(gold_every=0, repeat_every=0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def question(kind: Kind, texts: list[str], prompt: str = "Say something.", **settings) -> tuple[Question, list[Passage]]:
    passages = [Passage(prompt, text, policy="policy-that-is-not-shown", version=number) for number, text in enumerate(texts)]
    return Question(kind, tuple(passage.id for passage in passages), **settings), passages


def one_of_each(wanted: int = 1, kinds: tuple[Kind, ...] = tuple(Kind)) -> tuple[list[Question], list[Passage]]:
    """Return a question of every kind, asked in the order of the kinds, about texts that differ."""
    asked, passages = list[Question](), list[Passage]()
    for number, kind in enumerate(kinds):
        texts = [f"Text {number}{letter} of a model, which is short." for letter in "abc"[: NUM_PASSAGES.get(kind, 1)]]
        made, about = question(kind, texts, wanted=wanted, most=wanted, priority=100 - number)
        asked.append(made)
        passages += about
    return asked, passages


def desk(
    path: Path, clock: Clock | None = None, address: str = ADDRESS, mixing: Mixing = NO_TESTS, run: RunFolder | None = None, **settings
) -> Desk:
    store = Store(path, clock or Clock())
    return Desk(store, Queue(store, mixing=mixing), Access(store), Settings(address, "A study", **settings), run=run)


def answers(store: Store) -> list[Answer]:
    return [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]


@dataclass
class Form:
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    choices: list[tuple[str, str]] = field(default_factory=list)  # boxes that are not ticked, options that are not selected


class Reading(HTMLParser):
    """Read a page: its forms, its words, and the names of its elements and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []  # of elements with the class "text"
        self.words = ""
        self._stack: list[str] = []
        self._text_depth: int | None = None
        self._field: str | None = None
        self._box = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes += named.items()
        if tag not in {"meta", "link", "input", "img", "br"}:
            self._stack.append(tag)
        if "text" in named.get("class", "").split() and self._text_depth is None:
            self._text_depth = len(self._stack)
            self.texts.append("")
        if tag == "form":
            self.forms.append(Form(named.get("action", "")))
        elif self.forms:
            self._read_control(tag, named)

    def _read_control(self, tag: str, named: dict[str, str]) -> None:
        form, name, value = self.forms[-1], named.get("name", ""), named.get("value", "")
        if tag == "input" and named.get("type") in {"checkbox", "radio"}:
            (form.fields if "checked" in named else form.choices).append((name, value or "on"))
        elif tag == "input" and name:
            form.fields.append((name, value))
        elif tag == "button" and named.get("type", "submit") == "submit":
            form.buttons.append((name, value))
        elif tag == "textarea":
            self._field, self._box = name, ""
        elif tag == "select":
            self._field = name
        elif tag == "option" and self._field:
            (form.fields if "selected" in named else form.choices).append((self._field, value))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self.forms:
            self.forms[-1].fields.append((str(self._field), self._box.removeprefix("\n")))
        if tag == "select" and not any(name == self._field for name, _ in self.forms[-1].fields):
            self.forms[-1].fields.append(next(choice for choice in self.forms[-1].choices if choice[0] == self._field))
        if tag in {"textarea", "select"}:
            self._field = None
        assert self._stack and self._stack.pop() == tag, f"</{tag}> closes another element"
        if self._text_depth is not None and len(self._stack) < self._text_depth:
            self._text_depth = None

    def handle_data(self, data: str) -> None:
        self.words += data
        self._box += data
        if self._text_depth is not None:
            self.texts[-1] += data


class Visitor:
    """Somebody at the page, with cookies and without script."""

    def __init__(self, desk: Desk, name: str | None = "rater-1", role: str = "rater", origin: str | None = None) -> None:
        self.desk = desk
        self.name = name
        self.client = TestClient(make_application(desk), base_url=desk.settings.address, follow_redirects=False)
        self.origin = desk.settings.address if origin is None else origin
        self.status = 0
        self.page = Reading("")
        if name is not None:
            self.come_in(desk.access.invite(name, role))

    def come_in(self, token: str) -> None:
        assert self.post(f"/invitation/{token}", {}).status_code == 303

    def get(self, path: str = "/", **headers: str):
        """Open a page and read it; follows redirects, as a browser does."""
        response = self.client.get(path, headers=headers)
        while response.status_code == 303:
            response = self.client.get(response.headers["location"], headers=headers)
        self.status, self.page = response.status_code, Reading(response.text)
        return response

    def post(self, path: str, fields, **headers: str):
        """Send a form; what comes back is not followed."""
        return self.client.post(path, data=fields, headers={"Origin": self.origin} | headers)

    def form(self, action: str) -> Form:
        (form,) = [form for form in self.page.forms if form.action == action]
        return form

    def send(self, action: str, button: tuple[str, str] | None = None, *more: tuple[str, str], **values: str):
        """Fill a form of the page in, press a button, and read the page that comes."""
        form = self.form(action)
        pressed = form.buttons[0] if button is None else button
        assert pressed in form.buttons, f"no button {pressed}; there is {form.buttons}"
        for name, value in more:
            assert (name, value) in form.choices
        fields = [(name, values.pop(name, value)) for name, value in form.fields] + list(more) + [pressed]
        assert not values, f"the form has no field {values}"
        gathered: dict[str, list[str]] = {}
        for name, value in fields:
            if name:
                gathered.setdefault(name, []).append(value)
        response = self.post(action, gathered)
        if response.status_code == 303:
            self.get(response.headers["location"])
        else:
            self.status, self.page = response.status_code, Reading(response.text)
        return response

    def fields(self, **more: str) -> dict[str, str]:
        """Return the hidden fields of the answer's form."""
        return {name: value for name, value in self.form("/answer").fields if name in {"csrf", "lease", "key"}} | more
