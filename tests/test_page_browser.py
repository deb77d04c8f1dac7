"""Use the page in a real browser: every kind of question by mouse and by keys, and what happens when a connection or a server is lost.

The browser and the server are processes of their own on this machine; this process opens no connection.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil

import pytest

from feedback.page.process import PageProcess
from feedback.study.access import Access
from feedback.study.records import Answer, Kind, Outcome
from feedback.study.store import Store
from tests.page_study import NUM_PASSAGES, question

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SMALLEST_TARGET = 44  # px, of a finger

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed, in which the page would be opened")
numbers = itertools.count()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return tmp_path_factory.mktemp("page") / "study.db"


@pytest.fixture(scope="module")
def store(study):
    with Store(study) as opened:
        opened.enrol("nobody")
        yield opened


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a training that goes on, whose figures the owner sees."""
    folder = tmp_path_factory.mktemp("run")
    lines = [{"update": update, "share_scored": 1.0, "score": 0.1 * update, "kl_nats_per_response": -1 / 163} for update in range(1, 4)]
    lines[-1] |= {"score": 0.3, "held_out/score": 0.123456, "held_out/score_standard_error": 0.05}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(study, store, run):
    started = PageProcess(study, options=("--run", str(run))).start()
    yield started
    assert "Stopped" in started.stop()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


class Somebody:
    """A person with a browser window and questions of their own."""

    def __init__(self, browser, server: PageProcess, store: Store, role: str = "rater", **window) -> None:
        self.store = store
        self.name = f"{role}-{next(numbers):02}"
        self.person = store.enrol(self.name, role)
        self.context = browser.new_context(viewport={"width": 1100, "height": 800}, **window)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.address = server.address
        self.token = Access(store).invite(self.name, role)

    def ask(self, *kinds: Kind, texts: tuple[str, ...] = ("One short text.", "Another text.", "A third one."), **settings) -> None:
        for number, kind in enumerate(kinds):
            named = [f"{text} {self.name} {number}" for text in texts[: NUM_PASSAGES.get(kind, 1)]]
            asked, about = question(kind, named, only_for=self.person.id, priority=-number, ticket=f"{number}", **settings)
            self.store.submit([asked], about)

    def come_in(self) -> Somebody:
        self.page.goto(f"{self.address}/invitation/{self.token}")
        self.page.get_by_role("button", name="Come in").click()
        return self.ready()

    def ready(self) -> Somebody:
        self.page.locator("main[data-ready]").wait_for()
        return self

    def saved(self, num_done: int) -> Somebody:
        """Wait until the page says that so many answers are stored, and shows what comes next."""
        self.page.locator(".progress", has_text=f"{num_done} done").wait_for()
        assert self.page.locator("#status").inner_text() == "Saved"
        return self.ready()

    def done(self) -> Somebody:
        self.page.get_by_role("heading", name="All done for now").wait_for()
        return self

    def press(self, *keys: str) -> Somebody:
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def choose(self, name: str) -> None:
        self.page.locator(".choices").get_by_role("button", name=re.compile(f"^{name}")).click()

    def answers(self) -> list[Answer]:
        found = [entry.record for entry in self.store.entries() if isinstance(entry.record, Answer)]
        return [answer for answer in found if answer.person == self.person.id]

    def shown(self) -> list[str]:
        """Return the ids of the passages in the order in which they stood when the last answer was given."""
        from feedback.study.queueing import Queue

        return [passage.id for passage in Queue(self.store).show_answered(self.answers()[-1]).passages]


@pytest.fixture
def somebody(browser, server, store):
    made = list[Somebody]()

    def make(**settings) -> Somebody:
        made.append(Somebody(browser, server, store, **settings))
        return made[-1]

    yield make
    for each in made:
        each.context.close()
        assert not each.errors


def rank_by_mouse(who: Somebody) -> None:
    for letter in "CA":
        who.page.locator(f"[data-letter={letter}] .grip").click()
    who.choose("Send")


