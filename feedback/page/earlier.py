"""Show a person what they said, and let them take it back or change it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from feedback.page.desk import Desk
from feedback.page.judging import HEADINGS
from feedback.page.replies import LETTERS
from feedback.page.screens import screen
from feedback.page.visitors import field, for_visitors
from feedback.page.wording import Piece, differences, excerpt, shown
from feedback.study.access import Visit
from feedback.study.queueing import Showing
from feedback.study.records import Answer, Interface, Kind, Outcome, Passage, RecordError

MOST_SHOWN = 50  # answers on one page
WORDS = {Outcome.TIE: "Equally good", Outcome.ALL_BAD: "None is good enough", Outcome.ABSTAIN: "Cannot say", Outcome.SKIP: "Skipped"}


@for_visitors
def history(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show a person's last answers, newest first."""
    said = desk.queue.history(visit.person, MOST_SHOWN)
    return screen(request, "history.html", items=[_item(desk, answer) for answer in said], progress=desk.queue.progress(visit.person))


@for_visitors
def undo(request: Request, desk: Desk, visit: Visit) -> Response:
    """Take the last answer back and show its question again; the same undo sent twice takes back one answer."""
    key = field(request, "key")
    try:
        showing = desk.queue.undo(visit.person, key, Interface.WEB, visit.session)
    except RecordError:
        if not 1 <= len(key) <= 100:
            raise
        showing = None
    where = "/" if showing is None else f"/question/{showing.lease.id}"
    return _go(request, where)


@for_visitors
def revise(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show the question of an earlier answer again; the answer stands until another takes its place."""
    showing = desk.queue.revise(visit.person, field(request, "answer"), Interface.WEB, visit.session)
    return _go(request, f"/question/{showing.lease.id}")


def answer_in_words(answer: Answer, showing: Showing) -> str:
    """Return in a few words what an answer says, with the letters under which the texts were shown."""
    payload = answer.payload
    letters = {passage.id: letter for passage, letter in zip(showing.passages, LETTERS, strict=False)}
    if answer.outcome is not Outcome.ANSWERED:
        return f"Skipped: {shown(answer.reason)}" if answer.outcome is Outcome.SKIP else WORDS.get(answer.outcome, str(answer.outcome))
    if showing.question.kind is Kind.RATE:
        scale = showing.question.scale
        assert scale is not None
        return f"{payload['step']} of {scale.high}" + (f", {word}" if (word := shown(scale.word(payload["step"]))) else "")
    if showing.question.kind is Kind.BINARY:
        return "Good" if payload["good"] else "Bad"
    if showing.question.kind is Kind.COMPARE:
        return f"{letters[payload['groups'][0][0]]} is better"
    if showing.question.kind is Kind.RANK:
        return ", then ".join(" and ".join(letters[name] for name in group) for group in payload["groups"])
    if showing.question.kind is Kind.SPAN:
        good = sum(span["good"] for span in payload["spans"])
        return f"{good} good and {len(payload['spans']) - good} bad parts"
    return excerpt(payload["text"], 400) if showing.question.kind is Kind.CRITIQUE else "Corrected"


def _item(desk: Desk, answer: Answer) -> dict[str, Any]:
    showing = desk.queue.show_answered(answer)
    return {
        "id": answer.id,
        "heading": HEADINGS[showing.question.kind],
        "texts": [(letter, excerpt(_part(passage))) for passage, letter in zip(showing.passages, LETTERS, strict=False)],
        "said": answer_in_words(answer, showing),
        "changes": _changes(answer, showing),
        "comment": shown(answer.comment),
    }


def _part(passage: Passage) -> str:
    start, end = passage.judged or (0, len(passage.text))
    return passage.text[start:end]


def _changes(answer: Answer, showing: Showing) -> list[tuple[str, Piece]]:
    """Return a correction as what was taken away, what was added and what stayed."""
    if showing.question.kind is not Kind.CORRECT or answer.outcome is not Outcome.ANSWERED:
        return []
    old, new = differences(showing.passages[0].text, answer.payload["text"])
    changes, place = list[tuple[str, Piece]](), 0
    for piece in new:
        while place < len(old) and old[place].differs:
            changes.append(("gone", old[place]))
            place += 1
        changes.append(("new" if piece.differs else "kept", piece))
        place += 0 if piece.differs else 1
    return [*changes, *(("gone", piece) for piece in old[place:] if piece.differs)]


def _go(request: Request, where: str) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"saved": True, "next": where})
    return RedirectResponse(where, 303)
