"""How feedback is asked, what is accepted from it, and what it pays."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest

from tests.tiny_sources import (
    DISABLED,
    END,
    NEXT_STEP,
    SAME_STEP,
    Critic,
    Length,
    LengthRank,
    NoOpinionOnShort,
    Vowels,
    make,
    make_vec,
    write,
)
from text_env.episode import Judgement
from text_env.scoring import FeedbackError, Judge


def says(answer):
    """Return a source that gives the same answer whatever it is asked."""

    def source(episodes):
        return answer

    return source


def test_a_score_is_the_reward_of_the_last_token_and_the_others_pay_nothing():
    env = make()
    env.reset(seed=0)
    steps = [env.step(token) for token in [*b"abc", END]]
    assert [reward for _, reward, *_ in steps] == [0.0, 0.0, 0.0, 4.0]
    assert (steps[-1][4]["score"], steps[-1][4]["scored"]) == (4.0, True)
    assert all(type(reward) is float for _, reward, *_ in steps)
    assert env.unwrapped.judgements[0].score == 4.0


def test_feedback_is_asked_once_a_step_about_exactly_the_episodes_that_ended():
    source = Length()
    env = make_vec(4, feedback=source, max_new_tokens=3, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.array([1, END, 1, 1]))
    env.step(np.array([1, 1, END, 1]))
    env.step(np.array([1, 1, 1, END]))
    env.step(np.array([1, 1, 1, 1]))
    assert [[episode.index for episode in call] for call in source.calls] == [[1], [2], [0, 3]]


def test_a_name_is_resolved_when_the_environment_is_made_and_takes_arguments():
    env = make(feedback="tests.tiny_sources:Length")
    assert write(env, "a", end=True)[1] == 2.0
    with pytest.raises(TypeError, match="unexpected keyword"):
        make(feedback="tests.tiny_sources:Length", feedback_kwargs={"size": 3})


@pytest.mark.parametrize(
    ("answer", "score"), [([1], 1.0), ((0.5,), 0.5), (np.array([2.5]), 2.5), ([np.float32(0.5)], 0.5), ([True], 1.0), (iter([3]), 3.0)]
)
def test_any_list_of_numbers_is_an_answer(answer, score):
    reward, info = write(make(feedback=says(answer)), "", end=True)[1::3]
    assert (reward, info["score"]) == (score, score)
    assert type(info["score"]) is float


def test_numbers_of_another_array_library_are_answers():
    torch = pytest.importorskip("torch")
    assert write(make(feedback=says(torch.tensor([0.25]))), "", end=True)[1] == 0.25


NUMBER = "must return a finite number, None (no opinion) or a Judgement, got "
LIST = "must return a list with one answer per episode, in their order: asked about episode 0, it returned "


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([float("nan")], NUMBER + "nan for episode 0: 'hi'"),
        ([float("inf")], NUMBER + "inf for episode 0: 'hi'"),
        ([np.float32("nan")], NUMBER + "np.float32(nan) for episode 0"),
        (["good"], NUMBER + "'good' for episode 0: 'hi'"),
        ([[0.5]], NUMBER + "[0.5] for episode 0"),
        ([np.array([0.5])], NUMBER + "array([0.5]) for episode 0"),
        ([1j], NUMBER + "1j for episode 0"),
        ([{"score": 1}], NUMBER + "{'score': 1} for episode 0"),
        ([], "must return one answer per episode: asked about episode 0 (1), it returned 0"),
        ([1.0, 2.0], "must return one answer per episode: asked about episode 0 (1), it returned 2"),
        (0.5, LIST + "0.5"),
        (None, LIST + "None"),
        ("1", LIST + "'1'"),
        ({0: 1.0}, LIST + "{0: 1.0}"),
        ({1.0}, LIST + "{1.0}"),
        (np.array(1.0), LIST + "array(1.)"),
    ],
)
def test_an_answer_that_is_no_score_is_an_error_that_names_source_episode_and_value(answer, message):
    env = make(feedback=says(answer))
    with pytest.raises(FeedbackError, match=re.escape(f"feedback source {message}")):
        write(env, "hi", end=True)


def raises(episodes):
    raise KeyError("no such word")


def fails_while_listed(episodes):
    yield 1 / 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (raises, "feedback raises raised KeyError: 'no such word' (asked about episode 0)"),
        (fails_while_listed, "feedback fails_while_listed raised ZeroDivisionError: division by zero (asked about episode 0)"),
    ],
)
def test_a_source_that_raises_is_an_error_that_names_it_and_keeps_the_cause(source, message):
    with pytest.raises(FeedbackError, match=re.escape(message)) as caught:
        write(make(feedback=source), "hi", end=True)
    assert caught.value.__cause__ is not None


def test_an_error_about_a_batch_names_its_first_and_last_episode():
    env = make_vec(3, feedback=raises)
    env.reset(seed=0)
    with pytest.raises(FeedbackError, match=r"asked about episodes 0 to 2"):
        env.step(np.full(3, END))


@pytest.mark.parametrize("mode", [DISABLED, NEXT_STEP, SAME_STEP])
def test_after_an_error_of_the_feedback_every_row_must_begin_again(mode):
    answers = iter([[float("nan")], [1.0, 1.0]])
    env = make_vec(2, feedback=lambda episodes: next(answers), autoreset_mode=mode)
    env.reset(seed=0)
    with pytest.raises(FeedbackError):
        env.step(np.array([END, 1]))
    with pytest.raises(gym.error.ResetNeeded, match="the step before failed half-way"):
        env.step(np.array([1, 1]))
    if mode is DISABLED:
        env.reset(options={"reset_mask": np.array([False, True])})
        assert env.unwrapped.writing.prefixes.writing.tolist() == [1]
    env.reset()
    assert env.step(np.array([END, END]))[1].tolist() == [1.0, 1.0]


def test_after_an_error_of_the_feedback_a_single_environment_must_begin_again():
    env = make(feedback=says([None, None]), render_mode="ansi")
    with pytest.raises(FeedbackError):
        write(env, "hi", end=True)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(1)
    env.reset()
    env.step(1)


def test_an_abstention_pays_nothing_and_is_marked():
    _, reward, terminated, truncated, info = write(make(feedback=NoOpinionOnShort()), "a", end=True)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["score"], info["scored"]) == (0.0, False)
    _, reward, terminated, truncated, info = write(make(feedback=NoOpinionOnShort()), "ab", end=True)
    assert (reward, terminated, truncated, info["scored"]) == (1.0, True, False, True)


def test_an_abstention_may_end_the_episode_as_truncated():
    _, reward, terminated, truncated, info = write(make(feedback=NoOpinionOnShort(), on_abstain="truncate"), "a", end=True)
    assert (reward, terminated, truncated, info["scored"], info["ending"]) == (0.0, False, True, False, "eos")


@pytest.mark.parametrize("mode", [DISABLED, NEXT_STEP, SAME_STEP])
def test_only_the_rows_that_abstained_are_truncated(mode):
    env = make_vec(3, feedback=NoOpinionOnShort(), on_abstain="truncate", max_new_tokens=3, max_episode_steps=20, autoreset_mode=mode)
    env.reset(seed=0)
    env.step(np.array([1, 1, 1]))
    _, rewards, terminated, truncated, _ = env.step(np.array([END, 1, 1]))
    assert (rewards.tolist(), terminated.tolist(), truncated.tolist()) == ([0.0] * 3, [False] * 3, [True, False, False])
    _, rewards, terminated, truncated, _ = env.step(np.array([1, 1, 1]))
    assert (rewards.tolist(), terminated.tolist(), truncated.tolist()) == ([0.0, 1.0, 1.0], [False, True, True], [False] * 3)
    if mode is DISABLED:
        assert len(env.unwrapped.writing.prefixes.writing) == 0


def test_a_failing_episode_may_abstain_alone_and_is_counted():
    def picky(episodes):
        if any(episode.response == "b" for episode in episodes):
            raise ValueError("I do not read b")
        return [1.0] * len(episodes)

    env = make_vec(3, feedback=picky, on_error="abstain", autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.array([ord("a"), ord("b"), ord("c")]))
    _, rewards, terminated, _, info = env.step(np.full(3, END))
    assert terminated.all()
    assert rewards.tolist() == [1.0, 0.0, 1.0]
    assert info["scored"].tolist() == [True, False, True]
    assert env.unwrapped.writing.judge.num_errors == 1
    assert "I do not read b" in env.unwrapped.judgements[1].critique


@pytest.mark.parametrize("wrong", [float("nan"), "good"])
def test_a_wrong_value_may_abstain_like_a_failure(wrong):
    def source(episodes):
        return [wrong if episode.index == 0 else 2.0 for episode in episodes]

    env = make_vec(2, feedback=source, on_error="abstain")
    env.reset(seed=0)
    _, rewards, _, _, info = env.step(np.full(2, END))
    assert rewards.tolist() == [0.0, 2.0]
    assert info["scored"].tolist() == [False, True]


def test_token_scores_are_paid_as_their_sum_at_the_end_and_stay_readable():
    env = make(feedback=Critic())
    env.reset(seed=0)
    rewards = [env.step(token)[1] for token in [*b"abc", END]]
    assert rewards == [0.0, 0.0, 0.0, 1.5]
    (judgement,) = env.unwrapped.judgements
    assert judgement.token_scores.tolist() == [0.5, 0.5, 0.5, 0.0]
    assert (judgement.critique, judgement.rater) == ("well", "critic")


def test_token_scores_of_another_length_than_the_response_are_an_error():
    source = says([Judgement(1.0, token_scores=np.array([1.0]))])
    with pytest.raises(FeedbackError, match=r"one token score per token of episode 0: 3 tokens, got shape \(1,\)"):
        write(make(feedback=source), "hi", end=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": float("nan")}, "score must be a finite number or None, got nan"),
        ({"score": 1.0, "token_scores": np.array([0.5])}, "token_scores must sum to the score 1.0, got 0.5"),
        ({"score": None, "token_scores": np.array([0.0])}, "token_scores need a score: an abstention has none"),
    ],
)
def test_a_judgement_that_contradicts_itself_cannot_be_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        Judgement(**arguments)


def test_a_source_that_pays_at_each_step_is_asked_about_every_row_that_writes_and_sums_to_the_score():
    source = Vowels()
    env = make_vec(3, feedback=source, max_new_tokens=3, autoreset_mode=DISABLED)
    env.reset(seed=0)
    paid = [env.step(np.array(tokens)) for tokens in ([*b"axe"], [END, *b"ae"], [0, *b"ia"])]
    assert [rewards.tolist() for _, rewards, *_ in paid] == [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    assert [[prefix.index for prefix in call] for call in source.calls] == [[0, 1, 2], [0, 1, 2], [1, 2]]
    assert [prefix.ending for prefix in source.calls[1]] == ["eos", None, None]
    assert paid[2][4]["score"].tolist() == [0.0, 2.0, 3.0]
    judgements = env.unwrapped.judgements
    assert [judgement.score for judgement in judgements] == [1.0, 2.0, 3.0]
    assert [judgement.token_scores.tolist() for judgement in judgements] == [[1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]


class Potential:
    """Pay the change of a potential with each token, and at the end what is missing to the number of vowels."""

    low, high, unit = 0.0, np.inf, "vowels"

    def pay(self, prefixes):
        return [self.after(prefix) - np.sin(len(prefix.ids) - 1.0) for prefix in prefixes]

    def after(self, prefix):
        return np.sin(float(len(prefix.ids))) if prefix.ending is None else float(sum(letter in "aeiou" for letter in prefix.response))


def test_pay_by_a_potential_sums_to_the_score_of_the_whole_so_that_what_is_best_stays_best():
    rng = np.random.default_rng(0)
    env = make_vec(4, feedback=Potential(), stop=["xx"], max_new_tokens=6, autoreset_mode=DISABLED)
    env.reset(seed=0)
    returns, num_ended = np.zeros(4), 0
    for _ in range(100):
        _, rewards, terminated, _, info = env.step(rng.choice([*b"aeix", END], size=4))
        returns += rewards
        for row in np.flatnonzero(terminated):
            assert returns[row] == pytest.approx(sum(letter in "aeiou" for letter in info["response"][row]), abs=1e-9)
            assert info["score"][row] == pytest.approx(returns[row], abs=1e-9)
        num_ended += int(terminated.sum())
        returns[terminated] = 0.0
        if terminated.any():
            env.reset(options={"reset_mask": terminated})
    assert num_ended > 80


def test_what_was_paid_for_one_episode_is_not_counted_in_the_next():
    env = make(feedback=Vowels())
    assert write(env, "aei", end=True)[4]["score"] == 3.0
    assert write(env, "x", end=True)[4]["score"] == 0.0


def test_a_source_that_pays_at_each_step_is_not_asked_where_no_row_writes():
    source = Vowels()
    env = make_vec(2, feedback=source, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.full(2, END))
    env.step(np.full(2, 1))
    assert len(source.calls) == 1


@pytest.mark.parametrize(
    ("paid", "message"),
    [([], "must return one answer per episode"), ([None], "must return a finite number, got None"), (["a"], "got 'a'"), (1.0, "a list")],
)
def test_wrong_pay_is_an_error_that_names_the_source(paid, message):
    class Payer:
        low, high, unit = 0.0, 1.0, ""

        def pay(self, prefixes):
            return paid

    env = make(feedback=Payer())
    env.reset(seed=0)
    with pytest.raises(FeedbackError, match=f"feedback Payer.*{message}"):
        env.step(1)


def deferred(num_envs=3, **options):
    return make_vec(num_envs, scoring="deferred", autoreset_mode=DISABLED, **options)


def test_deferred_episodes_pay_nothing_until_all_are_judged_in_one_call_in_the_order_of_their_ends():
    source = LengthRank()
    env = deferred(feedback=source)
    env.reset(seed=0)
    env.step(np.array([1, 1, END]))
    _, rewards, terminated, truncated, info = env.step(np.array([END, 1, 1]))
    assert (rewards.tolist(), terminated.tolist(), truncated.any()) == ([0.0] * 3, [True, False, False], False)
    assert info["score_pending"].tolist() == info["_score_pending"].tolist() == [True, False, False]
    assert (info["score"][0], info["scored"][0]) == (0.0, False)
    env.reset(options={"reset_mask": np.array([False, False, True])})
    env.step(np.array([1, 1, 1]))
    env.step(np.array([1, 1, END]))
    assert not source.calls
    scored = env.unwrapped.score_finished()
    assert source.calls == [[2, 0, 3]]
    assert [(index, judgement.score) for index, judgement in scored] == [(2, 0.0), (0, 1.0), (3, 1.0)]
    assert [judgement and judgement.score for judgement in env.unwrapped.judgements] == [1.0, None, 1.0]
    assert env.unwrapped.score_finished() == []
    assert len(source.calls) == 1


def test_pending_episodes_survive_a_failed_call_and_are_forgotten_with_a_new_seed():
    answers = iter([[float("nan")], [1.0]])
    env = deferred(1, feedback=lambda episodes: next(answers))
    env.reset(seed=0)
    env.step(np.array([END]))
    with pytest.raises(FeedbackError):
        env.unwrapped.score_finished()
    assert [judgement.score for _, judgement in env.unwrapped.score_finished()] == [1.0]
    env.reset()
    env.step(np.array([END]))
    env.reset(seed=0)
    assert env.unwrapped.score_finished() == []


def test_a_row_cut_off_by_the_time_limit_is_not_judged_later():
    source = Length()
    env = deferred(2, feedback=source, max_episode_steps=2)
    env.reset(seed=0)
    env.step(np.array([1, END]))
    env.step(np.array([1, 1]))
    assert [index for index, _ in env.unwrapped.score_finished()] == [1]


def test_a_late_judgement_is_not_shown_for_a_later_episode_of_its_row():
    env = deferred(1, max_episode_steps=2)
    env.reset(seed=0)
    env.step(np.array([END]))
    env.reset(options={"reset_mask": np.array([True])})
    env.step(np.array([1]))
    env.step(np.array([1]))
    assert [index for index, _ in env.unwrapped.score_finished()] == [0]
    assert (env.unwrapped.episodes[0].index, env.unwrapped.judgements[0]) == (1, None)


def test_scoring_later_needs_an_environment_that_defers():
    env = make_vec(2)
    with pytest.raises(ValueError, match='make the environment with scoring="deferred"'):
        env.unwrapped.score_finished()


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_deferred_scoring_needs_rows_that_wait(mode):
    with pytest.raises(ValueError, match=r'scoring="deferred" needs autoreset_mode=gym.vector.AutoresetMode.DISABLED, got'):
        make_vec(2, scoring="deferred", autoreset_mode=mode)


@pytest.mark.parametrize("maker", [make, make_vec])
def test_a_source_that_compares_needs_deferred_scoring(maker):
    with pytest.raises(ValueError, match=r'LengthRank compares episodes with each other.*use gym.make_vec with scoring="deferred"'):
        maker(feedback=LengthRank())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedback": None}, "feedback must be a source .* or its import path, got NoneType"),
        ({"feedback": 3}, "feedback must be a source .* or its import path, got int"),
        ({"feedback": Length}, r"feedback must be a source, got the class Length: write Length\(...\), or give its import path"),
        ({"feedback": "tests.tiny_sources"}, 'a name must look like "module:Name", got'),
        ({"feedback": "tests.no_such_module:Length"}, "there is no module 'tests.no_such_module'"),
        ({"feedback": "tests.tiny_sources:NoSuchName"}, "module 'tests.tiny_sources' has no 'NoSuchName'; it has .*Length"),
        (
            {"feedback": lambda prompt, response: 1.0},
            "feedback <lambda> takes 2 arguments, but a source is called with one, .*text_feedback",
        ),
        ({"feedback_kwargs": {"a": 1}}, "feedback_kwargs go with a feedback given by name; this one is an object already"),
        ({"on_error": "ignore"}, 'on_error must be "raise" or "abstain", got \'ignore\''),
        ({"on_abstain": "ignore"}, 'on_abstain must be "zero" or "truncate", got \'ignore\''),
        ({"feedback": Vowels(), "on_error": "abstain"}, 'on_error="abstain" needs a source that judges finished responses'),
        ({"feedback": Vowels(), "on_abstain": "truncate"}, 'Vowels pays at each step, so it cannot abstain: drop on_abstain="truncate"'),
    ],
)
@pytest.mark.parametrize("maker", [make, make_vec])
def test_feedback_that_cannot_work_is_refused_when_the_environment_is_made(maker, options, message):
    with pytest.raises(ValueError, match=message):
        maker(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedback": Vowels()}, 'Vowels pays at each step, so it cannot be asked later: drop scoring="deferred"'),
        ({"on_abstain": "truncate"}, 'on_abstain="truncate" needs the answer at once: drop it, or scoring="deferred"'),
        ({"scoring": "later"}, 'scoring must be "immediate" or "deferred", got \'later\''),
    ],
)
def test_deferred_scoring_refuses_what_needs_the_answer_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        make_vec(**{"scoring": "deferred", "autoreset_mode": DISABLED, **options})


def test_a_judge_without_episodes_asks_nobody():
    source = Length()
    assert Judge(source).ask([]) == []
    assert not source.calls


def test_the_default_feedback_is_the_sentiment_of_the_response():
    env = gym.make("TextGen-v0", prompts=["The soup was"])
    env.reset(seed=0)
    tokens = env.unwrapped.tokens
    for token in tokens.encode(" wonderful"):
        env.step(token)
    assert env.step(tokens.eos_ids[0])[1] > 0.3
