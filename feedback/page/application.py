"""Put the page together: every address, what serves it, and the gate in front."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from feedback.page import earlier, entrance, judging, owner
from feedback.page.desk import Desk
from feedback.page.gate import PICTURE, SPEECH, Gate
from feedback.page.screens import refusal

ROUTES = [
    Route("/", judging.next_question),
    Route("/question/{lease}", judging.one_question),
    Route("/answer", judging.take_answer, methods=["POST"]),
    Route("/skip", judging.take_skip, methods=["POST"]),
    Route("/undo", earlier.undo, methods=["POST"]),
    Route("/history", earlier.history),
    Route("/revise", earlier.revise, methods=["POST"]),
    Route("/done", judging.done),
    Route("/help", judging.instructions),
    Route("/invitation/{token}", entrance.invitation, methods=["GET"]),
    Route("/invitation/{token}", entrance.come_in, methods=["POST"]),
    Route("/sign-out", entrance.go_out, methods=["POST"]),
    Route("/study", owner.study),
    Route("/study/invite", owner.invite, methods=["POST"]),
    Route("/study/export/{name}", owner.export),
    Route("/file/{version}/{name}", entrance.style_or_script),
]


def make_application(desk: Desk) -> ASGIApp:
    """Return the page of one study as an ASGI application. Its endpoints run in threads, since the database blocks."""
    uploads = [Route(path, take, methods=["POST"]) for path, take in _uploads(desk).items()]
    application = Starlette(routes=[*ROUTES, *uploads], exception_handlers={404: _not_found, 405: _wrong_method, Exception: _failed})

    async def with_desk(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["desk"] = desk
        await gate(scope, receive, send)

    gate = Gate(application, desk.settings, {route.path for route in uploads})
    return with_desk


def _uploads(desk: Desk) -> dict[str, Callable[[Request], Response]]:
    """Return what takes the files that this page takes, by address; imported only where it does."""
    takers: dict[str, Callable[[Request], Response]] = {}
    if desk.hearing is not None:
        from feedback.page.hearing import take_recording

        takers[SPEECH] = take_recording
    if desk.sight is not None and desk.sight.takes_pictures:
        from feedback.page.sight import take_picture

        takers[PICTURE] = take_picture
    return takers


def _not_found(request: Request, error: Exception) -> Response:
    return refusal(request, 404, "That is not here", "This page has no such address.")


def _wrong_method(request: Request, error: Exception) -> Response:
    return refusal(request, 405, "That is a form’s address", "Open the page from its beginning.")


def _failed(request: Request, error: Exception) -> Response:
    logging.getLogger("feedback.page").error("%s %s failed", request.method, request.url.path)
    return refusal(
        request, 500, "Something went wrong here", "Your answer may not be stored. Send it again; if that fails, tell the study’s owner."
    )
