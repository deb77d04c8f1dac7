"""Fill templates. All that is put into one is escaped: nothing that a model or a person wrote becomes markup."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from feedback.page.wording import excerpt, shown
from feedback.study.queueing import MOST_LEFT

HERE = Path(__file__).parent
KINDS_OF_FILE = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "speech.js": "text/javascript",
    "picture.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Return the environment of the templates."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"shown": shown, "excerpt": excerpt}
    made.globals["most_left"] = MOST_LEFT
    made.globals["file"] = lambda name: f"/file/{fingerprint()}/{name}"
    return made


@lru_cache(maxsize=1)
def files() -> dict[str, bytes]:
    """Return the style, the script and the icon, by name."""
    return {name: (HERE / "static" / name).read_bytes() for name in KINDS_OF_FILE}


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Return a hash of the files, which stands in their addresses, so that browsers may keep them until they change."""
    return hashlib.sha256(b"".join(files().values())).hexdigest()[:12]


def screen(request: Request, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any) -> Response:
    """Return a page made of a template."""
    state = request.state
    known = {
        "visit": getattr(state, "visit", None),
        "title_of_study": state.desk.settings.title,
        "progress": None,
        "takes_speech": state.desk.hearing is not None,
        "sight": state.desk.sight,
        "here": request.url.path,
    }
    page = templates().get_template(template).render(**(known | context))
    return HTMLResponse(page, status, headers=headers)


def refusal(request: Request, status: int, title: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page, or JSON for the script, that says why a request is not served and what to do."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"saved": False, "error": message, "title": title}, status, headers=headers)
    return screen(request, "message.html", status, headers, title=title, message=message, is_error=True)
