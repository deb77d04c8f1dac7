"""Check what an agent promises when it learns."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

import text_env  # noqa: F401  (registers the environments)
from agents.agent import Imitator
from agents.checking.subject import (
    SAME_STEP,
    STEP_METRICS,
    Subject,
    before_and_after,
    distance_in_words,
    few_allowed,
    gap_between,
    policy_of,
    scored_only,
)
from agents.learning.rollout import Rollout
from agents.learning.step import as_array
from agents.policy.logprobs import ActionMasks

SHIFT = 0.5  # nats by which recorded log-probabilities are lowered, to see whether an agent compares with them


def check_ratio(subject: Subject) -> None:
    """Check that the ratio of new to old probabilities is 1 before the first step, and not always."""
    for when, agent in before_and_after(subject):
        policy = policy_of(agent)
        if policy is not None:
            rollout = subject.write(agent)
            now = _logprobs(policy, rollout)
            row, column = np.unravel_index(np.abs(now - rollout.logprobs).argmax(), now.shape)
            said, found = float(rollout.logprobs[row, column]), float(now[row, column])
            if not abs(said - found) <= subject.tolerance:
                raise subject.fail(
                    f"reported {said:.3f} {when} for a token to which policy.evaluate gives {found:.3f}, a ratio of "
                    f"{np.exp(found - said):.3f} before the first step, expected 1: act and evaluate must use the same weights, "
                    "temperature and masks"
                )
    lowered = replace(subject.rollout, logprobs=(subject.rollout.logprobs - SHIFT * subject.rollout.is_action).astype(np.float32))
    for rollout, what, expected in (
        (subject.rollout, "its own rollout", 1.0),
        (lowered, f"a rollout whose log-probabilities were lowered by {SHIFT} nats", float(np.exp(SHIFT))),
    ):
        seen = subject.update(subject.make(), rollout, what).get("ratio_mean")
        if seen is not None and abs(seen - expected) > 0.05 * expected:  # a mean over tokens, of which some round worse than others
            raise subject.fail(
                f"reported a ratio_mean of {seen:.3f} for {what}, expected {expected:.3f}: "
                "divide by the probabilities that the rollout records"
            )


def check_metrics(subject: Subject) -> None:
    """Check that an update returns finite floats by name, the raw score among them."""
    rollout = subject.rollout
    metrics = subject.update(subject.make(), rollout, "a rollout")
    if not isinstance(metrics, dict):
        raise subject.fail(f"returned a {type(metrics).__name__} from update(): return a dictionary of floats, to be logged")
    for name, value in metrics.items():
        if not isinstance(name, str) or not isinstance(value, float):
            raise subject.fail(
                f"returned {name!r}: {value!r} ({type(value).__name__}) from update(): names are strings, values Python floats"
            )
    subject.learn(subject.make(), rollout, "a rollout")
    mean = float(rollout.scores[rollout.is_scored].mean()) if rollout.is_scored.any() else None
    if mean is not None and not np.isclose(metrics.get("score", np.nan), mean, rtol=1e-5, atol=1e-7):
        seen = f"a score of {metrics['score']:.6g}" if "score" in metrics else "no score"
        raise subject.fail(
            f"returned {seen} from update(), expected {mean:.6g}: log the mean of rollout.scores where is_scored, as the feedback gave them"
        )


def check_rollout(subject: Subject) -> None:
    """Check that an update leaves the rollout as it was."""
    given = copy.deepcopy(subject.rollout)
    subject.make().update(given)
    for field in fields(Rollout):
        now, then = getattr(given, field.name), getattr(subject.rollout, field.name)
        if isinstance(now, np.ndarray) and not np.array_equal(now, then):
            raise subject.fail(f"changed rollout.{field.name} in update(): rollouts are shared, so work on a copy")


def check_abstentions(subject: Subject) -> None:
    """Check that episodes without a score are left out of the loss and of every baseline; of an imitator, that no score matters."""
    rollout = subject.rollout
    if isinstance(subject.make(), Imitator):
        subject.compare(
            rollout,
            scored_only(rollout, np.zeros(len(rollout), dtype=bool)),
            "a rollout and the same without any score",
            "an agent with a method `demonstrations` imitates whatever it is given, so let no score into the loss",
        )
        return
    is_scored = rollout.is_scored & (np.unique(rollout.group, return_inverse=True)[1] % 2 == 0)
    silent = scored_only(rollout, is_scored)
    subject.compare(
        silent,
        silent.take(np.flatnonzero(is_scored)),
        f"a rollout with {(~is_scored).sum()} abstentions and the same without them",
        "leave episodes where is_scored is False out of the loss and of every baseline",
    )


def check_padding(subject: Subject) -> None:
    """Check that columns of padding, and the tokens in them, change nothing."""
    rollout = subject.rollout
    own = rollout.is_action.shape[1] - np.argmax(rollout.is_action[:, ::-1], axis=1)
    behind = np.arange(rollout.tokens.shape[1]) >= (rollout.prompt_lengths + own)[:, None]
    wide: dict[str, Any] = {
        name: np.pad(array, ((0, 0), (0, 2)))
        for name in ("tokens", "actions", "is_action", "logprobs", "rewards", "values")
        if (array := getattr(rollout, name)) is not None
    }
    wide["tokens"][np.pad(behind, ((0, 0), (0, 2)), constant_values=True)] = rollout.actions.max()
    masks = None if rollout.masks is None else ActionMasks(rollout.masks.table, np.pad(rollout.masks.index, ((0, 0), (0, 2))))
    subject.compare(
        rollout,
        replace(rollout, **wide, masks=masks),
        "a rollout and the same with two more columns of padding",
        "count is_action, not columns, and look at no token behind a response",
    )


def check_no_score(subject: Subject) -> None:
    """Check that a rollout of abstentions gives finite numbers and, except to an imitator, teaches nothing."""
    agent, what = subject.make(), "a rollout without any score"
    subject.learn(agent, scored_only(subject.rollout, np.zeros(len(subject.rollout), dtype=bool)), what)
    if isinstance(agent, Imitator):
        return
    gap = gap_between(subject.write(agent), subject.rollout)
    if gap > SAME_STEP:
        raise subject.fail(f"wrote {distance_in_words(gap)} after update() on {what}: there is nothing to learn from")


def check_one_score(subject: Subject) -> None:
    """Check that a single scored episode gives finite numbers."""
    one = np.arange(len(subject.rollout)) == np.flatnonzero(subject.rollout.is_scored)[:1]
    _check_stays_finite(subject, scored_only(subject.rollout, one), "a rollout with one scored episode")


def check_equal_scores(subject: Subject) -> None:
    """Check that equal scores, whose spread is 0, give finite numbers."""
    rollout = subject.rollout
    last = (
        np.arange(rollout.is_action.shape[1]) == (rollout.is_action.shape[1] - 1 - np.argmax(rollout.is_action[:, ::-1], axis=1))[:, None]
    )
    equal = replace(rollout, scores=rollout.is_scored.astype(float), rewards=(last & rollout.is_scored[:, None]).astype(float))
    _check_stays_finite(subject, equal, "a rollout of equal scores")


def check_not_finite(subject: Subject) -> None:
    """Check that a NaN is refused, or does no harm."""
    rollout = subject.rollout
    logprobs = rollout.logprobs.copy()
    logprobs[0, np.flatnonzero(rollout.is_action[0])[0]] = np.nan
    agent, what = subject.make(), "a rollout in which one log-probability is NaN"
    try:
        metrics = agent.update(copy.deepcopy(replace(rollout, logprobs=logprobs)))
    except Exception:  # a refusal, in whatever words; what it leaves behind is looked at
        metrics = {}
    _check_writes_finite(subject, agent, what)
    for name in STEP_METRICS:
        if not np.isfinite(metrics.get(name, 0.0)):
            raise subject.fail(f"returned {name} = {metrics[name]} for {what}: raise an error that says so, before the step")


def check_stale_memory(subject: Subject) -> None:
    """Check that a memory from before an update is refused, or that the new weights are used with it."""
    env, agent = subject.env, subject.make()
    everyone = np.ones(env.num_envs, dtype=bool)
    observation, info = env.reset(seed=0)
    first = copy.deepcopy(observation)
    memory = agent.start(env.num_envs, 0)
    decision = agent.act(first, memory, everyone, everyone, info.get("action_mask"))
    second, _, terminated, truncated, _ = env.step(decision.tokens)
    going = ~(terminated | truncated)
    if not going.any():
        return
    for _ in range(2):
        subject.update(agent, subject.rollout, "a rollout")
    none, mask = np.zeros_like(everyone), np.repeat(few_allowed(subject, 2)[None], len(everyone), axis=0)
    try:
        stale = agent.act(second, memory, none, going, mask)
    except Exception:  # refused
        return
    row = int(np.flatnonzero(going)[0])
    logprobs = {int(stale.tokens[row]): float(stale.logprobs[row])}
    for seed in range(16):  # until the same token is drawn again
        fresh = agent.start(len(everyone), seed)
        agent.act(first, fresh, everyone, everyone, info.get("action_mask"))
        again = agent.act(second, fresh, none, going, mask)
        expected = float(again.logprobs[row])
        said = logprobs.get(int(again.tokens[row]), expected)
        if abs(said - expected) > SAME_STEP:
            raise subject.fail(
                f"reported {said:.6f} with a memory from before an update, and {expected:.6f} for the same token with a new one: "
                "refuse a memory of another version with a ValueError"
            )


def _logprobs(policy: Any, rollout: Rollout) -> Any:
    with torch.no_grad():
        return as_array(policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks).logprobs)


def _check_stays_finite(subject: Subject, rollout: Rollout, what: str) -> None:
    agent = subject.make()
    subject.learn(agent, rollout, what)
    _check_writes_finite(subject, agent, what)


def _check_writes_finite(subject: Subject, agent: Any, what: str) -> None:
    try:
        logprobs = subject.write(agent).logprobs
    except Exception as error:
        raise subject.fail(f"cannot write after update() on {what}: {type(error).__name__}: {error}") from error
    if not np.isfinite(logprobs).all():
        raise subject.fail(f"reports log-probabilities that are not finite after update() on {what}: check the gradient before the step")
