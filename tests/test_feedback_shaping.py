"""Pay by a potential: the sum, the best policy and the expected gradient stay those of the score. Every response is listed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from agents import Reinforce, ReinforceConfig, collect
from feedback import Shaped, text_feedback
from tests.exact_task import (
    END,
    HORIZON,
    VOCAB_SIZE,
    Script,
    Table,
    all_responses,
    make_env,
    random_logits,
    random_scores,
    table_policy,
    tokenizer,
    with_logprobs,
)
from tests.test_learning_exact import NO_CLIP, expected_step, gradient_of, log_table, mean_score, probabilities_of
from tests.tiny_sources import DISABLED, make, make_vec
from tests.tiny_sources import END as BYTE_END
from text_env.episode import Ending, Episode, Prompt
from text_env.exact.tree import Tree
from text_env.scoring import FeedbackError
from text_env.tokens import load_tokens

WORDS = load_tokens(tokenizer(), eos_ids=[END])
TREE = Tree(VOCAB_SIZE, HORIZON, (END,))


class RandomPotential:
    """Score each prefix by a number of its own, and remember which it was asked about."""

    low, high, unit = -10.0, 10.0, "points"

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, episodes):
        assert all(episode.ending is None for episode in episodes)
        self.asked += [tuple(episode.ids.tolist()) for episode in episodes]
        return [self.of(episode.ids.tolist()) for episode in episodes]

    @staticmethod
    def of(ids):
        return float(np.random.default_rng([7, *ids]).normal())


class NeverTakenBack(Shaped):
    """Shape wrongly: what was paid for an unfinished text is kept at the end, as if a source of whole texts were paid on prefixes."""

    def pay(self, prefixes):
        right = super().pay(prefixes)
        return [
            pay if prefix.ending is None else pay + self.weight * (RandomPotential.of(prefix.ids[:-1].tolist()) - RandomPotential.of([]))
            for pay, prefix in zip(right, prefixes, strict=True)
        ]


def written(kind=Shaped, scores=None, **options):
    """Write every response of the tiny task, paid by a shaped table."""
    responses = all_responses()
    scores = random_scores(responses) if scores is None else scores
    texts = [responses.ids(number) for number in range(len(responses))]
    source = kind(Table(dict(zip(texts, scores, strict=True))), RandomPotential(), tokenizer=WORDS, **options)
    return responses, scores, collect(make_env(source), Script(texts), len(texts), seed=0), source


def test_each_token_is_paid_the_rise_of_the_potential_and_the_last_what_is_missing_to_the_score():
    responses, scores, rollout, _ = written(weight=2.0)
    for row in range(len(responses)):
        ids = list(responses.ids(row))
        rises = [2.0 * (RandomPotential.of(ids[: place + 1]) - RandomPotential.of(ids[:place])) for place in range(len(ids) - 1)]
        np.testing.assert_allclose(rollout.rewards[row, : len(ids)], [*rises, scores[row] - sum(rises)], atol=1e-12)
    np.testing.assert_allclose(rollout.scores, scores, atol=1e-12)
    assert np.abs(rollout.rewards[:, 0]).max() > 0.5, "and not all of it is paid at the end"


def test_the_best_policies_with_and_without_a_price_for_divergence_are_those_of_the_score():
    responses, scores, rollout, _ = written(weight=5.0)
    wrong = written(NeverTakenBack, weight=5.0)[2]
    reference = log_table(np_logits(2)).numpy()[: TREE.num_prefixes]
    true, shaped, moved = (TREE.kl_optimum(reference, TREE.place(responses, each), 0.3) for each in (scores, total(rollout), total(wrong)))
    np.testing.assert_allclose(np.exp(shaped.logprobs), np.exp(true.logprobs), atol=1e-12)
    assert np.abs(np.exp(moved.logprobs) - np.exp(true.logprobs)).max() > 0.1
    assert total(rollout).argmax() == scores.argmax()
    assert total(wrong).argmax() != scores.argmax()


def np_logits(seed):
    import torch

    return torch.as_tensor(random_logits(seed))


def total(rollout):
    return rollout.rewards.sum(1)


@pytest.mark.parametrize(("baseline", "batch_size"), [("none", 1), ("leave_one_out", 2)])
def test_the_mean_step_of_reinforce_is_still_the_exact_gradient_of_the_score(baseline, batch_size):
    logits = random_logits(seed=1)
    config = ReinforceConfig(baseline=baseline, kl_weight=0.0, **NO_CLIP)
    steps = {}
    for kind in (Shaped, NeverTakenBack):
        responses, scores, rollout, _ = written(kind)
        rollout = with_logprobs(rollout, table_policy(logits))
        weights = probabilities_of(logits, responses)
        steps[kind] = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, weights, batch_size)
    exact = gradient_of(mean_score(responses, scores), logits)
    np.testing.assert_allclose(steps[Shaped], exact, atol=1e-12)
    assert np.abs(steps[NeverTakenBack] - exact).max() > 0.05


def test_a_potential_that_equals_the_values_leaves_no_variance_to_the_returns_of_tokens():
    """Each return-to-go is the score less P(s), so with P = V - V(start) its mean at every prefix is V(start)."""
    responses, scores, _, _ = written()
    logits = random_logits(seed=1)
    values = TREE.values(log_table(np_logits(1)).numpy()[: TREE.num_prefixes], TREE.place(responses, scores)).states
    tokens, lengths = TREE.tokens()
    known = {tuple(tokens[node, : lengths[node]].tolist()): float(values[node]) for node in range(TREE.num_nodes)}
    texts = [responses.ids(number) for number in range(len(responses))]

    class Known(RandomPotential):
        def __call__(self, episodes):
            return [known[tuple(episode.ids.tolist())] for episode in episodes]

    rollout = collect(
        make_env(Shaped(Table(dict(zip(texts, scores, strict=True))), Known(), tokenizer=WORDS)), Script(texts), len(texts), seed=0
    )
    weights = probabilities_of(logits, responses)
    to_go = np.cumsum(rollout.rewards[:, ::-1], axis=1)[:, ::-1]
    for prefix in range(TREE.num_prefixes):
        here = (responses.prefixes == prefix) & responses.is_action
        if here.any():
            rows = here.any(1)
            assert np.average(to_go[here], weights=weights[rows]) == pytest.approx(values[0], abs=1e-12)


def test_each_prefix_is_asked_about_once():
    asked = written()[3].potential.source.asked
    assert len(asked) == len(set(asked)) > 1


@text_feedback(low=0)
def vowels(prompt, response):
    """Count the vowels."""
    return float(sum(letter in "aeiou" for letter in response))


@text_feedback
def last_letter(prompt, response):
    """Look at the last letter alone, which is another one at each token."""
    return float(ord(response[-1])) if response else 3.0


def test_responses_that_end_by_an_end_token_a_stop_string_or_the_budget_are_all_paid_their_score():
    source = Shaped(vowels, last_letter, weight=0.1, tokenizer="bytes")
    env = make_vec(4, feedback=source, stop=["xy"], eos_ids=[BYTE_END, ord("!")], max_new_tokens=5, autoreset_mode=DISABLED)
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    returns, endings = np.zeros(4), set()
    for _ in range(200):
        _, rewards, terminated, _, info = env.step(rng.choice([*b"aeixy!", BYTE_END], size=4))
        returns += rewards
        for row in np.flatnonzero(terminated):
            assert returns[row] == pytest.approx(vowels.function("", info["response"][row]), abs=1e-9)
            assert info["score"][row] == pytest.approx(returns[row], abs=1e-9)
            endings.add((info["ending"][row], int(env.unwrapped.episodes[row].ids[-1]) == ord("!")))
        returns[terminated] = 0.0
        if terminated.any():
            env.reset(options={"reset_mask": terminated})
    assert endings == {("eos", True), ("eos", False), ("stop", False), ("length", False)}


def test_a_partners_words_belong_to_the_token_before_them():
    source = Shaped(vowels, last_letter, tokenizer="bytes")
    prompt = Prompt("ab", np.array([97, 98]))

    def written(text, is_action, ending=None):
        return Episode(prompt, np.array(list(text), dtype=np.int64), np.array(is_action), text.decode(), ending)

    own, partner = True, False
    first = written(b"cP", [own, partner])
    second = written(b"cPea", [own, partner, own, partner], Ending.LENGTH)
    assert source.pay([first]) == [ord("P") - 3.0]
    assert source.pay([second]) == [2.0 - (ord("P") - 3.0)]


def test_an_episode_that_is_cut_from_outside_has_been_paid_its_potential_and_has_no_score():
    env = make_vec(1, feedback=Shaped(vowels, last_letter, tokenizer="bytes"), max_episode_steps=2, autoreset_mode=DISABLED)
    env.reset(seed=0)
    paid = [float(env.step(np.array([letter]))[1][0]) for letter in b"ab"]
    assert paid == [ord("a") - 3.0, 1.0]
    assert env.unwrapped.judgements == [None]


@pytest.mark.parametrize(("silent", "advice"), [("source", "only_long abstained on 'a'"), ("potential", "only_long abstained on ''")])
def test_an_abstention_is_an_error_that_says_the_way_out(silent, advice):
    @text_feedback
    def only_long(prompt, response):
        return 1.0 if len(response) > 3 else None

    parts = {"source": vowels, "potential": last_letter, silent: only_long}
    env = make(feedback=Shaped(**parts, tokenizer="bytes"))
    env.reset(seed=0)
    with pytest.raises(FeedbackError, match=rf"Shaped raised ValueError: {advice}.*otherwise\(score\)"):
        env.step(ord("a"))
        env.step(BYTE_END)
    env = make(feedback=Shaped(**(parts | {silent: only_long.otherwise(0.0)}), tokenizer="bytes"))
    env.reset(seed=0)
    env.step(ord("a"))
    assert env.step(BYTE_END)[4]["scored"]


def test_a_tokenizer_that_reads_other_texts_is_an_error_that_shows_both():
    env = make(feedback=Shaped(vowels, last_letter))
    env.reset(seed=0)
    with pytest.raises(FeedbackError, match=r"reads 'a' where tokenizer 'tinylm' reads .*give Shaped the tokenizer of the environment"):
        env.step(ord("a"))


def test_a_shaped_source_can_be_pickled_and_names_its_parts():
    source = Shaped(vowels, vowels, weight=0.5, tokenizer="bytes")
    assert (
        repr(pickle.loads(pickle.dumps(source)))
        == repr(source)
        == ("Shaped(text_feedback(vowels), text_feedback(vowels), weight=0.5, tokenizer='bytes')")
    )


def test_what_cannot_be_paid_is_refused_when_it_is_made():
    class Ranks(Table):
        is_comparative = True

    with pytest.raises(ValueError, match="Ranks compares the members of a batch"):
        Shaped(Ranks({}), vowels)
    with pytest.raises(ValueError, match="Ranks compares the members of a batch"):
        Shaped(vowels, Ranks({}))
    with pytest.raises(ValueError, match="weight must be a finite number, got nan"):
        Shaped(vowels, vowels, weight=float("nan"))
