"""Speak in a real browser, whose microphone plays a file: what is heard is shown, and stored once it is confirmed."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

from feedback.page.process import PageProcess
from feedback.speech.artefacts import artefacts_of
from feedback.speech.recording import RATE, Recording, read_wav, write_wav
from feedback.speech.speech_synthesis import can_speak, say
from feedback.study.records import Interface, Kind, Lease
from feedback.study.store import Store
from tests.test_page_browser import CHROMIUM, OPTIONS, Somebody, violations

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed, in which the page would be opened"),
    pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx, which hears commands, is not installed"),
    pytest.mark.skipif(not can_speak(), reason="espeak-ng, which says the commands, is not installed"),
]


@pytest.fixture(scope="module")
def microphone(tmp_path_factory):
    """Write what the browser's microphone plays again and again; the pause keeps one command in a recording."""
    file = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    file.write_bytes(write_wav(Recording(np.concatenate([say("rating four").samples, np.zeros(RATE, np.int16)]))))
    return file


@pytest.fixture(scope="module")
def browsers(microphone):
    """Start a browser with a microphone, and one without."""
    from playwright.sync_api import sync_playwright

    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}"]
    with sync_playwright() as playwright:
        started = [playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *more]) for more in (fake, [])]
        yield started
        for browser in started:
            browser.close()


@pytest.fixture
def study(tmp_path):
    with Store(tmp_path / "study.db") as store:
        store.enrol("nobody")
        yield tmp_path / "study.db", store


@pytest.fixture
def server(study):
    started = PageProcess(study[0], options=["--speech"]).start()
    yield started
    assert "Stopped" in started.stop()


def speak(page) -> None:
    page.get_by_role("button", name="Speak").click()
    page.get_by_text("Listening").wait_for()
    page.wait_for_timeout(2000)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile("^(Heard|Not understood|Nothing was)")).wait_for()


def test_an_answer_is_spoken_shown_confirmed_and_stored_with_its_recording(browsers, study, server):
    who = Somebody(browsers[0], server, study[1])
    who.ask(Kind.RATE, Kind.RANK)
    page = who.come_in().page
    assert not page.get_by_role("button", name="Yes, send this").is_visible()
    for _ in range(4):  # a recording may begin in the middle of a command
        speak(page)
        assert not who.answers()
        if page.get_by_text("Is this your answer: rating 4, good?").is_visible():
            break
        if page.locator("#speech-again").is_visible():
            page.get_by_role("button", name="No, try again").click()
    assert violations(page) == []
    who.press("Enter")  # the button that confirms has the focus
    who.saved(1)
    (answer,) = who.answers()
    assert answer.payload == {"step": 4}
    assert answer.confidence is not None and answer.confidence > 0.5
    assert study[1].record(Lease, answer.lease).interface is Interface.SPEECH
    assert read_wav(artefacts_of(study[0]).read(answer.artefact)).rate == RATE
    assert page.locator("#speech").count() == 0  # a ranking is not spoken
    assert not who.errors
    who.context.close()


def test_what_was_heard_and_is_not_meant_is_dropped(browsers, study, server):
    who = Somebody(browsers[0], server, study[1])
    who.ask(Kind.RATE)
    page = who.come_in().page
    speak(page)
    if page.locator("#speech-again").is_visible():
        page.get_by_role("button", name="No, try again").click()
    assert page.locator("#speech-word").input_value() == ""
    page.locator("#heading").focus()
    who.press("Enter")
    page.wait_for_timeout(300)
    assert not who.answers()
    who.press("2")
    who.done()
    assert (who.answers()[0].payload, who.answers()[0].artefact) == ({"step": 2}, "")
    who.context.close()


def test_a_microphone_that_is_not_given_leaves_the_buttons(browsers, study, server):
    who = Somebody(browsers[1], server, study[1])
    who.ask(Kind.RATE)
    who.come_in().press("v")
    who.page.get_by_text("Use the buttons.").wait_for()
    who.press("4")
    who.done()
    assert who.answers()[-1].payload == {"step": 4}
    assert not who.errors
    who.context.close()


def test_a_spoken_undo_takes_the_last_answer_back_once_it_is_confirmed(browsers, study, server):
    who = Somebody(browsers[0], server, study[1])
    who.ask(Kind.RATE, Kind.BINARY)
    who.come_in().press("2")
    who.saved(1)
    heard = {"heard": "undo", "confidence": 0.99, "echo": "take the last answer back", "is_undo": True, "spoken": ""}
    who.page.route("**/speech", lambda route: route.fulfill(json=heard))
    speak(who.page)
    assert len(who.answers()) == 1
    who.press("Enter")
    who.page.get_by_role("heading", name="How good is this?").wait_for()
    assert who.answers()[-1].outcome == "withdrawn"
    who.context.close()
