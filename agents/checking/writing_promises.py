"""Check what an agent promises while it writes."""

from __future__ import annotations

import inspect
import random
from typing import Any

import numpy as np
import torch

import text_env  # noqa: F401  (registers the environments)
from agents.agent import BoolArray, Decision
from agents.checking.subject import NUM_DRAWS, Subject, before_and_after, few_allowed, is_same, policy_of
from agents.learning.step import as_array
from agents.policy.logprobs import ActionMasks

DEVIATIONS = 4.5  # a right agent fails with probability 7e-6 per share, and the draws are seeded


def check_protocol(subject: Subject) -> None:
    """Check that the agent has start, act and update, with the arguments that `collect` passes."""
    agent = subject.make()
    wanted: dict[str, tuple[Any, ...]] = {"start": (1, 0), "act": (0, 0, 0, 0, None), "update": (0,)}
    for name, arguments in wanted.items():
        method = getattr(agent, name, None)
        if not callable(method):
            raise subject.fail(f"has no method {name}: an agent has start, act and update; agents/agent.py says what each is given")
        try:
            inspect.signature(method).bind(*arguments)
        except TypeError as error:
            raise subject.fail(
                f"cannot be called as {name} with {len(arguments)} arguments ({error}): agents/agent.py names them"
            ) from error


def check_decision(subject: Subject) -> None:
    """Check shapes and types of what the agent decides, and that only active rows get a token."""
    observation, _ = subject.start
    num_rows, num_tokens = len(observation["input_ids"]), int(subject.env.single_action_space.n)
    active = np.arange(num_rows) % 2 == 0
    agent = subject.make()
    decision = agent.act(observation, agent.start(num_rows, 0), active, active, None)
    if not isinstance(decision, Decision):
        raise subject.fail(f"returned a {type(decision).__name__} from act(): return an agents.Decision(tokens, logprobs)")
    for name, kinds in (("tokens", ("int64",)), ("logprobs", ("float32", "float64")), ("values", ("float32", "float64"))):
        array = getattr(decision, name)
        if name == "values" and array is None:
            continue
        seen = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        if not isinstance(array, np.ndarray) or array.shape != (num_rows,) or str(array.dtype) not in kinds:
            raise subject.fail(f"returned {name} as {seen}: expected a numpy array, {kinds[0]} of shape ({num_rows},)")
        if not np.isfinite(array).all():
            raise subject.fail(f"returned {name} that are not finite: {array[~np.isfinite(array)][0]}")
    if decision.tokens[~active].any() or decision.logprobs[~active].any():
        raise subject.fail("returned a token or a log-probability in a row that is not active: both must be 0 there")
    if decision.tokens.min() < 0 or decision.tokens.max() >= num_tokens:
        worst = decision.tokens[(decision.tokens < 0) | (decision.tokens >= num_tokens)][0]
        raise subject.fail(f"chose token {worst}, but the environment has {num_tokens}: make the agent with vocab_size={num_tokens}")
    if decision.logprobs.max() > subject.tolerance:
        raise subject.fail(f"reported a log-probability of {decision.logprobs.max():.4g}: it is the log of a probability, so at most 0")


def check_masks(subject: Subject) -> None:
    """Check that only allowed tokens are drawn, and that log-probabilities are those among the allowed."""
    agent = subject.make()
    for size in (1, 2):
        mask = few_allowed(subject, size)
        decision = subject.draw(agent, mask, num_rows=64)
        wrong = decision.tokens[~mask[decision.tokens]]
        if len(wrong):
            raise subject.fail(
                f"chose token {wrong[0]} where the action mask allows only {np.flatnonzero(mask).tolist()}: "
                "set the logits of the others to -inf before drawing"
            )
        if size == 1 and np.abs(decision.logprobs).max() > subject.tolerance:
            raise subject.fail(
                f"reported a log-probability of {decision.logprobs.min():.3f} for the only token that the action mask allows, expected 0: "
                "normalise over the allowed tokens alone"
            )


def check_global_random(subject: Subject) -> None:
    """Check that making, writing and learning leave the global random generators alone."""
    before = _global_random()
    agent = subject.make()
    rollout = subject.write(agent)
    subject.update(agent, rollout, "a rollout")
    after = _global_random()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        raise subject.fail(f"moved the global random state of {', '.join(moved)}: draw from a generator that start(seed=...) makes")


