"""Say under which names the page is reached, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class PageError(RuntimeError):
    """Report that a page did not take something, with what it said."""


@dataclass(frozen=True)
class Settings:
    """Hold how a page is served.

    Args:
        address: what people type, such as http://127.0.0.1:8000 or https://study.example.org.
        title: of the study, shown on every screen.
        largest_body: bytes of a form.
        largest_upload: bytes of a form with a recording of a minute, or with a picture, and what goes with it.
        requests_at_once, requests_per_second: forms that one session may send without a pause, and on average.
    """

    address: str
    title: str = "Study"
    largest_body: int = 1_000_000
    largest_upload: int = 2_010_000
    requests_at_once: float = 60.0
    requests_per_second: float = 3.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query or "@" in parts.netloc:
            raise ValueError(f"an address looks like https://study.example.org, without a path, got {self.address!r}")

    @property
    def is_secure(self) -> bool:
        """Say whether the page is reached by https."""
        return self.address.startswith("https:")

    @property
    def cookie(self) -> str:
        """Return the name of the session's cookie; browsers hold its prefix to https and to this host alone."""
        return "__Host-session" if self.is_secure else f"session-{urlsplit(self.address).port or 80}"

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Return the values of the header Host that are served."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)

    @cached_property
    def origins(self) -> frozenset[str]:
        """Return where forms may come from: the address, and for this machine all its usual names."""
        parts = urlsplit(self.address)
        names = [parts.netloc]
        if f"[{parts.hostname}]" in LOOPBACK or parts.hostname in LOOPBACK:
            names = [name if parts.port is None else f"{name}:{parts.port}" for name in LOOPBACK]
        return frozenset(f"{parts.scheme}://{name}".lower() for name in names)
