"""Check `check_agent`: sound agents pass, and each broken one, which differs from a sound one in a line or two, is told what is wrong."""

from __future__ import annotations

import random

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import PPO, CausalPolicy, Decision, Reinforce, ReinforceConfig, TabularPolicy, check_agent
from agents.__main__ import main
from agents.agent_check import CHECKS, AgentError, make_policy
from tests.exact_task import make_env
from tests.test_agents_contracts import AGENTS
from tests.test_learning_exact import tiny_llama
from tests.tiny_sources import Length, make_vec


class Sound:
    """Learn which tokens pay by REINFORCE, rightly; each broken agent below differs from it in one thing."""

    temperature = 1.0

    def __init__(self, vocab_size):
        self.logits = np.linspace(0.0, 1.0, vocab_size)

    def start(self, num_rows, seed=None):
        return np.random.default_rng(5 if seed is None else seed)

    def scores(self, action_mask, num_rows):
        logits = np.broadcast_to(self.logits, (num_rows, len(self.logits)))
        return logits if action_mask is None else np.where(action_mask, logits, -np.inf)

    def act(self, observation, memory, fresh, active, action_mask=None):
        logprobs = normalised(self.scores(action_mask, len(active)))
        tokens = (logprobs / self.temperature + memory.gumbel(size=logprobs.shape)).argmax(axis=1)
        chosen = np.take_along_axis(logprobs, tokens[:, None], axis=1)[:, 0]
        return Decision(np.where(active, tokens, 0), np.where(active, chosen, 0).astype(np.float32))

    def counted(self, rollout):
        return rollout.is_scored

    def update(self, rollout):
        counted = self.counted(rollout)
        if not counted.any():
            return {"skipped": 1.0}
        mean = rollout.scores[counted].mean()
        advantages = np.where(counted, rollout.scores - mean, 0.0)[:, None] * rollout.is_action
        self.step(rollout, advantages, counted)
        return {"score": float(mean)}

    def step(self, rollout, advantages, counted):
        gradient = np.bincount(rollout.actions.ravel(), weights=advantages.ravel(), minlength=len(self.logits))
        self.logits = self.logits + (gradient - advantages.sum() * np.exp(normalised(self.logits))) / counted.sum()


def normalised(logits):
    with np.errstate(invalid="ignore"):
        return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


class NoUpdate:
    start, act = Sound.start, Sound.act


class NoMask(Sound):
    def act(self, observation, memory, fresh, active):
        return super().act(observation, memory, fresh, active)


class PlainTuple(Sound):
    def act(self, *arguments):
        return tuple(super().act(*arguments))


class ShortInts(Sound):
    def act(self, *arguments):
        decision = super().act(*arguments)
        return decision._replace(tokens=decision.tokens.astype(np.int32))


class WritesEverywhere(Sound):
    def act(self, observation, memory, fresh, active, action_mask=None):
        return super().act(observation, memory, fresh, np.ones_like(active), action_mask)


class NaNLogprobs(Sound):
    def act(self, *arguments):
        decision = super().act(*arguments)
        return decision._replace(logprobs=decision.logprobs * np.float32(np.nan))


class Probabilities(Sound):
    def act(self, *arguments):
        decision = super().act(*arguments)
        return decision._replace(logprobs=np.where(decision.logprobs != 0, np.exp(decision.logprobs), 0).astype(np.float32))


class OtherVocabulary(Sound):
    def __init__(self, vocab_size):
        super().__init__(10)
        self.logits = np.arange(10) * 10.0


class GlobalRandom(Sound):
    def start(self, num_rows, seed=None):
        random.random()
        return super().start(num_rows, seed)


class GlobalTorch(Sound):
    def step(self, *arguments):
        torch.rand(1)
        super().step(*arguments)


class SeedIgnored(Sound):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.generator = np.random.default_rng(0)

    def start(self, num_rows, seed=None):
        return self.generator


class EachOneNew(Sound):
    made = 0

    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        EachOneNew.made += 1
        self.logits = np.random.default_rng(EachOneNew.made).normal(size=vocab_size) * 5


class SeedDisturbs(Sound):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.seed = 0

    def start(self, num_rows, seed=None):
        self.seed = self.seed if seed is None else seed + 1
        return np.random.default_rng(self.seed)


class MemoryInAgent(Sound):
    def start(self, num_rows, seed=None):
        self.generator = np.random.default_rng(5 if seed is None else seed)
        return self.generator

    def act(self, observation, memory, *arguments):
        return super().act(observation, self.generator, *arguments)


class ReturnsNothing(Sound):
    def update(self, rollout):
        super().update(rollout)


