"""Rehearse a study: simulated people answer through the page, and an agent learns from nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agents import RLOO, RLOOConfig, collect, train
from feedback import Asynchronous, HumanFeedback, text_feedback
from feedback.page.client import Seen, as_showing
from feedback.page.process import PageProcess
from feedback.simulated.study_rater import SimulatedRater
from feedback.study.access import Access
from feedback.study.records import Answer, Kind, Outcome, Person
from feedback.study.store import Store
from tests.exact_task import make_env, table_policy
from text_env.episode import Ending, Episode, Prompt

ROOT = Path(__file__).parents[1]


@text_feedback(low=0, high=1, unit="share of three")
def likes_b(prompt, response):
    return min(response.split().count("b"), 3) / 3


def run(*arguments, **options):
    """Start a command of `python -m feedback` as its user would."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "feedback", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


@pytest.fixture
def invitations(path):
    """Serve a study; give links for two people."""
    with Store(path) as store:
        tokens = [Access(store).invite(name) for name in ("ann", "bob")]
    with PageProcess(path) as server:
        yield [f"{server.address}/invitation/{token}" for token in tokens]


def test_an_agent_gets_better_by_what_people_say_on_the_page_alone(path, invitations):
    source = Asynchronous(HumanFeedback(path, "rate", answers=1), most_waiting=32, poll=0.02)
    env = make_env(source, num_envs=8)
    agent = RLOO(table_policy(np.zeros((13, 3))), RLOOConfig(learning_rate=0.3, kl_weight=0.0))

    def truth():
        return float(collect(make_env(likes_b), agent, 64, seed=9).scores.mean())

    before = truth()
    taste = ("--taste", "tests.test_page_rehearsal:likes_b", "--preset", "vader-human", "--wait")
    people = [run("rehearse", "--invitation", link, "--seed", seed, *taste) for seed, link in enumerate(invitations)]
    try:
        train(env, agent, 8, 16, keep=False, show=False, seed=1)
    finally:
        for person in people:
            person.send_signal(signal.SIGINT)
            person.communicate(timeout=20)
    assert truth() > before + 0.1


def test_what_a_simulated_person_sends_is_what_it_would_say_itself(path, invitations, tmp_path):
    env = make_env(lambda episodes: [0.0] * len(episodes), group_size=4)
    written = collect(env, RLOO(table_policy(np.zeros((13, 3)))), 12, seed=0).episodes
    # Of each text one, since the same words again are judged anew; none without words, in whose place the page says so.
    episodes = list({episode.text: episode for episode in written if episode.response}.values())
    kinds = ("binary", "rate", "compare", "rank", "critique")
    tickets = {kind: HumanFeedback(path, kind).submit(episodes) for kind in kinds}
    taste = ("--taste", "tests.test_page_rehearsal:likes_b", "--preset", "vader-human")
    done = run("rehearse", "--invitation", invitations[0], "--seed", 1, *taste)  # its handle is "simulated 1"
    said, _ = done.communicate(timeout=120)
    assert done.returncode == 0
    for kind in kinds:
        through_the_page = [judgement.score for judgement in HumanFeedback(path, kind).judgements(tickets[kind])]
        directly = HumanFeedback(tmp_path / "other.db", kind, rehearsal=SimulatedRater(likes_b, seed=1))(episodes)
        assert through_the_page == [judgement.score for judgement in directly], kind
    with Store(path) as store:
        answers = [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]
    assert said == f"{len(answers)} answers were stored.\n"
    assert answers and all(answer.outcome in (Outcome.ANSWERED, Outcome.TIE) for answer in answers)


def test_a_simulated_person_skips_on_the_page_what_it_would_not_judge(path, invitations):
    texts = ["b b b", "a a", "a c"]
    ids = np.zeros(1, dtype=np.int64)
    episodes = [Episode(Prompt("", ids), ids, ids == 0, text, Ending.EOS, number) for number, text in enumerate(texts)]
    HumanFeedback(path, "rate").submit(episodes)
    taste = ("--taste", "tests.test_page_rehearsal:likes_b", "--preset", "bpref-skip")
    said, _ = run("rehearse", "--invitation", invitations[0], *taste).communicate(timeout=60)
    with Store(path) as store:
        answers = [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]
    assert said == "3 answers were stored.\n"
    assert sorted(answer.outcome for answer in answers) == [Outcome.ANSWERED, Outcome.SKIP, Outcome.SKIP]
    assert {answer.reason for answer in answers if answer.outcome is Outcome.SKIP} == {"nothing to judge"}


def test_an_invitation_that_is_none_says_how_one_looks(capsys):
    done = run("rehearse", "--invitation", "http://127.0.0.1:1/elsewhere", stderr=subprocess.PIPE)
    _, errors = done.communicate(timeout=30)
    assert done.returncode == 1 and "an invitation is a link such as" in errors


def test_a_used_invitation_is_refused_in_words(invitations):
    first = run("rehearse", "--invitation", invitations[0])
    first.communicate(timeout=60)
    second = run("rehearse", "--invitation", invitations[0], stderr=subprocess.PIPE)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1 and "it was used before, or its time is over" in errors


def test_a_screen_is_read_as_it_is_shown():
    page = """<main data-kind="rate"><section class="prompt"><p class="tag">Prompt</p><div class="text">The &lt;b&gt; film</div></section>
    <form id="answer"><input type="hidden" name="lease" value="l"><input type="hidden" name="key" value="k">
    <section class="sheet passage"><div class="text">was &amp; <span class="context">is</span></div></section>
    <button name="choice" value="1">1</button><button name="choice" value="5">5</button><button name="choice" value="abstain">?</button>
    </form><form id="undo"><input type="hidden" name="key" value="other"></form></main>"""
    seen = Seen(page)
    assert (seen.kind, seen.prompt, seen.texts, seen.fields) == ("rate", "The <b> film", ["was & is"], {"lease": "l", "key": "k"})
    showing = as_showing(seen, Person("ann"))
    assert (showing.question.kind, showing.question.scale.low, showing.question.scale.high) == (Kind.RATE, 1, 5)
