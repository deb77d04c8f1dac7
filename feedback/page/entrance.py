"""Let invited people in, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from feedback.page.desk import Desk
from feedback.page.screens import KINDS_OF_FILE, files, refusal, screen
from feedback.page.visitors import for_visitors
from feedback.study.access import SECONDS_PER_DAY, Visit

OVER = "It was used before, its time is over, or it is not complete. Ask whoever sent it for a new one."


def invitation(request: Request) -> Response:
    """Show whom an invitation is for. It is used up only by the button: a preview of the link leaves it as it is."""
    desk: Desk = request.state.desk
    person = desk.access.invited(request.path_params["token"])
    if person is None:
        return refusal(request, 404, "This invitation does not work", OVER)
    return screen(request, "invitation.html", person=person)


def come_in(request: Request) -> Response:
    """Use an invitation up and open a session."""
    desk: Desk = request.state.desk
    token = desk.access.accept(request.path_params["token"])
    if token is None:
        return refusal(request, 404, "This invitation does not work", OVER)
    response = RedirectResponse("/", 303)
    response.set_cookie(
        desk.settings.cookie,
        token,
        max_age=int(desk.access.days_of_session * SECONDS_PER_DAY),
        path="/",
        httponly=True,
        samesite="lax",
        secure=desk.settings.is_secure,
    )
    return response


@for_visitors
def go_out(request: Request, desk: Desk, visit: Visit) -> Response:
    """End the session; the question that was shown goes to somebody else."""
    desk.queue.give_back_held(visit.person)
    desk.access.leave(request.cookies[desk.settings.cookie])
    request.state.visit = None
    response = screen(request, "message.html", title="You are signed out", message="What you sent is stored. Thank you.", is_error=False)
    response.delete_cookie(desk.settings.cookie, path="/", httponly=True, samesite="lax", secure=desk.settings.is_secure)
    return response


def style_or_script(request: Request) -> Response:
    """Send one of the page's own files; browsers keep it, since another version has another address."""
    name = request.path_params["name"]
    if name not in KINDS_OF_FILE:
        return refusal(request, 404, "That is not here", "This page has no such file.")
    return Response(files()[name], media_type=KINDS_OF_FILE[name], headers={"Cache-Control": "public, max-age=31536000, immutable"})