def span_by_mouse(who: Somebody) -> None:
    words = who.page.locator(".word")
    first, second = words.nth(0).bounding_box(), words.nth(1).bounding_box()
    who.page.mouse.move(first["x"] + 4, first["y"] + 8)
    who.page.mouse.down()
    who.page.mouse.move(second["x"] + 4, second["y"] + 8)
    who.page.mouse.up()
    who.page.get_by_role("radio", name="Bad").click()
    words.nth(3).click()
    who.choose("Send")


def rank_by_keys(who: Somebody) -> None:
    who.page.locator("[data-letter=C] .grip").focus()
    who.press("Enter")  # C is first
    who.page.locator("[data-letter=A] .grip").focus()
    who.press("ArrowUp", "ArrowUp", "ArrowDown", "=", "=")  # over the line, before C, behind it again, equal, and not
    who.page.get_by_role("button", name="Send").focus()
    who.press("Enter")


def write_and_send(who: Somebody, text: str) -> None:
    who.page.locator("textarea#text").focus()
    who.press("Control+a")
    who.page.keyboard.type(text)
    who.press("Escape", "Enter")


def span_by_keys(who: Somebody) -> None:
    who.page.locator(".word").first.focus()
    who.press("Shift+ArrowRight", "g", "ArrowRight", "ArrowRight", "b", "Escape")
    who.page.locator("#heading").focus()
    who.press("Enter")


SPANS = {"spans": [{"start": 0, "end": 9, "good": True}, {"start": 16, "end": 24, "good": False}]}
BY_MOUSE = {
    Kind.BINARY: (lambda who: who.choose("Bad"), {"good": False}),
    Kind.RATE: (lambda who: who.choose("4"), {"step": 4}),
    Kind.COMPARE: (lambda who: who.choose("B is better"), [[1], [0]]),
    Kind.RANK: (rank_by_mouse, [[2], [0]]),
    Kind.CRITIQUE: (lambda who: (who.page.fill("textarea#text", "too short"), who.choose("Send")), {"text": "too short"}),
    Kind.CORRECT: (lambda who: (who.page.fill("textarea#text", "Better."), who.choose("Send")), {"text": "Better."}),
    Kind.SPAN: (span_by_mouse, {"spans": [SPANS["spans"][0], {**SPANS["spans"][1]}]}),
}
BY_KEYS = {
    Kind.BINARY: (lambda who: who.press("n"), {"good": False}),
    Kind.RATE: (lambda who: who.press("4"), {"step": 4}),
    Kind.COMPARE: (lambda who: who.press("b"), [[1], [0]]),
    Kind.RANK: (rank_by_keys, [[2], [0]]),
    Kind.CRITIQUE: (lambda who: write_and_send(who, "too short"), {"text": "too short"}),
    Kind.CORRECT: (lambda who: write_and_send(who, "Better."), {"text": "Better."}),
    Kind.SPAN: (span_by_keys, SPANS),
}


@pytest.mark.parametrize("way", [BY_MOUSE, BY_KEYS], ids=["mouse", "keys"])
def test_every_kind_is_answered_by_mouse_and_by_keys(somebody, way):
    who = somebody()
    who.ask(*Kind)
    who.come_in()
    for number, kind in enumerate(Kind, 1):
        assert who.page.locator("main").get_attribute("data-kind") == kind
        act, expected = way[kind]
        act(who)
        who.saved(number)
        said = who.answers()[-1]
        if isinstance(expected, list):
            expected = {"groups": [[who.shown()[at] for at in group] for group in expected]}
        if kind is Kind.SPAN:
            assert who.page.get_by_role("heading", name="All done").is_visible()
        assert (said.outcome, said.payload) == (Outcome.ANSWERED, expected)
        assert said.seconds is not None and 0 < said.seconds < 60
    assert len(who.answers()) == len(Kind)


