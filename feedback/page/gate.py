"""Let no request near the page that is not meant for it, or too large, or one too many; give every answer its headers.

Checked here: the name that the browser asked for (a page of somebody else may have pointed a name of its own at this machine), where a form
comes from, how large it is, and how many come from one session. Who somebody is, and the word that every form carries, are checked by
`visitors`.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.page.screens import refusal
from feedback.page.settings import Settings

MOST_READ = 16_000_000  # bytes of a body that is too large, read and thrown away so that the browser shows why it was refused
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers would hide the Origin of our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
SPEECH, PICTURE = "/speech", "/picture"  # the only addresses that take a file
TOO_LARGE = {
    SPEECH: "A recording holds at most {most}: say it shorter, or write it.",
    PICTURE: "A picture holds at most {most}: send a smaller one, or choose an answer.",
}
TITLES = {
    400: "This address is not served here",
    403: "This form did not come from this page",
    413: "That is too long",
    415: "This form cannot be read",
    429: "A little slower",
}


@dataclass
class Bucket:
    """Hold how many requests somebody may make now, and when that was counted."""

    left: float
    at: float


class Rates:
    """Bound how often the same caller may come.

    Args:
        at_once: requests without a pause. per_second: which come back.
    """

    def __init__(self, at_once: float, per_second: float, clock: Callable[[], float] = time.monotonic, callers: int = 10_000) -> None:
        self.at_once, self.per_second, self.clock, self.callers = at_once, per_second, clock, callers
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def seconds_to_wait(self, caller: str) -> float:
        """Count a request; return 0 if it may pass, or after how many seconds it may."""
        now = self.clock()
        bucket = self._buckets.setdefault(caller, Bucket(self.at_once, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self.callers:
            self._buckets.popitem(last=False)
        bucket.left = min(self.at_once, bucket.left + (now - bucket.at) * self.per_second)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / self.per_second
        bucket.left -= 1
        return 0.0


class Gate:
    """Stand in front of the application.

    A form that passes is in `request.state.fields`: every name with its values. One file may come to an address of
    `uploads`; it is in `request.state.file`. Where that takes recordings, browsers may use the microphone.
    """

    def __init__(self, app: ASGIApp, settings: Settings, uploads: Collection[str] = ()) -> None:
        self.app = app
        self.uploads = frozenset(uploads)
        self.headers = {**HEADERS}
        if SPEECH in self.uploads:
            self.headers["Permissions-Policy"] = HEADERS["Permissions-Policy"].replace("microphone=()", "microphone=(self)")
        self.settings = settings
        self.rates = Rates(settings.requests_at_once, settings.requests_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the page serves HTTP only, got {scope['type']!r}")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        try:
            self._check_name(request.headers)
            if request.method == "POST":
                self._check_origin(request.headers)
                self._check_rate(request)
                request.state.file = b""
                scope.setdefault("state", {})["fields"] = await self._fields(request)
        except HTTPException as error:
            title = TITLES.get(error.status_code, "This request cannot be read")
            answer = refusal(request, error.status_code, title, error.detail, headers=error.headers)
            await answer(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _check_name(self, headers: Headers) -> None:
        if headers.get("host", "").lower() not in self.settings.hosts:
            raise HTTPException(400, f"Open the page at {self.settings.address}.")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin", "")
        if origin.lower() not in self.settings.origins or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(403, f"Forms are taken only from {self.settings.address}, opened in a browser; nothing was stored.")

    def _check_rate(self, request: Request) -> None:
        session = request.cookies.get(self.settings.cookie, "")
        caller = hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest() if session else _address(request)
        wait = self.rates.seconds_to_wait(caller)
        if wait:
            seconds = str(int(wait) + 1)
            raise HTTPException(429, f"Too much came at once. Try again in {seconds} s; nothing was stored.", {"Retry-After": seconds})

    async def _body(self, request: Request) -> bytes:
        """Read a body.

        Errors: HTTPException for one that is too large.
        """
        body, size, takes_file = bytearray(), 0, self._takes_file(request)
        largest = self.settings.largest_upload if takes_file else self.settings.largest_body
        async for part in request.stream():
            size += len(part)
            if size <= largest:
                body += part
            elif size > MOST_READ:
                break
        if size > largest:
            most = f"{largest / 1e6:.3g} million bytes"
            if takes_file:
                raise HTTPException(413, TOO_LARGE[request.url.path].format(most=most))
            raise HTTPException(413, f"A form holds at most {most}. Go back: your text is still in the form. Shorten it and send it again.")
        return bytes(body)

    def _takes_file(self, request: Request) -> bool:
        return request.url.path in self.uploads

    async def _fields(self, request: Request) -> dict[str, list[str]]:
        """Read a form.

        Errors: HTTPException for what is none.
        """
        body = await self._body(request)
        if not body:
            return {}
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
            raise HTTPException(415, "The page takes forms only.")

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        again = Request(request.scope, replay)
        fields: dict[str, list[str]] = {}
        most_files = 1 if self._takes_file(request) else 0
        try:
            async with again.form(max_files=most_files, max_fields=20_000, max_part_size=self.settings.largest_body) as form:
                for name, value in form.multi_items():
                    if isinstance(value, str):
                        fields.setdefault(name, []).append(value)
                    else:
                        request.state.file = await value.read()
        except (HTTPException, MultiPartException, UnicodeDecodeError, LookupError) as error:
            raise HTTPException(400, "The form could not be read; nothing was stored.") from error
        return fields


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host
