"""Show that the guards that every test runs under do stop what they should."""

from __future__ import annotations

import contextlib
import random
import socket
import urllib.request

import numpy as np
import pytest
import torch

from tests.isolation import NetworkBlockedError, guard_random_state
from tests.local_judge import local_judge

TEST_ADDRESS = ("192.0.2.1", 80)  # RFC 5737: reserved for documentation, never assigned


@pytest.mark.parametrize(
    "look_up",
    [
        lambda: socket.create_connection(TEST_ADDRESS),
        lambda: socket.getaddrinfo("example.invalid", 80),
        lambda: socket.gethostbyname("example.invalid"),
        lambda: urllib.request.urlopen("http://example.invalid"),
    ],
)
def test_looking_up_a_host_is_an_error_that_says_so(look_up, network_attempts):
    with pytest.raises(NetworkBlockedError, match="tests use no network"):
        look_up()
    assert len(network_attempts) == 1
    network_attempts.clear()


@pytest.mark.parametrize(
    ("kind", "send"),
    [
        (socket.SOCK_STREAM, lambda it: it.connect(TEST_ADDRESS)),
        (socket.SOCK_STREAM, lambda it: it.connect_ex(TEST_ADDRESS)),
        (socket.SOCK_DGRAM, lambda it: it.sendto(b"", TEST_ADDRESS)),
    ],
)
def test_connecting_is_an_error_that_says_so(kind, send, network_attempts):
    with socket.socket(socket.AF_INET, kind) as it, pytest.raises(NetworkBlockedError, match="tests use no network"):
        send(it)
    assert len(network_attempts) == 1
    network_attempts.clear()


def test_an_attempt_whose_error_is_caught_is_still_known(network_attempts):
    with contextlib.suppress(Exception):  # what a library that tries again does
        socket.create_connection(TEST_ADDRESS)
    assert network_attempts == [f"socket.create_connection({TEST_ADDRESS!r},)"]
    network_attempts.clear()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets between processes of one machine")
def test_sockets_between_processes_of_one_machine_still_work(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen(1)
        client.connect(str(tmp_path / "s"))


def test_a_server_that_a_test_itself_runs_may_be_asked_and_no_other(network_attempts):
    with local_judge(lambda asked, number: "Rating: 1") as judge:
        address = ("127.0.0.1", int(judge.base_url.rpartition(":")[2].removesuffix("/v1")))
        socket.create_connection(address).close()
        with pytest.raises(NetworkBlockedError), socket.socket() as other:
            other.connect((address[0], address[1] ^ 1))
    with pytest.raises(NetworkBlockedError):
        socket.create_connection(address)
    network_attempts.clear()


def test_the_hub_is_offline():
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("library", "draw"), [("random", random.random), ("numpy", lambda: np.random.random()), ("torch", lambda: torch.rand(1))]
)
def test_drawing_from_a_global_generator_is_an_error_that_names_it(library, draw):
    with pytest.raises(AssertionError, match=f"random state of {library} has changed"), guard_random_state():
        draw()


def test_a_global_generator_is_put_back_after_code_that_may_draw():
    before = torch.random.get_rng_state()
    with guard_random_state(may_draw=True):
        first = (random.random(), np.random.random(), torch.rand(1).item())
    with guard_random_state(may_draw=True):
        second = (random.random(), np.random.random(), torch.rand(1).item())
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_generator_of_ones_own_is_free():
    with guard_random_state():
        np.random.default_rng(0).random()
        random.Random(0).random()
        torch.rand(1, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng():
            torch.nn.Linear(2, 2)