def check_seeds(subject: Subject) -> None:
    """Check that a seed decides every token, and that giving one disturbs nothing else."""
    agent, twin = subject.make(), subject.make()
    first, again, other = subject.write(agent), subject.write(agent), subject.write(twin)
    if not is_same(first, again):
        raise subject.fail("wrote different tokens with the same seed: draw everything from a generator that start(seed=...) makes")
    if not is_same(first, other):
        raise subject.fail("wrote different tokens with the same seed after being made twice: what makes it must make the same agent")
    unseeded = []
    for num_seeded in (0, 0, 1):
        each = subject.make()
        for _ in range(num_seeded):
            subject.write(each)
        subject.env.reset(seed=1)
        unseeded.append(subject.write(each, None))
    if is_same(*unseeded[:2]) and not is_same(*unseeded[1:]):  # what differs anyhow, as from the clock, is not promised to be the same
        raise subject.fail("wrote other tokens without a seed after it had been given one: a seed must decide its own memory alone")


def check_side_by_side(subject: Subject) -> None:
    """Check that two rollouts can go on in turns, since the memory belongs to the caller."""
    num_rows = subject.env.num_envs
    sides = [(seed, np.arange(num_rows) % 2 == seed) for seed in range(min(2, num_rows))]
    together = _write_sides(subject, subject.make(), sides)
    for seed, side in sides:
        alone = _write_sides(subject, subject.make(), [(seed, side)])
        if any((one[side] != other[side]).any() for one, other in zip(alone, together, strict=False)):
            raise subject.fail(
                "wrote other tokens while a second rollout went on: keep what a rollout remembers in the memory from start()"
            )


def check_logprobs(subject: Subject) -> None:
    """Check that tokens are drawn as often as their log-probabilities say."""
    mask = few_allowed(subject, 3)
    for when, agent in before_and_after(subject):
        decision = subject.draw(agent, mask)
        for token in np.unique(decision.tokens).tolist():
            logprobs = decision.logprobs[decision.tokens == token]
            if np.ptp(logprobs) > subject.tolerance:
                raise subject.fail(
                    f"reported {logprobs.min():.3f} and {logprobs.max():.3f} {when} for token {token} in the same state: "
                    "a log-probability depends on the state and the token alone"
                )
            share, said = len(logprobs) / NUM_DRAWS, float(np.exp(logprobs[0]))
            if abs(share - said) > DEVIATIONS * np.sqrt(max(said * (1 - said), 0) / NUM_DRAWS) + 1 / NUM_DRAWS:
                raise subject.fail(
                    f"drew token {token} in a share of {share:.3f} of {NUM_DRAWS} draws {when}, but its log-probability says {said:.3f}: "
                    "report it under the distribution that was drawn from, temperature and mask included"
                )


def check_policy_masks(subject: Subject) -> None:
    """Check that scoring, entropy and divergence count only what the masks allow."""
    agent, rollout = subject.make(), subject.rollout
    policy = policy_of(agent)
    if policy is None:
        return
    chosen, index = np.unique(rollout.actions, return_inverse=True)
    only = np.zeros((len(chosen), int(subject.env.single_action_space.n)), dtype=bool)
    only[np.arange(len(chosen)), chosen] = True  # each action was the only token that was allowed
    masks = ActionMasks(only, index.reshape(rollout.actions.shape))
    has_reference = getattr(policy, "reference_name", "") is not None
    with torch.no_grad():
        now = policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, masks, exact_kl=has_reference)
    for name, tensor in (("a log-probability", now.logprobs), ("an entropy", now.entropy), ("a divergence", now.kl)):
        if tensor is not None:
            values = as_array(tensor)[rollout.is_action]
            worst = values[np.abs(np.nan_to_num(values, nan=np.inf)).argmax()]
            if not abs(worst) <= subject.tolerance:
                raise subject.fail(
                    f"has a policy that gives {name} of {worst:.3f} nats where the masks allow one token, expected 0: "
                    "evaluate must take the masks of the rollout into account, and 0 * -inf as 0"
                )


def _write_sides(subject: Subject, agent: Any, sides: list[tuple[int, BoolArray]]) -> list[Any]:
    """Write with one memory for each side, a seed and its rows [N], in turns; return the tokens of each step."""
    observation, info = subject.env.reset(seed=0)
    memories = [agent.start(len(rows), seed) for seed, rows in sides]
    going = np.logical_or.reduce([rows for _, rows in sides])
    fresh, tokens = going, []
    while going.any():
        mask = info.get("action_mask")
        parts = [
            agent.act(observation, memory, fresh & rows, going & rows, mask) for memory, (_, rows) in zip(memories, sides, strict=True)
        ]
        tokens.append(np.sum([part.tokens for part in parts], axis=0))
        observation, _, terminated, truncated, info = subject.env.step(np.where(going, tokens[-1], subject.start[1].argmax()))
        going, fresh = going & ~(terminated | truncated), np.zeros_like(fresh)
    return tokens


def _global_random() -> dict[str, Any]:
    """Return the state of each global generator, in a form that can be compared."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "random": random.getstate(),
        "numpy": (name, np.asarray(keys).tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
