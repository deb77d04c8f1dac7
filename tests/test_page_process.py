"""Serve a page by a process of its own: it listens once started, keeps its address when killed, and says why it does not start."""

from __future__ import annotations

import pytest

from feedback.page.process import PageProcess
from feedback.page.settings import PageError
from feedback.study.access import Access
from feedback.study.store import Store
from tests.test_page_rehearsal import run


def come_in(link: str) -> int:
    """Come in as a program, which is another process: this one opens no connection."""
    process = run("rehearse", "--invitation", link)
    process.communicate(timeout=60)
    return process.returncode


def test_a_page_that_was_started_listens_and_keeps_its_address_when_it_is_killed(tmp_path):
    with Store(tmp_path / "study.db") as store:
        tokens = [Access(store).invite(name) for name in ("ann", "bob")]
    with PageProcess(tmp_path / "study.db") as served:
        address = served.address
        assert come_in(f"{address}/invitation/{tokens[0]}") == 0
        served.restart()
        assert (served.address, served.num_kills) == (address, 1)
        assert come_in(f"{address}/invitation/{tokens[1]}") == 0
        with pytest.raises(RuntimeError, match="served already"):
            served.start()
    assert served.said[-1].startswith("Stopped.")
    assert served.stop().count(" is at ") == 2


def test_a_page_that_does_not_start_says_why(tmp_path):
    with pytest.raises(PageError, match="did not start: error: --speech-model names"):
        PageProcess(tmp_path / "study.db", options=("--speech-model", "x")).start()
