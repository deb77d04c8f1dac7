"""Take the pictures of the page that the README shows: `make screenshots`.

It makes a small study, serves it, and opens it in Chromium at three sizes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from feedback.page.process import PageProcess
from feedback.study.access import Access
from feedback.study.queueing import Mixing, Queue, Reply
from feedback.study.records import Interface, Kind, Outcome, Passage, Question
from feedback.study.store import Store

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}  # px
QUIET = "disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
ARGUMENTS = [f"--{name}" for name in ("no-sandbox", *QUIET.split(" "))]
PROMPT = "Write a short review of the film that you saw last night."
INSTRUCTIONS = "Think of somebody who has not seen the film yet: would the review help them decide?"
TEXTS = (
    "The film begins slowly, and for half an hour you wonder where it is going. Then a door opens, somebody laughs, and everything that "
    "seemed idle turns out to matter. I have rarely been so glad to have stayed in my seat.",
    "The film begins slowly, and for half an hour nothing happens. Then a door opens, somebody laughs, and everything turns out to matter. "
    "I was glad that I stayed, although the ending is rushed and the music is far too loud.",
    "it was good good good movie i like it very much and the acting was good and the movie was good.",
    "A masterpiece.\n\nThree reasons:\n  1. the light\n  2. the silence\n  3. the last shot, which I will not describe here",
)
NUM_PASSAGES = {Kind.COMPARE: 2, Kind.RANK: 4}


def main() -> int:
    """Take all pictures; return 0 once they are written."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("error: the pictures are taken in Chromium, and none is installed (on Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "study.db", clock=Clock()) as store:
        rater, owner = make_study(store)
        with PageProcess(Path(folder) / "study.db", options=("--title", "Film reviews")) as served, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            page = browser.new_page()
            come_in(page, f"{served.address}/invitation/{rater}")
            for kind in Kind:
                page.wait_for_selector(f"main[data-kind={kind}][data-ready]")
                prepare(page, kind)
                for name, (width, height) in SIZES.items() if kind is Kind.COMPARE else (("desktop", SIZES["desktop"]),):
                    page.set_viewport_size({"width": width, "height": height})
                    page.screenshot(path=PICTURES / f"{kind}-{name}.png")
                page.set_viewport_size({"width": SIZES["desktop"][0], "height": SIZES["desktop"][1]})
                answer(page, kind)
            page.context.clear_cookies()
            come_in(page, f"{served.address}/invitation/{owner}")
            page.goto(f"{served.address}/study")
            page.screenshot(path=PICTURES / "study-desktop.png", full_page=True)
            browser.close()
    print(f"{len(list(PICTURES.glob('*.png')))} pictures are in {PICTURES}")
    return 0


class Clock:
    """Tell times of the last hours, some seconds apart, as if people had taken their time."""

    def __init__(self) -> None:
        self.now = time.time() - 6 * 3600

    def __call__(self) -> float:
        """Return the next time."""
        self.now += 4.0
        return self.now


def make_study(store: Store) -> tuple[str, str]:
    """Fill a study with a question of each kind, and answers of three people; return the tokens of a rater's and an owner's invitation."""
    passages = [Passage(PROMPT, text, policy="tinylm", version=version) for version, text in enumerate(TEXTS)]
    access, queue = Access(store), Queue(store, mixing=Mixing(0, 0, 0))
    rater = access.invite("rater-3")
    asked = []
    for number, kind in enumerate(Kind):
        of = passages[: NUM_PASSAGES.get(kind, 1)] if kind is not Kind.CORRECT else passages[2:3]
        names = tuple(passage.id for passage in of)
        only_for = store.enrol("rater-3").id
        asked.append(
            Question(kind, names, INSTRUCTIONS, aspects=("helpful", "well written"), only_for=only_for, priority=-number, ticket="shown")
        )
    written = [Passage(PROMPT, f"{TEXTS[number % 4]} ({number})", policy="tinylm", version=number // 5) for number in range(25)]
    rated = [Question(Kind.RATE, (passage.id,), INSTRUCTIONS, wanted=3, most=3, ticket="rated") for passage in written]
    store.submit([*asked, *rated], [*passages, *written])
    for name, says in {"rater-1": 0, "rater-2": 1, "rater-4": 2}.items():
        person = store.enrol(name)
        while (showing := queue.next_for(person, Interface.WEB)) is not None:
            number = written.index(showing.passages[0])
            step = min(5, 1 + number // 5 + number % 2)  # later versions are better
            step = (step, max(1, step - number % 3 // 2), 6 - step)[says]  # the last person takes the scale the wrong way round
            queue.answer(person, showing.lease.id, showing.lease.id, Reply(Outcome.ANSWERED, {"step": step}))
    return rater, access.invite("owner", "owner")


def come_in(page: Any, link: str) -> None:
    """Open an invitation and press its button."""
    page.goto(link)
    page.click("text=Come in")


def prepare(page: Any, kind: Kind) -> None:
    """Do with a question what somebody does before answering."""
    if kind is Kind.COMPARE:
        page.check("#differences")
    elif kind is Kind.RANK:
        for letter in "BAD":
            page.locator(f"[data-letter={letter}] .grip").click()
        page.locator("[data-letter=A] .tied").click()
    elif kind is Kind.CRITIQUE:
        page.fill("textarea#text", "The beginning is well told. The last sentence gives away too much.")
    elif kind is Kind.CORRECT:
        page.fill("textarea#text", "It was a good movie. I liked it very much, and the acting was good.")
    elif kind is Kind.SPAN:
        for number in (1, 2, 3):
            page.locator(".word").nth(number).click()
        page.click(".pen.bad")
        for number in (8, 9):
            page.locator(".word").nth(number).click()


def answer(page: Any, kind: Kind) -> None:
    """Answer a question, so that the next one is shown."""
    choice = {Kind.BINARY: "good", Kind.RATE: "4", Kind.COMPARE: "a"}.get(kind, "send")
    page.click(f"button[name=choice][value='{choice}']")
    page.locator(f"main[data-kind={kind}]").wait_for(state="detached")


if __name__ == "__main__":
    raise SystemExit(main())
