"""Show a question, and take what is said of it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from feedback.page.desk import Desk
from feedback.page.replies import LETTERS, Filled, filled_by_answer, filled_by_form, reply, seconds_taken, skipped
from feedback.page.screens import refusal, screen
from feedback.page.visitors import field, fields, for_visitors
from feedback.page.wording import differences, judged, numbered, shown
from feedback.study.access import Visit
from feedback.study.queueing import Reply, Showing
from feedback.study.records import Interface, Kind, Outcome, Passage, RecordError

if TYPE_CHECKING:
    from feedback.page.hearing import Hearing
    from feedback.page.sealing import Seal
    from feedback.page.sight import Sight

HEADINGS = {
    Kind.BINARY: "Is this good?",
    Kind.RATE: "How good is this?",
    Kind.COMPARE: "Which is better?",
    Kind.RANK: "Put these in order, best first",
    Kind.CRITIQUE: "What is good or bad about this?",
    Kind.CORRECT: "Write it as it should be",
    Kind.SPAN: "Mark what is good and what is bad",
}
SPOKEN, SEEN = "spoken", "seen"  # the buttons that confirm what was heard, and what was seen
EMOJI = "emoji:"  # begins the value of an emoji's button
REASONS = (
    "I cannot read it",
    "The question is not clear",
    "I know too little about it",
    "It upsets me",
    "Something else",
)


@for_visitors
def next_question(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show what is to be judged next, or that there is nothing."""
    showing = desk.queue.next_for(visit.person, Interface.WEB, visit.session)
    if showing is None:
        return RedirectResponse("/done", 303)
    return _question(request, desk, visit, showing)


