"""Run every test offline and with the global random generators untouched."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import rich.style  # noqa: F401  (it draws from `random` when first imported: here, and not in whichever test comes first)

# Read once, when huggingface_hub is first imported: so it is set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests side by side compute with one thread each: processes of several threads on few cores take several times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs the tests in the background ignores Ctrl-C, and every process that a test starts would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from tests.isolation import block_network, guard_random_state


@pytest.fixture(autouse=True)
def network_attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Block the network and fail at the test's end if it was tried, even where a library has caught the error."""
    attempts = block_network(monkeypatch)
    yield attempts
    assert not attempts, f"the test tried to use the network: {attempts}"


@pytest.fixture(autouse=True)
def untouched_random_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail at the test's end if it moved a global random generator."""
    with guard_random_state(may_draw=request.node.get_closest_marker("draws_globally") is not None):
        yield
