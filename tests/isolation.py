"""Keep a test from what it shares with other tests and other machines: the network and the global random generators.

Only this process is watched. A subprocess that a test starts inherits the offline environment, but not the guard.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import pytest

LOOKUPS = ("create_connection", "getaddrinfo", "gethostbyname")  # functions of the module `socket`
SENDERS = ("connect", "connect_ex", "sendto")  # methods of a socket; sockets between processes of one machine may use them
OWN_SERVERS: set[tuple[str, int]] = set()  # addresses of this machine that a test itself serves, while it does


class NetworkBlockedError(RuntimeError):
    """Say that a test tried to reach the network. Not an OSError, which libraries catch in order to try again."""


def block_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every look-up and every connection but to `OWN_SERVERS` raise; return the list that attempts are written to.

    The list shows also those attempts whose error a library has caught.
    """
    attempts: list[str] = []

    def refuse(call: str, arguments: tuple[Any, ...]) -> NoReturn:
        attempts.append(f"{call}{arguments!r}")
        raise NetworkBlockedError(f"a test called {attempts[-1]}; tests use no network: use what ships with the package or make the data")

    def guard_lookup(name: str) -> Callable[..., Any]:
        original = getattr(socket, name)

        def guarded(*arguments: Any, **settings: Any) -> Any:
            if {*arguments[:1], arguments[:2]} & OWN_SERVERS:
                return original(*arguments, **settings)
            refuse(f"socket.{name}", arguments)

        return guarded

    def guard_sender(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *arguments: Any) -> Any:
            is_local = self.family == getattr(socket, "AF_UNIX", None)  # Windows may have no such family
            if is_local or arguments[-1] in OWN_SERVERS:
                return original(self, *arguments)
            refuse(f"socket.{name}", arguments)

        return guarded

    for name in LOOKUPS:
        monkeypatch.setattr(socket, name, guard_lookup(name))
    for name in SENDERS:
        monkeypatch.setattr(socket.socket, name, guard_sender(name))
    return attempts


@contextmanager
def guard_random_state(may_draw: bool = False) -> Iterator[None]:
    """Fail when the global generators of random, numpy or torch have moved; put them back in any case.

    A library that is imported meanwhile is not compared: its state before is not known.
    """
    before = _random_state()
    try:
        yield
    finally:
        after = _random_state()
        _restore(before)
    moved = [name for name, state in before.items() if after[name] != state]
    if moved and not may_draw:
        raise AssertionError(
            f"the global random state of {', '.join(moved)} has changed: draw from a numpy or torch Generator, build models inside "
            "torch.random.fork_rng(), and mark a test whose third-party code draws globally with @pytest.mark.draws_globally"
        )


def _random_state() -> dict[str, Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {"random": random.getstate(), "numpy": (name, keys.tobytes(), position, has_gauss, gauss)}
    if "torch" in sys.modules:
        state["torch"] = sys.modules["torch"].random.get_rng_state().numpy().tobytes()
    return state


def _restore(state: dict[str, Any]) -> None:
    random.setstate(state["random"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.frombuffer(keys, dtype=np.uint32), *rest))
    if "torch" in state:
        torch = sys.modules["torch"]
        torch.random.set_rng_state(torch.frombuffer(bytearray(state["torch"]), dtype=torch.uint8))
