"""Show those who run a study how it goes, let them invite people, and hand out the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from feedback.page.desk import Desk
from feedback.page.figures import picture, queue_figures
from feedback.page.score_picture import age, moment, score_picture
from feedback.page.screens import refusal, screen
from feedback.page.visitors import field, for_owners
from feedback.study.access import Visit
from feedback.study.exporting import Selection, answer_lines, label_lines, log_lines, pair_lines, preference_lines
from feedback.study.quality import figure, remark
from feedback.study.records import Purpose
from feedback.study.store import Store

LONGEST_INVITATION = 90  # days
EVERYTHING = Selection(purposes=tuple(Purpose))  # answers that test people, too


@for_owners
def study(request: Request, desk: Desk, visit: Visit) -> Response:
    """Show the queue, the people, the exports and a form for invitations."""
    return _study(request, desk)


@for_owners
def invite(request: Request, desk: Desk, visit: Visit) -> Response:
    """Invite somebody, and show the link this once."""
    handle, days = field(request, "handle").strip(), field(request, "days")
    try:
        if not (days.isascii() and days.isdigit() and 1 <= int(days[:4]) <= LONGEST_INVITATION):
            raise ValueError(f"an invitation holds for 1 to {LONGEST_INVITATION} days, got {days[:20]!r}")
        token = desk.access.invite(handle, field(request, "role"), int(days))
    except ValueError as error:
        return _study(request, desk, error=f"{error}.", handle=handle)
    return _study(request, desk, link=f"{desk.settings.address}/invitation/{token}", handle=handle)


@for_owners
def export(request: Request, desk: Desk, visit: Visit) -> Response:
    """Hand out one export as a file."""
    name = request.path_params["name"]
    if name not in EXPORTS:
        return refusal(request, 404, "That is not here", f"There is no export {name!r}; there is {', '.join(EXPORTS)}.")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(EXPORTS[name](desk.store), media_type="application/octet-stream", headers=headers)


# What can be taken away, by file name: a function from the store to the file's parts.
EXPORTS: dict[str, Callable[[Store], Iterator[str]]] = {
    "log.jsonl": log_lines,
    "answers.csv": lambda store: answer_lines(store, EVERYTHING),
    "preferences.jsonl": lambda store: preference_lines(store, Selection()),
    "labels.csv": lambda store: label_lines(store, Selection()),
    "pairs.csv": lambda store: pair_lines(store, Selection()),
}


def _study(request: Request, desk: Desk, link: str = "", error: str = "", handle: str = "") -> Response:
    quality = desk.measured.quality()
    training = None if desk.run is None else desk.run.metrics()
    return screen(
        request,
        "study.html",
        422 if error else 200,
        queue=queue_figures(desk.store),
        people=[(person, remark(person)) for person in quality.people],
        kinds=quality.kinds,
        picture=picture(quality.versions),
        run="" if desk.run is None else str(desk.run.folder),
        training=training,
        scores=None if training is None else score_picture(training),
        age=age,
        moment=moment,
        now=desk.store.clock(),
        figure=figure,
        exports=list(EXPORTS),
        link=link,
        error=error,
        handle=handle,
    )
