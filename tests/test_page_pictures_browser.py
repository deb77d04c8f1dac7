"""React by a picture in a real browser: chosen by mouse or key, made smaller, said back, and stored once it is confirmed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from feedback.page.process import PageProcess
from feedback.pictures.reaction import read_picture
from feedback.speech.artefacts import artefacts_of
from feedback.study.records import Interface, Kind, Lease
from feedback.study.store import Store
from tests.test_page_browser import CHROMIUM, SCROLLS, TARGETS, Somebody, browser, violations  # noqa: F401
from tests.tiny_classifier import make_classifier, plain

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed, in which the page would be opened"),
    pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="pillow, which reads pictures, is not installed"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_classifier(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Write a bright, a dark and a grey picture, a large one, and files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    shades = {"bright": 250, "dark": 5, "grey": 127}
    for name, shade in shades.items():
        (folder / f"{name}.png").write_bytes(plain(shade))
    (folder / "large.png").write_bytes(plain(250, size=(4000, 3000)))
    (folder / "text.png").write_bytes(b"this is no picture")
    (folder / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "study.db"
    with Store(path) as store:
        store.enrol("nobody")
        yield path, store


@pytest.fixture(scope="module")
def server(study, model):
    words = ["--pictures", str(model), "--picture-good", "happy", "👍", "❤️", "--picture-bad", "sad", "👎"]
    started = PageProcess(study[0], options=words).start()
    yield started
    assert "Stopped" in started.stop()


@pytest.fixture
def somebody(browser, study, server):  # noqa: F811
    made = list[Somebody]()

    def make(*kinds: Kind, **window) -> Somebody:
        made.append(Somebody(browser, server, study[1], **window))
        made[-1].ask(*kinds)
        return made[-1]

    yield make
    for each in made:
        each.context.close()
        assert not each.errors


def react(who: Somebody, file: Path, *, by_key: bool = False) -> None:
    """Choose a picture and wait for what is said of it."""
    with who.page.expect_file_chooser() as chooser:
        if by_key:
            who.press("p")
        else:
            who.page.locator("#picture button:visible").last.click()
    chooser.value.set_files(file)
    who.page.locator("#picture-seen:not(:has-text('Looking'))").wait_for()


@pytest.mark.parametrize("by_key", [False, True], ids=["mouse", "keys"])
def test_a_picture_is_said_back_confirmed_and_stored(somebody, study, pictures, by_key):
    who = somebody(Kind.BINARY, Kind.RATE)
    page = who.come_in().page
    assert not page.get_by_role("button", name="Yes, send this").is_visible()
    react(who, pictures / "dark.png", by_key=by_key)
    assert re.fullmatch(r"Seen: bad, (0\.9\d|1\.00)\. Is this your answer\?", page.locator("#picture-seen").inner_text())
    assert not who.answers()
    assert violations(page) == []
    if by_key:
        who.press("Enter")  # the button that confirms has the focus
    else:
        page.get_by_role("button", name="Yes, send this").click()
    who.saved(1)
    (answer,) = who.answers()
    assert answer.payload == {"good": False}
    assert answer.confidence is not None and answer.confidence >= 0.8
    assert study[1].record(Lease, answer.lease).interface is Interface.PICTURE
    kept = artefacts_of(study[0]).read(answer.artefact)
    assert read_picture(kept)[1] == "jpg"  # drawn anew in the browser
    assert page.locator("#picture").count() == 0  # a rating takes no picture


def test_what_was_seen_and_is_not_meant_is_dropped(somebody, pictures):
    who = somebody(Kind.BINARY)
    page = who.come_in().page
    react(who, pictures / "dark.png")
    with page.expect_file_chooser():
        page.get_by_role("button", name="No, another picture").click()
    assert page.locator("#picture-word").input_value() == ""
    assert not page.get_by_role("button", name="Yes, send this").is_visible()
    page.locator("#heading").focus()
    who.press("y")
    who.done()
    assert (who.answers()[-1].payload, who.answers()[-1].artefact) == ({"good": True}, "")


def test_what_is_unclear_or_no_picture_says_so_and_leaves_the_buttons(somebody, pictures):
    who = somebody(Kind.BINARY)
    page = who.come_in().page
    for file, words in (
        ("grey.png", "Neither good nor bad can be seen clearly. It may be “surprised”"),
        ("text.png", "no picture that the browser can read"),
        ("empty.png", "no picture that the browser can read"),
    ):
        react(who, pictures / file)
        assert words in page.locator("#picture-seen").inner_text()
        assert not page.get_by_role("button", name="Yes, send this").is_visible()
    page.route("**/picture", lambda route: route.abort())
    react(who, pictures / "dark.png")
    assert "did not reach the server" in page.locator("#picture-seen").inner_text()
    assert not who.answers()
    who.press("n")
    who.done()
    assert who.answers()[-1].payload == {"good": False}


def test_a_large_picture_is_made_smaller_before_it_is_sent(somebody, study, pictures):
    who = somebody(Kind.BINARY)
    who.come_in()
    react(who, pictures / "large.png")
    who.press("Enter")
    who.done()
    image, _ = read_picture(artefacts_of(study[0]).read(who.answers()[-1].artefact))
    assert image.size == (1024, 768)


def test_an_emoji_is_sent_by_mouse_and_by_keys(somebody):
    who = somebody(Kind.BINARY, Kind.BINARY)
    who.come_in().page.get_by_role("button", name="👎").click()
    who.saved(1)
    who.page.get_by_role("button", name="❤️").focus()
    who.press("Enter")
    who.done()
    assert [answer.payload for answer in who.answers()] == [{"good": False}, {"good": True}]


def test_without_script_there_are_emoji_and_no_picture(somebody):
    who = somebody(Kind.BINARY, java_script_enabled=False)
    who.page.goto(f"{who.address}/invitation/{who.token}")
    who.page.get_by_role("button", name="Come in").click()
    assert not who.page.locator("#picture").is_visible()
    who.page.get_by_role("button", name="👍").click()
    who.page.get_by_role("heading", name="All done for now").wait_for()
    assert who.answers()[-1].payload == {"good": True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_reactions_fit_and_axe_finds_nothing(somebody, pictures, scheme):
    who = somebody(Kind.BINARY, has_touch=True, is_mobile=True, color_scheme=scheme)
    who.page.set_viewport_size({"width": 390, "height": 844})
    page = who.come_in().page
    assert violations(page, scheme) == []
    for file in ("grey.png", "bright.png"):
        react(who, pictures / file)
        assert page.evaluate(SCROLLS) <= 0
        assert page.evaluate(TARGETS) == []
        assert violations(page, scheme) == []
    page.goto(f"{who.address}/help")
    assert "made smaller in this browser" in page.locator("main").inner_text()
    assert page.evaluate(SCROLLS) <= 0
    assert violations(page, scheme) == []
