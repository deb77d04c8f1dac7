"""Know who is at the page: by the session's cookie alone. Whoever has none is told how to come in."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from feedback.page.desk import Desk
from feedback.page.replies import Fields
from feedback.page.screens import refusal
from feedback.study.access import Visit
from feedback.study.queueing import NotYoursError
from feedback.study.records import RecordError

Screen = Callable[[Request], Response]
VisitorScreen = Callable[[Request, Desk, Visit], Response]
NO_SESSION = "This page is for people who were invited. Open the link of your invitation; if it was used or is over, ask for a new one."


def for_visitors(handler: VisitorScreen) -> Screen:
    """Serve a screen to people with a session; a form must carry the session's word."""

    @wraps(handler)
    def served(request: Request) -> Response:
        desk: Desk = request.state.desk
        visit = desk.access.visit(request.cookies.get(desk.settings.cookie, ""))
        if visit is None:
            return refusal(request, 401, "Please open your invitation", NO_SESSION)
        if request.method == "POST" and not hmac.compare_digest(field(request, "csrf").encode(), visit.csrf.encode()):
            return refusal(request, 403, "This form is out of date", "Nothing was stored. Load the page again and repeat your answer.")
        request.state.visit = visit
        try:
            return handler(request, desk, visit)
        except KeyError:
            return refusal(request, 404, "That is not here", "This study has no such question or answer. Go on with the next question.")
        except NotYoursError as error:
            return refusal(request, 403, "That is somebody else’s", f"{error}. Go on with the next question.")
        except RecordError as error:
            return refusal(request, 422, "That could not be taken", f"{error}.")

    return served


def for_owners(handler: VisitorScreen) -> Screen:
    """Serve a screen to those who run the study."""

    @for_visitors
    @wraps(handler)
    def served(request: Request, desk: Desk, visit: Visit) -> Response:
        if visit.person.role != "owner":
            return refusal(request, 403, "This page is for the study’s owner", "You are signed in as somebody who answers questions.")
        return handler(request, desk, visit)

    return served


def fields(request: Request) -> Fields:
    """Return the form of a request."""
    given: Fields = request.state.fields
    return given


def field(request: Request, name: str) -> str:
    """Return the last value of a field; "" where there is none."""
    return (fields(request).get(name) or [""])[-1]
