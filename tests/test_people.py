"""Ask people: questions go into a study, answers come back as scores, and silence is no score."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import threading
import time

import gymnasium as gym
import numpy as np
import pytest

from agents import RLOO, CausalPolicy, collect
from feedback import HumanFeedback, text_feedback
from feedback.encoding import LearnedCritique
from feedback.simulated.annotator import Annotator
from feedback.simulated.choices import Thurstone
from feedback.simulated.rating_models import Severity
from feedback.simulated.slips import Coin
from feedback.simulated.study_rater import SimulatedRater
from feedback.study.queueing import Mixing, Queue, Reply
from feedback.study.records import Interface, Kind, Outcome, Passage
from feedback.study.store import Store
from text_env.episode import Ending, Episode, Prompt
from text_env.scoring import FeedbackError, Judge
from text_env.tokens import load_tokens

TINYLM = load_tokens("tinylm")
GOOD, BAD, PLAIN = " wonderful and good", " awful and bad", " long"


def episode(response, prompt="The film was", index=0):
    ids = TINYLM.encode(response)
    return Episode(Prompt(prompt, TINYLM.encode(prompt)), ids, np.ones(len(ids), dtype=bool), response, Ending.LENGTH, index)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


def answer_with(store, replies, name="ann"):
    """Let one person answer what waits, by a function of what they are shown."""
    queue, person = Queue(store, mixing=Mixing(0, 0, 0)), store.enrol(name)
    while (showing := queue.next_for(person, Interface.SIMULATED)) is not None:
        queue.answer(person, showing.lease.id, showing.lease.id, replies(showing))


def rating(showing):
    return Reply(Outcome.ANSWERED, {"step": {GOOD: 5, BAD: 1}.get(showing.passages[0].text, 3)}, seconds=2.0, comment="because")


def test_answers_become_scores_with_who_said_so_and_why(path):
    feedback = HumanFeedback(path, "rate", answers=2)
    tickets = feedback.submit([episode(GOOD), episode(BAD), episode(PLAIN)])
    with Store(path) as store:
        answer_with(store, rating)
        assert feedback.judgements(tickets) == [None] * 3  # a second answer is wanted
        answer_with(store, lambda showing: Reply(Outcome.ANSWERED, {"step": 4}), "bob")
    good, bad, plain = feedback.judgements(tickets)
    assert [judgement.score for judgement in (good, bad, plain)] == [0.75, -0.25, 0.25]
    assert (good.rater, good.critique, good.seconds, good.parts) == ("ann, bob", "because", 2.0, {"answers": 2.0, "spread": 0.25})


@pytest.mark.parametrize("kind", ["binary", "rate", "compare", "rank", "critique"])
def test_a_simulated_person_prefers_the_better_text_in_every_kind(path, kind):
    feedback = HumanFeedback(path, kind, rehearsal=SimulatedRater("feedback.sentiment:Sentiment", "oracle"))
    good, bad, again = Judge(feedback).ask([episode(GOOD), episode(BAD), episode(GOOD, index=2)])
    assert good.score > 0 > bad.score
    assert again.score == good.score  # equal texts are asked about once


def test_an_abstention_and_a_skip_are_no_score(path):
    feedback = HumanFeedback(path, wait=0.0)
    with Store(path) as store:
        tickets = feedback.submit([episode(GOOD), episode(BAD)])
        replies = {GOOD: Reply(Outcome.ABSTAIN), BAD: Reply(Outcome.SKIP, reason="unclear")}
        answer_with(store, lambda showing: replies[showing.passages[0].text])
    abstained, skipped = feedback.judgements(tickets)
    assert abstained.score is None and abstained.rater == "ann"
    assert skipped is None  # somebody else may still answer


def test_nobody_answering_in_time_is_an_abstention_and_no_delay(path):
    began = time.monotonic()
    assert [judgement.score for judgement in HumanFeedback(path, wait=0.2, poll=0.05)([episode(GOOD)])] == [None]
    assert 0.2 <= time.monotonic() - began < 10


def test_nobody_answering_in_time_is_an_error_where_that_was_asked_for(path):
    with pytest.raises(FeedbackError, match=r"nobody answered within 0\.1 seconds about ' wonderful and good'"):
        Judge(HumanFeedback(path, wait=0.1, poll=0.05, on_missing="error")).ask([episode(GOOD)])


def test_what_was_given_up_is_asked_again_and_what_was_answered_is_not(path):
    assert HumanFeedback(path, wait=0.05, poll=0.02)([episode(GOOD)])[0].score is None
    patient = HumanFeedback(path, poll=0.02)
    with Store(path) as store:
        tickets = patient.submit([episode(GOOD)])
        answer_with(store, rating)
        assert patient.judgements(tickets)[0].score == 1.0
        assert patient.submit([episode(GOOD)])[0].questions == tickets[0].questions
        assert Queue(store).next_for(store.enrol("bob"), Interface.SIMULATED) is None


def test_a_person_elsewhere_answers_while_the_source_waits(path):
    feedback = HumanFeedback(path, poll=0.02)
    scores = []
    waiting = threading.Thread(target=lambda: scores.append(feedback([episode(GOOD), episode(BAD)])))
    waiting.start()
    with Store(path) as store:
        until = time.monotonic() + 20
        while waiting.is_alive() and time.monotonic() < until:
            answer_with(store, rating)
            time.sleep(0.02)
    waiting.join(timeout=20)
    assert [judgement.score for judgement in scores[0]] == [1.0, -1.0]


def test_waiting_says_for_what_and_how_to_answer(path, monkeypatch, caplog):
    monkeypatch.setattr("feedback.people.SECONDS_UNTIL_NOTE", 0.0)
    with caplog.at_level(logging.WARNING):
        HumanFeedback(path, wait=0.1, poll=0.02)([episode(GOOD)])
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == f"waiting for people to answer about 1 of 1 texts; they can with: python -m feedback serve --study {path}"


@pytest.mark.parametrize(("size", "num_pairs"), [(1, 0), (2, 1), (3, 3), (7, 7)])
def test_each_response_is_compared_with_its_neighbours_on_a_ring(path, size, num_pairs):
    feedback = HumanFeedback(path, "compare")
    tickets = feedback.submit([episode(f" text {number}") for number in range(size)])
    asked = {name for ticket in tickets for name in ticket.questions}
    assert len(asked) == num_pairs
    assert all(len(ticket.questions) == min(2, size - 1) for ticket in tickets)
    if size == 1:
        assert feedback.judgements(tickets)[0].score is None  # there is nothing to compare it with


def test_responses_to_different_prompts_are_never_compared(path):
    feedback = HumanFeedback(path, "rank")
    tickets = feedback.submit([episode(GOOD), episode(BAD), episode(GOOD, "A dog is"), episode(BAD, "A dog is")])
    assert tickets[0].questions == tickets[1].questions != tickets[2].questions == tickets[3].questions


def test_long_rankings_are_cut_into_parts_that_people_can_do(path):
    feedback = HumanFeedback(path, "rank")
    tickets = feedback.submit([episode(f" text {number}") for number in range(13)])
    with Store(path) as store:
        sizes = [len(standing.question.passages) for standing in store.standings(list({t.questions[0] for t in tickets})).values()]
    assert sorted(sizes) == [4, 4, 5]


def test_marks_on_characters_are_paid_to_the_tokens_that_wrote_them(path):
    feedback = HumanFeedback(path, "span", tokenizer="tinylm")
    written = episode(" wonderful and bad")
    tickets = feedback.submit([written])
    spans = [{"start": 1, "end": 10, "good": True}, {"start": 15, "end": 18, "good": False}]
    with Store(path) as store:
        answer_with(store, lambda showing: Reply(Outcome.ANSWERED, {"spans": spans}))
    (judgement,) = feedback.judgements(tickets)
    assert judgement.score == pytest.approx((9 - 3) / 12)
    ends = TINYLM.characters_after(written.ids)
    starts = [0, *ends[:-1]]
    for start, end, score in zip(starts, ends, judgement.token_scores, strict=True):
        expected = sum(1 / 12 for place in range(start, end) if 1 <= place < 10) - sum(1 / 12 for place in range(start, end) if place >= 15)
        assert score == pytest.approx(expected)


def test_critiques_are_read_by_whatever_encoder_is_named_or_given(path, tmp_path):
    learned = LearnedCritique.fit(["lovely", "lovely words", "ghastly", "ghastly words"] * 4, [0.9, 0.8, -0.9, -0.8] * 4, seed=0)
    learned.save(tmp_path / "critic.npz")
    tickets = HumanFeedback(path, "critique").submit([episode(GOOD)])
    with Store(path) as store:
        answer_with(store, lambda showing: Reply(Outcome.ANSWERED, {"text": "lovely"}))
    expected = learned("lovely").value
    assert expected > 0.2
    for critic in (learned, str(tmp_path / "critic.npz")):
        assert HumanFeedback(path, "critique", critic=critic).judgements(tickets)[0].score == pytest.approx(expected)


def test_cancelled_questions_are_asked_no_more(path):
    feedback = HumanFeedback(path)
    tickets = feedback.submit([episode(GOOD)])
    feedback.cancel(tickets)
    with Store(path) as store:
        assert Queue(store).next_for(store.enrol("ann"), Interface.SIMULATED) is None
    assert feedback.judgements(tickets)[0].score is None


def test_what_was_written_is_kept_with_who_wrote_it(path):
    feedback = HumanFeedback(path)
    (ticket,) = feedback.submit([episode(GOOD)], policy="tinylm", version=7)
    with Store(path) as store:
        passage = store.record(Passage, ticket.passage)
    assert (passage.prompt, passage.text, passage.policy, passage.version) == ("The film was", GOOD, "tinylm", 7)
    assert passage.ids == tuple(TINYLM.encode(GOOD).tolist())


def test_half_a_character_does_not_break_the_study(path):
    feedback = HumanFeedback(path, wait=0.0)
    feedback(
        [
            episode(GOOD),
            Episode(Prompt("", np.zeros(0, dtype=np.int64)), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool), "\ud83d", Ending.EOS),
        ]
    )


def test_a_copy_asks_in_the_same_study(path):
    feedback = HumanFeedback(path, rehearsal=SimulatedRater("feedback.sentiment:Sentiment", "oracle"))
    first = feedback([episode(GOOD)])[0].score
    for other in (copy.deepcopy(feedback), pickle.loads(pickle.dumps(feedback))):
        assert other([episode(GOOD)])[0].score == first
        assert repr(other) == repr(feedback)


def test_people_teach_an_agent_through_the_environment(path):
    @text_feedback(low=0, high=1, unit="a letter")
    def has_an_a(prompt, response):
        return float("a" in response)

    env = gym.make_vec(
        "TextGen-v0",
        num_envs=16,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        prompts=["My pet is"],
        feedback=HumanFeedback(path, "compare", rehearsal=SimulatedRater(has_an_a, "oracle")),
        scoring="deferred",
        group_size=4,
        max_new_tokens=4,
    )
    rollout = collect(env, RLOO(CausalPolicy("tinylm")), 16, seed=0)
    assert rollout.is_scored.any()
    better = [score for score, written in zip(rollout.scores, rollout.episodes, strict=True) if "a" in written.response]
    worse = [score for score, written in zip(rollout.scores, rollout.episodes, strict=True) if "a" not in written.response]
    assert min(better) >= max(worse)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "like"}, "kind must be one of binary, rate, .*, got 'like'"),
        ({"on_missing": "zero"}, "on_missing must be"),
        ({"answers": 1, "least": 2}, "1 <= least <= answers, got 2 and 1"),
        ({"wait": -1.0}, "wait must be at least 0 seconds"),
        ({"steps": 1}, "2 to 101 steps, got 1"),
        ({"poll": 0.0}, "poll must be above 0"),
        ({"answers": 2, "rehearsal": SimulatedRater("feedback.sentiment:Sentiment", "oracle")}, "need as many simulated people, got 1"),
    ],
)
def test_contradictory_settings_are_refused(path, arguments, message):
    with pytest.raises(ValueError, match=message):
        HumanFeedback(path, **arguments)


def test_a_study_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "no_study.db").write_text("these are words " * 100)
    with pytest.raises(FeedbackError, match=r"no_study\.db could not be opened"):
        Judge(HumanFeedback(tmp_path / "no_study.db")).ask([episode(GOOD)])
    with pytest.raises(FeedbackError, match="there is no folder"):
        Judge(HumanFeedback(tmp_path / "nowhere" / "study.db")).ask([episode(GOOD)])


def test_without_the_extra_the_way_to_it_is_said():
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from feedback.study import open_study\n"
        "try: open_study('x.db')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'asking people needs sqlalchemy: pip install "textgen-gym[people]"\n'


def test_a_simulated_rater_says_the_same_whatever_else_is_asked_and_in_whatever_order(path, tmp_path):
    texts = [f" {word} and {other}" for word in ("good", "bad", "fine") for other in ("nice", "poor", "dull")]
    noisy = Annotator(rating=Severity(sd=0.7), slips=(Coin(0.2),))
    one_rater, other_rater = (SimulatedRater("feedback.sentiment:Sentiment", noisy, seed=3) for _ in range(2))
    one = HumanFeedback(path, rehearsal=one_rater)([episode(text) for text in texts])
    other = HumanFeedback(tmp_path / "other.db", rehearsal=other_rater)([episode(text) for text in reversed([*texts, PLAIN])])
    assert [judgement.score for judgement in one] == [judgement.score for judgement in reversed(other[1:])]


def test_noise_makes_a_rater_wrong_as_often_as_a_normal_distribution_says(path):
    half = text_feedback(lambda prompt, response: 0.5, low=-1, high=1)
    texts = [episode(f" {number}") for number in range(400)]
    said = HumanFeedback(path, "binary", rehearsal=SimulatedRater(half, Annotator(choice=Thurstone(0.5))))(texts)
    wrong = sum(judgement.score < 0 for judgement in said)  # P(0.5 + 0.5 z < 0) = P(z < -1) = 0.1587
    assert abs(wrong - 400 * 0.1587) < 4 * np.sqrt(400 * 0.1587 * 0.8413)


def test_a_rater_needs_a_bounded_taste():
    with pytest.raises(ValueError, match="needs a source with a bounded scale, got -inf to inf"):
        SimulatedRater(text_feedback(lambda prompt, response: 1.0))


def test_all_kinds_have_instructions():
    from feedback.people import INSTRUCTIONS

    assert set(INSTRUCTIONS) == set(map(str, Kind))