def test_a_ranking_is_dragged_and_its_ties_are_kept(somebody):
    who = somebody()
    who.ask(Kind.RANK)
    who.come_in()
    page = who.page
    for letter in "ABC":
        page.locator(f"[data-letter={letter}] .grip").click()
    grip, first = page.locator("[data-letter=C] .grip").bounding_box(), page.locator("[data-letter=A]").bounding_box()
    page.mouse.move(grip["x"] + 10, grip["y"] + 10)
    page.mouse.down()
    page.mouse.move(grip["x"] + 10, first["y"] + 30, steps=5)
    page.mouse.move(grip["x"] + 10, first["y"] + 5, steps=3)
    page.mouse.up()
    page.get_by_role("button", name="Text B: as good as the one above").click()
    assert [page.locator(f"[data-letter={letter}] .grip").inner_text() for letter in "CAB"] == ["1", "2", "2"]
    who.choose("Send")
    who.saved(1)
    a, b, c = who.shown()
    assert [sorted(group) for group in who.answers()[-1].payload["groups"]] == [[c], sorted([a, b])]


def test_keys_are_ignored_while_typing_and_with_modifiers(somebody):
    who = somebody()
    who.ask(Kind.RATE)
    who.come_in()
    who.press("Control+4", "Alt+4", "Meta+4", "Shift+S", "9", "y", "a")
    who.press("c")
    who.page.keyboard.type("4 stars, u know? 0 s")
    who.page.wait_for_timeout(300)
    assert not who.answers()
    assert who.page.locator("#comment-text").input_value() == "4 stars, u know? 0 s"
    who.press("Escape", "4")
    who.done()
    assert who.answers()[-1].comment == "4 stars, u know? 0 s"


def test_a_held_key_sends_once(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.RATE, Kind.RATE)
    who.come_in()
    for _ in range(12):
        who.page.keyboard.down("4")
        who.page.wait_for_timeout(60)
    who.page.keyboard.up("4")
    who.ready()
    assert len(who.answers()) == 1


def test_a_double_click_answers_one_question(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.RATE)
    who.come_in()
    who.page.locator(".choices").get_by_role("button", name=re.compile("^4")).dblclick()
    who.saved(1)
    assert len(who.answers()) == 1


def test_a_press_that_comes_as_the_question_changes_is_not_taken_for_an_answer_to_the_new_one(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.RATE)
    who.come_in()
    who.page.evaluate(
        """() => new MutationObserver((_, watcher) => {
          if (!document.querySelector(".progress").textContent.includes("1 done") || document.querySelector("main[data-ready]")) return;
          watcher.disconnect();
          setTimeout(() => { document.querySelector("button[value='4']").click(); document.body.dataset.pressed = ""; }, 60);
        }).observe(document.body, { childList: true, subtree: true })"""
    )
    who.press("4")
    who.page.locator("body[data-pressed]").wait_for()
    who.saved(1)
    who.page.wait_for_timeout(200)
    assert len(who.answers()) == 1


def test_keys_can_be_switched_off(somebody):
    who = somebody()
    who.ask(Kind.RATE)
    who.come_in().press("?")
    who.page.get_by_label("Use these keys").uncheck()
    who.page.get_by_role("link", name="Go on").click()
    who.ready().press("4")
    who.page.wait_for_timeout(300)
    assert not who.answers()


def test_undo_brings_a_question_back_and_skip_keeps_its_reason(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.BINARY)
    who.come_in().press("2")
    who.saved(1).press("u")
    who.page.locator(".progress", has_text="0 done").wait_for()
    who.page.get_by_role("heading", name="How good is this?").wait_for()
    who.ready()
    assert who.page.locator("[aria-pressed=true]").get_attribute("value") == "2"
    who.press("5")
    who.page.get_by_role("heading", name="Is this good?").wait_for()
    who.ready().press("s", "ArrowDown")
    who.page.get_by_role("button", name="Skip this question").click()
    who.done()
    said = who.answers()
    assert [answer.outcome for answer in said] == [Outcome.ANSWERED, Outcome.WITHDRAWN, Outcome.ANSWERED, Outcome.SKIP]
    assert (said[2].payload, said[3].reason) == ({"step": 5}, "The question is not clear")


def test_an_answer_is_changed_from_the_history(somebody):
    who = somebody()
    who.ask(Kind.COMPARE)
    who.come_in().press("a")
    who.done()
    who.page.get_by_role("link", name="History").click()
    who.page.get_by_role("button", name="Change").click()
    who.ready().press("t")
    who.done()
    first, second = who.answers()
    assert (second.outcome, second.supersedes) == (Outcome.TIE, first.id)