class ReturnsArrays(Sound):
    def update(self, rollout):
        return {name: np.float32(value) for name, value in super().update(rollout).items()}


class ReturnsInfinity(Sound):
    def update(self, rollout):
        return super().update(rollout) | {"loss": float("inf")}


class ScoreLessPenalty(Sound):
    def update(self, rollout):
        metrics = super().update(rollout)
        return metrics | {"score": metrics.get("score", 0.0) - 0.5}


class ScoreUnnamed(Sound):
    def update(self, rollout):
        return {"mean": super().update(rollout).get("score", 0.0)}


class Raises(Sound):
    def update(self, rollout):
        raise IndexError("index 9 is out of range")


class ChangesRollout(Sound):
    def update(self, rollout):
        rollout.rewards[:] -= 0.1
        return super().update(rollout)


class IgnoresMask(Sound):
    def scores(self, action_mask, num_rows):
        return super().scores(None, num_rows)


class MaskedDrawOnly(Sound):
    def act(self, observation, memory, fresh, active, action_mask=None):
        decision = super().act(observation, memory, fresh, active, action_mask)
        return decision._replace(logprobs=np.where(active, normalised(self.logits)[decision.tokens], 0).astype(np.float32))


class Hot(Sound):
    temperature = 3.0


class NoisyLogprobs(Sound):
    def act(self, observation, memory, fresh, active, action_mask=None):
        decision = super().act(observation, memory, fresh, active, action_mask)
        is_alone = decision.logprobs > -1e-6
        noise = np.where(is_alone, 0, -0.1 * memory.random(len(active)))
        return decision._replace(logprobs=(decision.logprobs + noise).astype(np.float32))


class LetsScoresIn(Sound):
    """Say that it imitates, and learn from scores all the same."""

    policy = None

    def demonstrations(self, env, num_episodes, seed=None):
        raise NotImplementedError


class CountsAbstentions(Sound):
    def counted(self, rollout):
        return np.full(len(rollout), rollout.is_scored.any())


class ReportsWithAbstentions(Sound):
    def update(self, rollout):
        return super().update(rollout) | {"loss": -float(rollout.scores.mean())}


class CountsColumns(Sound):
    def step(self, rollout, advantages, counted):
        super().step(rollout, advantages / rollout.is_action.shape[1], counted)


class ReadsBehindTheEnd(Sound):
    def step(self, rollout, advantages, counted):
        self.logits = self.logits + 0.01 * np.bincount(rollout.tokens[counted].ravel(), minlength=len(self.logits))


class MeanOfNothing(Sound):
    def update(self, rollout):
        return super().update(rollout) | {"score": float(rollout.scores[rollout.is_scored].mean())}


class DriftsAnyway(Sound):
    def update(self, rollout):
        self.logits = self.logits * 0.9
        return super().update(rollout)


class DividesByFewer(Sound):
    def update(self, rollout):
        spread = rollout.scores[rollout.is_scored]
        return super().update(rollout) | ({"spread": float(spread.std(ddof=1))} if len(spread) else {})


class DividesBySpread(Sound):
    def step(self, rollout, advantages, counted):
        spread = rollout.scores[counted].std() if counted.sum() > 1 else 1.0
        with np.errstate(invalid="ignore"):
            super().step(rollout, advantages / spread, counted)


class TakesNaN(Sound):
    def step(self, rollout, advantages, counted):
        super().step(rollout, advantages * np.exp(rollout.logprobs - rollout.logprobs), counted)


class ReturnsNaN(Sound):
    def update(self, rollout):
        return super().update(rollout) | {"loss": float(rollout.logprobs[rollout.is_scored].sum())}


class OldTable(Sound):
    """Remember the logits in the memory, as a cache does, and never ask whether they are still right."""

    def start(self, num_rows, seed=None):
        return np.random.default_rng(5 if seed is None else seed), self.logits

    def act(self, observation, memory, *arguments):
        now, self.logits = self.logits, memory[1]
        decision = super().act(observation, memory[0], *arguments)
        self.logits = now
        return decision


class Hotter(TabularPolicy):
    """Draw at another temperature than it scores at."""

    def act(self, *arguments):
        self.temperature = 2.0
        decision = super().act(*arguments)
        self.temperature = 1.0
        return decision


class UnmaskedEntropy(TabularPolicy):
    def evaluate(self, tokens, prompt_lengths, is_action, masks=None, *arguments, **options):
        rightly = super().evaluate(tokens, prompt_lengths, is_action, masks, *arguments, **options)
        return rightly._replace(entropy=super().evaluate(tokens, prompt_lengths, is_action).entropy)


