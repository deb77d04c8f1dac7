"""Judge in a terminal: every kind of answer by typing it, undo, skip, comments, and nothing lost when the input ends."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from feedback import HumanFeedback
from feedback.__main__ import main
from feedback.study.queueing import Queue
from feedback.study.records import Answer, Interface, Lease, Outcome, Passage, Question
from feedback.study.store import Store
from tests.test_people import BAD, GOOD, PLAIN, episode

pytestmark = pytest.mark.draws_globally  # tyro does
TEXTS = (GOOD, BAD, PLAIN)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


def ask(path, kind, *texts, **settings):
    HumanFeedback(path, kind, **settings).submit([episode(text) for text in texts])


def typed(monkeypatch, path, *lines, name="ann"):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(line + "\n" for line in lines)))
    return main(["rate", "--study", str(path), "--name", name])


def answers(path):
    with Store(path) as store:
        return [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]


def texts_of(path, names):
    with Store(path) as store:
        return [[store.record(Passage, name).text for name in group] for group in names]


@pytest.mark.parametrize(
    ("kind", "line", "payload"),
    [
        ("binary", "y", {"good": True}),
        ("binary", "N", {"good": False}),
        ("binary", "👍", {"good": True}),
        ("binary", "👎🏽 # a comment", {"good": False}),
        ("rate", "4", {"step": 4}),
        ("critique", "too long, and dull", {"text": "too long, and dull"}),
        ("correct", "awful, good\\nand short", {"text": " awful, good\nand short"}),
        ("correct", ".", {"text": GOOD}),
        ("span", "3 bad, 1-2 good", {"spans": [{"start": 1, "end": 14, "good": True}, {"start": 15, "end": 19, "good": False}]}),
    ],
)
def test_a_line_is_an_answer(monkeypatch, path, kind, line, payload):
    ask(path, kind, GOOD)
    assert typed(monkeypatch, path, line) == 0
    (answer,) = answers(path)
    assert (answer.outcome, answer.payload) == (Outcome.ANSWERED, payload)
    assert answer.seconds >= 0


@pytest.mark.parametrize(("letter", "place"), [("a", 0), ("B", 1)])
def test_a_letter_means_the_text_that_was_shown_under_it(monkeypatch, path, capsys, letter, place):
    ask(path, "compare", GOOD, BAD)
    assert typed(monkeypatch, path, letter) == 0
    shown = [text for text in sorted(TEXTS[:2], key=capsys.readouterr().out.index)]
    (answer,) = answers(path)
    assert texts_of(path, answer.payload["groups"]) == [[shown[place]], [shown[1 - place]]]


@pytest.mark.parametrize(("line", "outcome"), [("t", Outcome.TIE), ("n", Outcome.ALL_BAD), ("/cannot", Outcome.ABSTAIN)])
def test_equally_good_and_none_acceptable_and_cannot_say_are_three_things(monkeypatch, path, line, outcome):
    ask(path, "compare", GOOD, BAD)
    assert typed(monkeypatch, path, line) == 0
    assert [answer.outcome for answer in answers(path)] == [outcome]


@pytest.mark.parametrize(
    ("line", "groups"), [("c a b", [[2], [0], [1]]), ("b=c a", [[1, 2], [0]]), ("b = c  a", [[1, 2], [0]]), ("c b", [[2], [1]])]
)
def test_a_ranking_is_stored_as_it_was_typed(monkeypatch, path, line, groups):
    ask(path, "rank", *TEXTS)
    assert typed(monkeypatch, path, line) == 0
    (answer,) = answers(path)
    with Store(path) as store:
        order = store.record(Lease, answer.lease).order
    assert answer.payload["groups"] == [[order[place] for place in group] for group in groups]


def test_naming_all_as_equal_is_a_tie(monkeypatch, path):
    ask(path, "rank", *TEXTS)
    assert typed(monkeypatch, path, "a=b=c") == 0
    assert answers(path)[0].outcome is Outcome.TIE


def test_a_comment_stands_behind_a_hash(monkeypatch, path):
    ask(path, "rate", GOOD)
    assert typed(monkeypatch, path, "2 # too #loud # really") == 0
    assert (answers(path)[0].payload, answers(path)[0].comment) == ({"step": 2}, "too #loud # really")


def test_an_answer_is_taken_back_and_given_again(monkeypatch, path):
    ask(path, "rate", GOOD, BAD)
    assert typed(monkeypatch, path, "2", "/undo", "5", "1") == 0
    assert [answer.outcome for answer in answers(path)] == [Outcome.ANSWERED, Outcome.WITHDRAWN, Outcome.ANSWERED, Outcome.ANSWERED]
    with Store(path) as store:
        questions = [entry.record.id for entry in store.entries() if isinstance(entry.record, Question)]
        steps = [[answer.payload["step"] for answer in store.standings(questions)[name].answers] for name in questions]
    assert steps == [[5], [1]]


def test_a_skip_needs_a_reason_and_leaves_the_question_to_others(monkeypatch, path, capsys):
    ask(path, "rate", GOOD)
    assert typed(monkeypatch, path, "/skip", "/skip another language") == 0
    assert "say why, as in /skip" in capsys.readouterr().out
    assert [(answer.outcome, answer.reason) for answer in answers(path)] == [(Outcome.SKIP, "another language")]
    assert typed(monkeypatch, path, "3", name="bob") == 0
    assert answers(path)[-1].payload == {"step": 3}


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("binary", "maybe", "type y for good or n for bad, not 'maybe'"),
        ("rate", "6", "a rating must be a whole number from 1 to 5, got 6"),
        ("rate", "good", "type a whole number from 1 to 5, not 'good'"),
        ("compare", "c", "type a, b, t (equally good) or n"),
        ("rank", "a d", "'d' is none of them"),
        ("rank", "a a b", "each at most once"),
        ("rank", "a", "names at least two"),
        ("span", "9 good", "words are numbered from 1 to 3, got 9"),
        ("span", "1 fine", "as in 3-5 good, 7 bad; got '1 fine'"),
        ("span", "1-2 good, 2 bad", "not overlap"),
        ("rate", "/unod", "there is no /unod"),
        ("rate", "/undo", "there is no answer to take back"),
    ],
)
def test_what_means_nothing_is_refused_with_the_way_out_and_asked_again(monkeypatch, path, capsys, kind, line, message):
    ask(path, kind, *TEXTS)
    assert typed(monkeypatch, path, line) == 0
    refusals = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Not stored: ")]
    assert len(refusals) == 1 and message in refusals[0]
    assert answers(path) == []


def test_what_a_model_wrote_cannot_steer_the_terminal(monkeypatch, path, capsys):
    ask(path, "rate", " clear\x1b[2J the [bold]screen[/bold] \u202e")
    assert typed(monkeypatch, path, "3") == 0
    shown = capsys.readouterr().out
    assert "clear␛[2J the [bold]screen[/bold]" in shown and "\x1b[2J" not in shown and "\u202e" not in shown


def test_a_long_text_is_shown_whole(monkeypatch, path, capsys):
    long = " " + " ".join(f"word{number}" for number in range(1500))
    ask(path, "rate", long)
    assert typed(monkeypatch, path, "3") == 0
    assert long in capsys.readouterr().out


@pytest.mark.parametrize("last", [["/quit"], []])
def test_leaving_gives_the_question_back_at_once(monkeypatch, path, last):
    ask(path, "rate", GOOD)
    assert typed(monkeypatch, path, *last) == 0
    with Store(path) as store:
        assert Queue(store).next_for(store.enrol("bob"), Interface.TERMINAL) is not None


def test_nothing_to_judge_is_said(monkeypatch, path, capsys):
    assert typed(monkeypatch, path) == 0
    assert "Nothing is left to judge." in capsys.readouterr().out


def terminal(path, *, environment=None):
    """Run the command in a pseudo terminal; return the process and the terminal's other end."""
    controller, terminal_end = pty.openpty()
    command = [sys.executable, "-m", "feedback", "rate", "--study", str(path), "--name", "ann"]
    process = subprocess.Popen(
        command,
        stdin=terminal_end,
        stdout=terminal_end,
        stderr=terminal_end,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    os.close(terminal_end)
    return process, controller


def read_until(controller, text, seconds=30):
    seen, until = "", time.monotonic() + seconds
    while text not in seen and time.monotonic() < until:
        if select.select([controller], [], [], 0.5)[0]:
            seen += os.read(controller, 65536).decode("utf-8", "replace")
    assert text in seen, seen
    return seen


def drained(process, controller):
    """Read until the process has ended, for which a terminal waits; return its status."""
    with suppress(OSError):  # the other end is closed
        while select.select([controller], [], [], 30)[0] and os.read(controller, 65536):
            pass
    os.close(controller)
    return process.wait(timeout=20)


def test_ctrl_c_in_a_terminal_leaves_nothing_behind(path):
    ask(path, "rate", GOOD, BAD)
    process, controller = terminal(path)
    read_until(controller, "> ")
    os.write(controller, b"4\n")
    assert "Saved: 4 good" in read_until(controller, "1 left.")
    process.send_signal(signal.SIGINT)
    assert drained(process, controller) == 130
    assert [answer.payload for answer in answers(path)] == [{"step": 4}]
    with Store(path) as store:
        assert Queue(store).next_for(store.enrol("bob"), Interface.TERMINAL) is not None


def test_a_terminal_without_colour_or_unicode_is_enough(path):
    ask(path, "rate", " \u00e9t\u00e9 \U0001f600")
    process, controller = terminal(path, environment={"NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    seen = read_until(controller, "> ")
    assert "\x1b[" not in seen and r"\xe9t\xe9 \U0001f600" in seen
    os.write(controller, b"4\n")
    read_until(controller, "Saved: 4 good")
    assert drained(process, controller) == 0
    assert [answer.payload for answer in answers(path)] == [{"step": 4}]