def test_two_people_answer_at_once_and_neither_sees_the_others_questions(somebody):
    one, other = somebody(), somebody()
    for who in (one, other):
        who.ask(*[Kind.RATE] * 4)
        who.come_in()
    for step in "1234":
        one.press(step)
        other.press(step)
        for who in (one, other):
            who.page.locator(".progress", has_text=f"{step} done").wait_for()
            who.ready()
    for who in (one, other):
        assert [answer.payload["step"] for answer in who.answers()] == [1, 2, 3, 4]


def test_a_reload_in_the_middle_keeps_the_question_and_the_draft(somebody):
    who = somebody()
    who.ask(Kind.CRITIQUE, Kind.RANK, Kind.SPAN)
    who.come_in()
    text = who.page.locator(".passage").inner_text()
    who.page.fill("textarea#text", "half a thought")
    who.press("Escape", "c")
    who.page.keyboard.type("and a comment")
    who.page.reload()
    who.ready()
    assert who.page.locator(".passage").inner_text() == text
    assert who.page.locator("textarea#text").input_value() == "half a thought"
    assert who.page.locator("#comment-text").input_value() == "and a comment"
    who.choose("Send")
    who.saved(1)
    for letter in "BA":
        who.page.locator(f"[data-letter={letter}] .grip").click()
    who.page.reload()
    who.ready()
    assert [grip.inner_text() for grip in who.page.locator(".grip").all()] == ["1", "2", "–"]
    who.choose("Send")
    who.saved(2)
    who.page.locator(".word").nth(1).click()
    who.page.reload()
    who.ready()
    assert who.page.locator(".word[data-mark=good]").count() == 1
    who.choose("Send")
    who.done()
    assert len(who.answers()) == 3


def test_an_answer_survives_a_server_that_is_killed_and_comes_back(browser, tmp_path):
    path = tmp_path / "study.db"
    with Store(path) as store:
        server = PageProcess(path).start()
        who = Somebody(browser, server, store)
        who.ask(Kind.RATE, Kind.CRITIQUE, Kind.BINARY)
        who.come_in().press("4")
        who.saved(1)
        server.kill()
        assert [answer.payload for answer in who.answers()] == [{"step": 4}]  # what was acknowledged is there
        who.page.fill("textarea#text", "written while nobody listened")
        who.choose("Send")
        who.page.locator("#status", has_text="Not saved yet").wait_for()
        assert who.page.locator("textarea#text").input_value() == "written while nobody listened"
        server.start()
        who.page.get_by_role("heading", name="Is this good?").wait_for()
        assert [answer.payload for answer in who.answers()][1:] == [{"text": "written while nobody listened"}]
        who.ready().press("y")
        who.done()
        assert len(who.answers()) == 3
        who.context.close()
        server.stop()


def test_an_undo_while_the_server_is_away_loses_nothing_and_is_done_once_when_it_is_back(browser, tmp_path):
    path = tmp_path / "study.db"
    with Store(path) as store, PageProcess(path) as server:
        who = Somebody(browser, server, store)
        who.ask(Kind.RATE, Kind.CRITIQUE, Kind.BINARY)
        who.come_in().press("4")
        who.saved(1)
        who.page.fill("textarea#text", "half a thought")
        who.press("Escape")
        server.kill()
        who.press("u")
        who.page.locator("#status", has_text="Nothing is lost: press Undo again").wait_for()
        assert who.page.locator("textarea#text").input_value() == "half a thought"
        who.choose("Send")
        who.page.locator("#status", has_text="Not saved yet: the server").wait_for()
        for undo in (lambda: who.press("u"), lambda: who.page.get_by_role("button", name="Undo").click()):
            undo()
            who.page.locator("#status", has_text="Nothing was taken back: your answer is not saved yet").wait_for()
            who.page.locator("#status", has_text="Not saved yet: the server").wait_for()
        server.start()
        who.page.get_by_role("heading", name="Is this good?").wait_for()
        assert [answer.payload for answer in who.answers()] == [{"step": 4}, {"text": "half a thought"}]
        who.ready().press("u")
        who.page.get_by_role("heading", name="What is good or bad").wait_for()
        assert [answer.outcome for answer in who.answers()] == [Outcome.ANSWERED, Outcome.ANSWERED, Outcome.WITHDRAWN]
        who.context.close()