class UnmaskedDivergence(TabularPolicy):
    def evaluate(self, tokens, prompt_lengths, is_action, masks=None, *arguments, **options):
        rightly = super().evaluate(tokens, prompt_lengths, is_action, masks, *arguments, **options)
        return rightly._replace(kl=super().evaluate(tokens, prompt_lengths, is_action, exact_kl=True).kl)


class ZeroTimesInfinity(TabularPolicy):
    def evaluate(self, tokens, prompt_lengths, is_action, masks=None, *arguments, **options):
        rightly = super().evaluate(tokens, prompt_lengths, is_action, masks, *arguments, **options)
        return rightly if masks is None else rightly._replace(entropy=torch.where(rightly.entropy < 1e-9, torch.nan, rightly.entropy))


class OneRatio(Reinforce):
    """Compare the policy with itself."""

    def update(self, rollout):
        return super().update(rollout) | {"ratio_mean": 1.0}


class StartsAtTwo(Reinforce):
    def update(self, rollout):
        return super().update(rollout) | {"ratio_mean": 2.0}


class OldWeights(Reinforce):
    """Draw from the weights that it began with."""

    def __init__(self, policy):
        super().__init__(policy, ReinforceConfig(learning_rate=0.1))
        self.writer = make_policy()

    def start(self, num_rows, seed=None):
        return self.writer.start(num_rows, seed)

    def act(self, *arguments):
        return self.writer.act(*arguments)


def with_policy(kind):
    """Return what makes REINFORCE on a broken policy, which has everything that a sound one has."""

    def broken():
        made = make_policy()
        made.__class__ = kind
        return Reinforce(made)

    return broken


@pytest.mark.parametrize("kind", AGENTS)
def test_every_agent_of_the_package_passes_every_check(kind):
    assert check_agent(kind) == list(CHECKS)


def test_an_agent_without_a_policy_passes_every_check():
    assert check_agent(Sound) == check_agent(lambda: Sound(4)) == list(CHECKS)


