"""Ask for chat completions over HTTP, as OpenAI's interface has them and many servers offer, with retries, timeouts and a deadline.

The standard library's HTTP is enough for questions that take seconds each. Left out: streaming, and redirects, which would carry the key to
another host.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np

MOST_BYTES = 4_000_000  # of an answer
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")  # asked without a proxy
PASSING = (408, 409, 425, 429)  # statuses below 500 that another try may not meet

Messages = list[dict[str, str]]


class EndpointError(RuntimeError):
    """Report an endpoint that did not answer; `is_down` says whether it may later, or refuses what it is asked."""

    def __init__(self, message: str, is_down: bool = True) -> None:
        super().__init__(message)
        self.is_down = is_down


@dataclass(frozen=True)
class Patience:
    """Say how long an endpoint is waited for, and how often it is asked again."""

    timeout_seconds: float = 60.0  # of one request; what arrives later counts as a failure
    deadline_seconds: float = 600.0  # of one call with all its episodes, waiting included
    retries: int = 4  # of a request that failed: 429, 5xx, no connection, a timeout; 0 = none
    backoff_seconds: float = 0.5  # before the first retry; twice as long before each further one
    longest_backoff_seconds: float = 30.0
    asks: int = 3  # of a question whose answer cannot be read; then the judge abstains
    seed: int = 0  # of the jitter, by which waiting is shortened by up to a half

    def __post_init__(self) -> None:
        if not (self.timeout_seconds > 0 and self.deadline_seconds > 0):
            raise ValueError(f"timeout and deadline must be above 0 seconds, got {self.timeout_seconds} and {self.deadline_seconds}")
        if self.retries < 0 or self.asks < 1 or self.backoff_seconds < 0 or self.longest_backoff_seconds < 0:
            raise ValueError(
                "retries and backoff must be at least 0 and asks at least 1, got "
                f"retries={self.retries}, backoff_seconds={self.backoff_seconds}, "
                f"longest_backoff_seconds={self.longest_backoff_seconds}, asks={self.asks}"
            )

    def delay(self, num_failures: int, draw: float, retry_after: float | None = None) -> float:
        """Return how many seconds to wait before the next try.

        max(retry_after, min(longest, backoff * 2^(num_failures - 1)) * (1 + draw) / 2)

        Args:
            num_failures: at least 1. draw: uniform from 0 to 1. retry_after: what the endpoint asks for; it is never shortened.
        """
        full = min(self.longest_backoff_seconds, self.backoff_seconds * 2.0 ** (num_failures - 1))
        return max(retry_after or 0.0, full * (1.0 + draw) / 2.0)


@dataclass(frozen=True)
class ChatReply:
    """Hold what an endpoint answered; None for tokens that it does not count."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True)
class Failure:
    """Hold why a request failed that may be tried again."""

    status: str
    retry_after: float | None = None


class ChatEndpoint:
    """Ask one server.

    Args:
        base_url: what stands before /chat/completions, such as https://api.openai.com/v1.
        key_variable: the environment variable that holds the key; it is read at each request and kept nowhere. None = no key.

    Errors: ValueError for an address that is none, or that holds a password.
    """

    def __init__(self, base_url: str, key_variable: str | None, patience: Patience) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"an endpoint must look like https://host/v1, got {base_url!r}")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(f"an address must hold no key, password, query or fragment: give key_variable, for {parts.hostname!r}")
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.key_variable, self.patience = key_variable, patience
        proxies = [urllib.request.ProxyHandler({})] if parts.hostname in LOCAL_HOSTS else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def ask(self, body: Mapping[str, Any], ends: float, stopped: threading.Event, count: Callable[[], None]) -> ChatReply:
        """Return the answer to one question.

        Args:
            ends: the deadline, by `time.monotonic()`. stopped: set where nobody waits for the answer any more.
            count: called before each request.

        Errors: EndpointError that names the address and the last status.
        """
        data = json.dumps(body).encode()
        generator = np.random.default_rng([self.patience.seed, zlib.crc32(data)])
        failure, num_tries = Failure("there was no time for a request"), 0
        while num_tries <= self.patience.retries and not stopped.is_set() and (left := ends - time.monotonic()) > 0:
            count()
            num_tries += 1
            found = self._request(data, min(self.patience.timeout_seconds, left))
            if isinstance(found, ChatReply):
                return found
            failure = found
            delay = self.patience.delay(num_tries, float(generator.random()), failure.retry_after)
            if num_tries > self.patience.retries or time.monotonic() + delay > ends:
                break
            stopped.wait(delay)
        raise EndpointError(
            f"{self.url} gave no answer in {num_tries} tries, within {self.patience.deadline_seconds:g} seconds: {failure.status}; "
            'start it, or give on_down="abstain"',
            is_down=True,
        )

    def _request(self, data: bytes, seconds: float) -> ChatReply | Failure:
        key = self._key()
        headers = {"Content-Type": "application/json", "Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(self.url, data, headers, method="POST")
        ends = time.monotonic() + seconds
        try:
            with self._opener.open(request, timeout=seconds) as response:
                return chat_reply(_read(response, ends))
        except urllib.error.HTTPError as error:
            with error:
                status = _without(key, f"HTTP {error.code} {error.reason}: {_start_of(error)}")
            if error.code >= 500 or error.code in PASSING:
                return Failure(status, retry_after(error.headers.get("Retry-After")))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Failure(_without(key, f"{type(error).__name__}: {error}"))
        raise EndpointError(f"{self.url} refused the question: {status}", is_down=False)

    def _key(self) -> str:
        if self.key_variable is None:
            return ""
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise EndpointError(f"the environment variable {self.key_variable!r} is not set: put the key of {self.url} there", False)
        if not (key.isascii() and key.isprintable()):
            raise EndpointError(f"the environment variable {self.key_variable!r} holds something that is no key", False)
        return key


class FunctionEndpoint:
    """Let a function of the messages answer, in the place of a server."""

    def __init__(self, function: Callable[[Messages], str]) -> None:
        self.function = function

    def ask(self, body: Mapping[str, Any], ends: float, stopped: threading.Event, count: Callable[[], None]) -> ChatReply:
        """Return the function's answer."""
        count()
        return ChatReply(self.function(list(body["messages"])))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none, so that it is the error that its status is."""


def chat_reply(data: bytes) -> ChatReply:
    """Read a chat completion. Errors: ValueError for anything else."""
    try:
        found = json.loads(data)
        content = found["choices"][0]["message"]["content"]
        usage = found.get("usage") or {}
        prompt, completion = (usage.get(f"{kind}_tokens") for kind in ("prompt", "completion"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the answer is no chat completion, but {data[:80]!r}") from error
    counts = [int(number) if isinstance(number, int) and number >= 0 else None for number in (prompt, completion)]
    return ChatReply(content if isinstance(content, str) else "", *counts)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return how many seconds a Retry-After header asks to wait, given as seconds or as a date; None where it says neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (then.replace(tzinfo=then.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if np.isfinite(seconds) else None


def _read(response: http.client.HTTPResponse, ends: float) -> bytes:
    """Return a body. The timeout of a socket begins anew with each byte, so the whole is timed here."""
    pieces, size = [], 0
    while piece := response.read1(65536):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise ValueError(f"the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > ends:
            raise TimeoutError("the answer came too slowly")
    return b"".join(pieces)


def _start_of(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(300).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


def _without(key: str, text: str) -> str:
    """Take the key out of what a server says."""
    return text.replace(key, "***") if key else text