def test_an_undo_whose_confirmation_was_lost_takes_one_answer_back_when_it_is_pressed_again(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.BINARY, Kind.CRITIQUE)
    who.come_in().press("4")
    who.saved(1).press("y")
    who.saved(2)
    who.page.route("**/undo", lambda route: (route.fetch(), route.abort()))
    who.press("u")
    who.page.locator("#status", has_text="may not be taken back").wait_for()
    who.page.unroute("**/undo")
    who.press("u")
    who.page.get_by_role("heading", name="Is this good?").wait_for()
    assert [answer.outcome for answer in who.answers()] == [Outcome.ANSWERED, Outcome.ANSWERED, Outcome.WITHDRAWN]


def test_an_answer_whose_confirmation_was_lost_is_stored_once_even_after_a_reload(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.BINARY)
    who.come_in()

    def lose(route) -> None:
        route.fetch()  # the server takes it
        route.abort()  # and the browser never hears of it

    who.page.route("**/answer", lose)
    who.press("3")
    who.page.locator("#status", has_text="Not saved yet").wait_for()
    who.page.unroute("**/answer")
    who.page.reload()
    who.page.get_by_role("heading", name="Is this good?").wait_for()
    who.ready()
    assert [answer.payload for answer in who.answers()] == [{"step": 3}]


def test_an_answer_that_could_not_be_sent_is_sent_after_a_reload(somebody):
    who = somebody()
    who.ask(Kind.RATE, Kind.BINARY)
    who.come_in()
    who.page.route("**/answer", lambda route: route.abort())
    who.press("3")
    who.page.locator("#status", has_text="Not saved yet").wait_for()
    assert not who.answers()
    who.page.unroute("**/answer")
    who.page.reload()
    who.saved(1)
    assert [answer.payload for answer in who.answers()] == [{"step": 3}]


def test_an_answer_that_is_too_long_stays_in_its_box_with_the_reason(somebody):
    who = somebody()
    who.ask(Kind.CRITIQUE)
    who.come_in()
    text = "word " * 220_000
    who.page.locator("textarea#text").evaluate("(box, text) => { box.value = text; }", text)  # as pasted; typing it takes a minute
    who.choose("Send")
    who.page.locator("#status", has_text="at most 1 million bytes").wait_for(timeout=60_000)
    assert len(who.page.locator("textarea#text").input_value()) == len(text)
    who.page.fill("textarea#text", "short")
    who.choose("Send")
    who.done()
    assert who.answers()[-1].payload == {"text": "short"}


def test_what_a_model_wrote_runs_nothing(somebody):
    who = somebody()
    bad = '<img src=x onerror=alert(1)><script>alert(2)</script>"><svg onload=alert(3)> {{7*7}} \u202e'
    who.ask(*Kind, texts=(bad, f"other {bad}", f"third {bad}"), instructions=bad)
    who.come_in()
    for number in range(len(Kind)):
        assert who.page.locator("main img, main script, main svg:not(.thumb)").count() == 0
        assert "<script>alert(2)</script>" in who.page.locator("main").inner_text()
        if who.page.locator("textarea#text").count():
            who.page.fill("textarea#text", "<img/src=x/onerror=alert(4)>")
            who.page.wait_for_timeout(200)
            assert who.page.locator("main img").count() == 0
        who.press("Escape", "0")
        who.saved(number + 1)
    who.page.goto(f"{who.address}/history")
    assert who.page.locator("main img, main script, main svg:not(.thumb)").count() == 0


TARGETS = """() => [...document.querySelectorAll("button, a, summary, select, textarea, input:not([type=hidden])")]
  .filter((each) => each.checkVisibility() && !each.matches(".jump") && !each.closest("p:not(.toggle)"))
  .map((each) => [each, (each.closest("label.check") || each).getBoundingClientRect()])
  .filter(([, box]) => box.height < SMALLEST || box.width < SMALLEST)
  .map(([each, box]) => `${each.outerHTML.slice(0, 80)} ${box.width} x ${box.height}`)""".replace("SMALLEST", str(SMALLEST_TARGET))