BROKEN = [
    ("protocol", NoUpdate, "NoUpdate", "has no method update: an agent has start, act and update; agents/agent.py says what each is given"),
    ("protocol", NoMask, "NoMask", "cannot be called as act with 5 arguments (too many positional arguments): agents/agent.py names them"),
    ("decision", PlainTuple, "PlainTuple", "returned a tuple from act(): return an agents.Decision(tokens, logprobs)"),
    ("decision", ShortInts, "ShortInts", "returned tokens as int32 of shape (8,): expected a numpy array, int64 of shape (8,)"),
    (
        "decision",
        WritesEverywhere,
        "WritesEverywhere",
        "returned a token or a log-probability in a row that is not active: both must be 0 there",
    ),
    ("decision", NaNLogprobs, "NaNLogprobs", "returned logprobs that are not finite: nan"),
    ("decision", Probabilities, "Probabilities", "reported a log-probability of 0.3849: it is the log of a probability, so at most 0"),
    ("decision", OtherVocabulary, "OtherVocabulary", "chose token 9, but the environment has 4: make the agent with vocab_size=4"),
    (
        "global_random",
        GlobalRandom,
        "GlobalRandom",
        "moved the global random state of random: draw from a generator that start(seed=...) makes",
    ),
    (
        "global_random",
        GlobalTorch,
        "GlobalTorch",
        "moved the global random state of torch: draw from a generator that start(seed=...) makes",
    ),
    (
        "seeds",
        SeedIgnored,
        "SeedIgnored",
        "wrote different tokens with the same seed: draw everything from a generator that start(seed=...) makes",
    ),
    (
        "seeds",
        EachOneNew,
        "EachOneNew",
        "wrote different tokens with the same seed after being made twice: what makes it must make the same agent",
    ),
    (
        "seeds",
        SeedDisturbs,
        "SeedDisturbs",
        "wrote other tokens without a seed after it had been given one: a seed must decide its own memory alone",
    ),
    (
        "side_by_side",
        MemoryInAgent,
        "MemoryInAgent",
        "wrote other tokens while a second rollout went on: keep what a rollout remembers in the memory from start()",
    ),
    ("metrics", ReturnsNothing, "ReturnsNothing", "returned a NoneType from update(): return a dictionary of floats, to be logged"),
    (
        "metrics",
        ReturnsArrays,
        "ReturnsArrays",
        "returned 'score': np.float32(2.875) (float32) from update(): names are strings, values Python floats",
    ),
    (
        "metrics",
        ReturnsInfinity,
        "ReturnsInfinity",
        "returned loss = inf for a rollout: return finite numbers, and leave out what has no value",
    ),
    (
        "metrics",
        ScoreLessPenalty,
        "ScoreLessPenalty",
        "returned a score of 2.375 from update(), expected 2.875: log the mean of rollout.scores where is_scored, as "
        "the feedback gave them",
    ),
    (
        "metrics",
        ScoreUnnamed,
        "ScoreUnnamed",
        "returned no score from update(), expected 2.875: log the mean of rollout.scores where is_scored, as the feedback gave them",
    ),
    (
        "global_random",
        Raises,
        "Raises",
        "raised IndexError: index 9 is out of range in update() on a rollout: it must learn from all that collect returns",
    ),
    ("rollout", ChangesRollout, "ChangesRollout", "changed rollout.rewards in update(): rollouts are shared, so work on a copy"),
    (
        "masks",
        IgnoresMask,
        "IgnoresMask",
        "chose token 3 where the action mask allows only [0]: set the logits of the others to -inf before drawing",
    ),
    (
        "masks",
        MaskedDrawOnly,
        "MaskedDrawOnly",
        "reported a log-probability of -1.955 for the only token that the action mask allows, expected 0: normalise "
        "over the allowed tokens alone",
    ),
    (
        "logprobs",
        Hot,
        "Hot",
        "drew token 0 in a share of 0.300 of 1024 draws at first, but its log-probability says 0.230: report it under "
        "the distribution that was drawn from, temperature and mask included",
    ),
    (
        "logprobs",
        NoisyLogprobs,
        "NoisyLogprobs",
        "reported -1.568 and -1.469 at first for token 0 in the same state: a log-probability depends on the state and the token alone",
    ),
    (
        "abstentions",
        CountsAbstentions,
        "CountsAbstentions",
        "learned different things from a rollout with 8 abstentions and the same without them, and then wrote other "
        "tokens with the same seed: leave episodes where is_scored is False out of the loss and of every baseline",
    ),
    (
        "abstentions",
        LetsScoresIn,
        "LetsScoresIn",
        "learned different things from a rollout and the same without any score, and then wrote other tokens with the same seed: "
        "an agent with a method `demonstrations` imitates whatever it is given, so let no score into the loss",
    ),
    (
        "abstentions",
        ReportsWithAbstentions,
        "ReportsWithAbstentions",
        "reported loss -1.6875 and -3.375 for a rollout with 8 abstentions and the same without them: leave episodes "
        "where is_scored is False out of the loss and of every baseline",
    ),
    (
        "padding",
        CountsColumns,
        "CountsColumns",
        "learned different things from a rollout and the same with two more columns of padding, and then wrote other "
        "tokens with the same seed: count is_action, not columns, and look at no token behind a response",
    ),
    (
        "padding",
        ReadsBehindTheEnd,
        "ReadsBehindTheEnd",
        "learned different things from a rollout and the same with two more columns of padding, and then wrote other "
        "tokens with the same seed: count is_action, not columns, and look at no token behind a response",
    ),
    (
        "no_score",
        MeanOfNothing,
        "MeanOfNothing",
        "returned score = nan for a rollout without any score: return finite numbers, and leave out what has no value",
    ),
    (
        "no_score",
        DriftsAnyway,
        "DriftsAnyway",
        "wrote other tokens with the same seed after update() on a rollout without any score: there is nothing to learn from",
    ),
    (
        "one_score",
        DividesByFewer,
        "DividesByFewer",
        "returned spread = nan for a rollout with one scored episode: return finite numbers, and leave out what has no value",
    ),
    (
        "equal_scores",
        DividesBySpread,
        "DividesBySpread",
        "reports log-probabilities that are not finite after update() on a rollout of equal scores: check the gradient before the step",
    ),
    (
        "not_finite",
        TakesNaN,
        "TakesNaN",
        "reports log-probabilities that are not finite after update() on a rollout in which one log-probability is NaN:"
        " check the gradient before the step",
    ),
    (
        "not_finite",
        ReturnsNaN,
        "ReturnsNaN",
        "returned loss = nan for a rollout in which one log-probability is NaN: raise an error that says so, before the step",
    ),
    (
        "stale_memory",
        OldTable,
        "OldTable",
        "reported -1.081037 with a memory from before an update, and -0.878024 for the same token with a new one: "
        "refuse a memory of another version with a ValueError",
    ),
    (
        "ratio",
        with_policy(Hotter),
        "Reinforce",
        "reported -2.438 at first for a token to which policy.evaluate gives -3.644, a ratio of 0.300 before the first "
        "step, expected 1: act and evaluate must use the same weights, temperature and masks",
    ),
    (
        "policy_masks",
        with_policy(UnmaskedEntropy),
        "Reinforce",
        "has a policy that gives an entropy of 1.369 nats where the masks allow one token, expected 0: evaluate must "
        "take the masks of the rollout into account, and 0 * -inf as 0",
    ),
    (
        "policy_masks",
        with_policy(UnmaskedDivergence),
        "Reinforce",
        "has a policy that gives a divergence of 1.933 nats where the masks allow one token, expected 0: evaluate must "
        "take the masks of the rollout into account, and 0 * -inf as 0",
    ),
    (
        "policy_masks",
        with_policy(ZeroTimesInfinity),
        "Reinforce",
        "has a policy that gives an entropy of nan nats where the masks allow one token, expected 0: evaluate must take"
        " the masks of the rollout into account, and 0 * -inf as 0",
    ),
    (
        "ratio",
        OneRatio,
        "OneRatio",
        "reported a ratio_mean of 1.000 for a rollout whose log-probabilities were lowered by 0.5 nats, expected 1.649:"
        " divide by the probabilities that the rollout records",
    ),
    (
        "ratio",
        StartsAtTwo,
        "StartsAtTwo",
        "reported a ratio_mean of 2.000 for its own rollout, expected 1.000: divide by the probabilities that the rollout records",
    ),
    (
        "ratio",
        OldWeights,
        "OldWeights",
        "reported -2.333 after an update for a token to which policy.evaluate gives -2.699, a ratio of 0.693 before the"
        " first step, expected 1: act and evaluate must use the same weights, temperature and masks",
    ),
]