@for_visitors
def one_question(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show a question that was shown before: after an undo, or to change an answer."""
    return _question(request, desk, visit, desk.queue.show(visit.person, request.path_params["lease"]))


@for_visitors
def take_answer(request: Request, desk: Desk, visit: Visit) -> Response:
    """Store an answer; say so only once it is lasting."""
    showing = desk.queue.show(visit.person, field(request, "lease"))
    filled = Filled()
    try:
        filled = filled_by_form(fields(request))
        return _store(request, desk, visit, showing, *_said(request, desk, visit, showing, filled))
    except RecordError as error:
        return _again(request, desk, visit, showing, filled, str(error))


@for_visitors
def take_skip(request: Request, desk: Desk, visit: Visit) -> Response:
    """Store that a question is skipped, and why; somebody else gets it."""
    showing = desk.queue.show(visit.person, field(request, "lease"))
    try:
        return _store(request, desk, visit, showing, skipped(fields(request)))
    except RecordError as error:
        return _again(request, desk, visit, showing, None, str(error))


@for_visitors
def done(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show that there is nothing to judge now."""
    return screen(request, "done.html", progress=desk.queue.progress(visit.person))


@for_visitors
def instructions(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show how to judge, and the keys."""
    return screen(request, "help.html", progress=desk.queue.progress(visit.person))


def _said(request: Request, desk: Desk, visit: Visit, showing: Showing, filled: Filled) -> tuple[Reply, Interface | None]:
    """Return what a form says, and by which interface where that is not the page's own buttons.

    Errors: RecordError where it says nothing.
    """
    if filled.choice == SPOKEN:
        said, interface = _sealed(desk.hearing, "spoken answers").open(field(request, "spoken"), showing, visit), Interface.SPEECH
    elif filled.choice == SEEN:
        said, interface = _sealed(desk.sight, "pictures").open(field(request, "seen"), showing, visit), Interface.PICTURE
    elif filled.choice.startswith(EMOJI):
        if desk.sight is None or showing.question.kind is not Kind.BINARY:
            raise RecordError(f"an emoji does not answer a {showing.question.kind} question here: choose an answer")
        said, interface = desk.sight.reply_to_emoji(filled.choice.removeprefix(EMOJI)), Interface.PICTURE
    else:
        return reply(showing, filled, fields(request)), None
    return replace(said, seconds=seconds_taken(fields(request)), comment=filled.comment.strip()), interface


def _sealed(taker: Hearing | Sight | None, what: str) -> Seal:
    """Return the seal of what was understood before it was confirmed.

    Errors: RecordError where the page takes no such answers.
    """
    if taker is None or taker.seal is None:
        raise RecordError(f"{what} are not taken here: choose an answer")
    return taker.seal


def _store(request: Request, desk: Desk, visit: Visit, showing: Showing, said: Reply, interface: Interface | None = None) -> Response:
    answer = desk.queue.answer(visit.person, showing.lease.id, field(request, "key"), said, interface)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"saved": True, "answer": answer.id})
    return RedirectResponse("/", 303)


def _again(request: Request, desk: Desk, visit: Visit, showing: Showing, filled: Filled | None, error: str) -> Response:
    """Show the question once more with what was filled in, and what is wrong with it."""
    message = f"{error[:1].upper()}{error[1:]}."
    if "application/json" in request.headers.get("accept", ""):
        return refusal(request, 422, "That could not be taken", message)
    return _question(request, desk, visit, showing, filled, message)


def _question(request: Request, desk: Desk, visit: Visit, showing: Showing, filled: Filled | None = None, error: str = "") -> Response:
    question, earlier = showing.question, showing.earlier
    if filled is None:
        filled = Filled() if earlier is None else filled_by_answer(earlier, showing)
    if question.kind is Kind.CORRECT and filled.text is None:
        filled = replace(filled, text=showing.passages[0].text)
    return screen(
        request,
        "question.html",
        422 if error else 200,
        heading=HEADINGS[question.kind],
        kind=str(question.kind),
        question=question,
        lease=showing.lease.id,
        key=secrets.token_urlsafe(16),
        shown_prompt=_shared_prompt(showing),
        texts=_texts(showing),
        pieces=numbered(showing.passages[0]) if question.kind is Kind.SPAN else [],
        steps=_steps(showing),
        allows={str(outcome) for outcome in question.allowed},
        filled=filled,
        places=range(1, len(showing.passages) + 1),
        reasons=REASONS if Outcome.SKIP in question.allowed else (),
        is_change=earlier is not None,
        progress=desk.queue.progress(visit.person),
        seconds_to_speak=_seconds_to_speak(desk, question.kind),
        error=error,
    )


def _seconds_to_speak(desk: Desk, kind: Kind) -> float:
    """Return how long a spoken answer may be; 0 where it is not taken."""
    return 0 if desk.hearing is None or desk.hearing.recogniser(kind) is None else desk.hearing.most_seconds(kind)


def _texts(showing: Showing) -> list[dict[str, Any]]:
    """Return what the templates need of each passage."""
    texts = [_text(passage, letter) for passage, letter in zip(showing.passages, LETTERS, strict=False)]
    if showing.question.kind is Kind.COMPARE:
        for text, pieces in zip(texts, differences(*(_judged_raw(passage) for passage in showing.passages)), strict=True):
            text["pieces"] = pieces
    return texts


def _text(passage: Passage, letter: str) -> dict[str, Any]:
    before, middle, after = judged(passage)
    return {"letter": letter, "prompt": shown(passage.prompt), "before": before, "judged": middle, "after": after, "raw": passage.text}


def _judged_raw(passage: Passage) -> str:
    start, end = passage.judged or (0, len(passage.text))
    return passage.text[start:end]


def _shared_prompt(showing: Showing) -> str | None:
    """Return the prompt that all passages continue; None where they differ."""
    prompts = {passage.prompt for passage in showing.passages}
    return shown(prompts.pop()) if len(prompts) == 1 else None


def _steps(showing: Showing) -> list[tuple[int, str]]:
    scale = showing.question.scale
    return [] if scale is None else [(step, scale.word(step)) for step in range(scale.low, scale.high + 1)]