SCROLLS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_on_a_phone_nothing_is_cut_off_and_everything_can_be_hit(somebody):
    who = somebody(has_touch=True, is_mobile=True)
    who.page.set_viewport_size({"width": 390, "height": 844})
    long = "Averylongwordwithoutanyspaceinitthatcouldpushthepageoutofitsframe" * 3
    who.ask(*Kind, texts=(long, f"{long} more", f"{long} third"), instructions=long)
    who.come_in()
    for number in range(len(Kind)):
        assert who.page.evaluate(SCROLLS) <= 0
        assert who.page.evaluate(TARGETS) == []
        bar = who.page.locator(".choices").bounding_box()
        assert bar["y"] + bar["height"] <= 845  # the answers are in sight, however long the text is
        assert bar["height"] < 844 / 3
        who.page.locator(".choices").get_by_role("button", name="I cannot say").tap()
        who.saved(number + 1)
    for path in ("/history", "/help", "/done"):
        who.page.goto(f"{who.address}{path}")
        assert who.page.evaluate(SCROLLS) <= 0
        assert who.page.evaluate(TARGETS) == []


def violations(page, scheme: str = "light") -> list[str]:
    """Return what axe finds against level A and AA; in the dark, where only the colours differ, against their contrast."""
    from axe_playwright_python.sync_playwright import Axe

    rules = {"light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "dark": {"type": "rule", "values": ["color-contrast"]}}
    options = {"runOnly": rules[scheme], "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_against_level_a_or_aa_on_any_page(somebody, scheme):
    who = somebody(role="owner", color_scheme=scheme)
    who.ask(*Kind, instructions="How to judge.", aspects=("clear",))
    who.page.goto(f"{who.address}/invitation/{who.token}")
    assert violations(who.page, scheme) == []
    who.come_in()
    for number, kind in enumerate(Kind):
        if kind is Kind.RANK:
            who.page.locator("[data-letter=B] .grip").click()
            who.page.locator("[data-letter=A] .grip").click()
        if kind is Kind.SPAN:
            who.page.locator(".word").nth(1).click()
        if kind is Kind.CORRECT:
            who.page.fill("textarea#text", "Other words.")
            who.page.locator("ins").first.wait_for()
        if kind is Kind.COMPARE:
            who.page.get_by_label("Show differences").check()
        who.press("Escape", "s")
        assert violations(who.page, scheme) == [], kind
        who.press("Escape", "0")
        who.saved(number + 1)
    for path in ("/done", "/history", "/help", "/study", "/nowhere"):
        who.page.goto(f"{who.address}{path}")
        assert violations(who.page, scheme) == [], path


@pytest.mark.parametrize("width", [1280, 760, 360])
def test_the_figures_of_a_training_stay_in_their_boxes(somebody, width):
    owner = somebody(role="owner")
    owner.come_in()
    owner.page.set_viewport_size({"width": width, "height": 800})
    owner.page.goto(f"{owner.address}/study")
    boxes = owner.page.locator("section[aria-labelledby=training] dl.figures > div")
    assert [each.split("\n")[-1] for each in boxes.all_inner_texts()] == ["3", "0.3", "0.123", "-0.01"]
    assert boxes.evaluate_all("boxes => boxes.map(box => box.scrollWidth - box.clientWidth)") == [0, 0, 0, 0]
    assert owner.page.evaluate(SCROLLS) <= 0


def test_without_script_a_comparison_is_answered_by_its_buttons(somebody):
    who = somebody(java_script_enabled=False)
    who.ask(Kind.COMPARE, Kind.SPAN)
    who.page.goto(f"{who.address}/invitation/{who.token}")
    who.page.get_by_role("button", name="Come in").click()
    who.choose("A is better")
    who.page.get_by_label("good One", exact=True).check()
    who.choose("Send")
    who.page.get_by_role("heading", name="All done for now").wait_for()
    assert [answer.outcome for answer in who.answers()] == [Outcome.ANSWERED] * 2