@pytest.mark.draws_globally
@pytest.mark.parametrize(("check", "make", "name", "message"), BROKEN)
def test_a_broken_agent_is_told_what_it_did_what_was_expected_and_the_way_out(check, make, name, message):
    with pytest.raises(AgentError) as raised:
        check_agent(make)
    assert str(raised.value) == f"agent {name} {message}"
    assert f"check_{check}" in [entry.name for entry in raised.traceback]


def test_every_check_has_a_broken_agent_that_fails_it():
    assert {check for check, *_ in BROKEN} == set(CHECKS)


def test_agents_that_cannot_be_made_are_asked_for_in_a_way_that_works():
    with pytest.raises(AgentError, match=r"agent Sound is made already, but several are needed: .* check_agent\(lambda: Sound\(\.\.\.\)\)"):
        check_agent(Sound(4))

    class Layered(Sound):
        def __init__(self, vocab_size, layers):
            super().__init__(vocab_size)

    with pytest.raises(AgentError, match=r"agent Layered needs layers, which check_agent cannot make: .*lambda: Layered\(\.\.\.\)"):
        check_agent(Layered)
    with pytest.raises(ValueError, match="there is no check 'dance' to skip; the checks are protocol, decision, masks"):
        check_agent(Sound, skip=["dance"])
    with pytest.raises(AgentError, match="agent Reinforce needs policy, which check_agent cannot make"):
        check_agent(Reinforce, make_vec(4, autoreset_mode=gym.vector.AutoresetMode.DISABLED))


def test_an_environment_may_be_given_and_its_vocabulary_is():
    env = make_vec(4, autoreset_mode=gym.vector.AutoresetMode.DISABLED, group_size=2)
    assert check_agent(Sound, env) == list(CHECKS)


def test_a_check_that_is_skipped_is_not_made():
    assert check_agent(ScoreUnnamed, skip=["metrics"]) == [name for name in CHECKS if name != "metrics"]


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
def test_the_command_lists_what_was_passed_and_says_what_was_not(capsys, monkeypatch, tmp_path):
    assert main(["check", "agents.uniform:Uniform"]) == 0
    out = capsys.readouterr().out
    assert out.count("passed") == len(CHECKS) and "a seed decides every token" in " ".join(out.split())
    assert main(["check", "agents.uniform:Uniform", "--skip", "seeds", "masks"]) == 0
    assert capsys.readouterr().out.count("passed") == len(CHECKS) - 2
    (tmp_path / "deaf.py").write_text("class Deaf:\n    start = act = print\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["check", "deaf:Deaf"]) == 1
    assert "error: agent Deaf has no method update: an agent has start, act and update" in capsys.readouterr().err
    assert main(["check", "deaf:Dumb"]) == 1
    assert "module 'deaf' has no 'Dumb'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [Reinforce, PPO])
def test_an_agent_with_a_language_model_keeps_every_promise(kind):
    env = make_env(Length(), num_envs=8, group_size=2)
    assert len(check_agent(lambda: kind(CausalPolicy(tiny_llama(), device="cpu", value_head=True)), env)) == 18
