"""Check an agent as Gymnasium's `check_env` checks an environment: each promise of the protocol, with its own message."""

from __future__ import annotations

import copy
import importlib
import inspect
import random
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

import text_env  # noqa: F401  (registers the environments)
from agents.agent import BoolArray, Decision, Observation
from agents.learning.collect import collect
from agents.learning.rollout import Rollout
from agents.learning.step import as_array
from agents.policy.logprobs import ActionMasks
from agents.policy.tabular import TabularPolicy
from text_env.episode import Episode

VOCAB_SIZE, HORIZON, END = 4, 4, 3  # of the task that agents are checked on unless another is given
NUM_EPISODES = 16  # of a rollout: two rounds of the default task's rows
NUM_DRAWS = 1024  # from one state: a share of one half is known within 0.07 then, at 4.5 standard deviations
DEVIATIONS = 4.5  # a right agent fails with probability 7e-6 per share, and the draws are seeded
SAME_STEP = 2e-6  # nats; float32 rounds log-probabilities to about 1e-7, and the smallest usual learning rate moves them by 1e-5
SHIFT = 0.5  # nats by which recorded log-probabilities are lowered, to see whether an agent compares with them
STEP_METRICS = ("loss", "grad_norm")  # reported of a step, so equal where the steps are


class AgentError(ValueError):
    """Say which promise an agent broke, what was seen, what was expected and the way out."""


def check_agent(agent: Callable[..., Any] | str, env: Any = None, *, skip: Collection[str] = (), tolerance: float = 1e-3) -> list[str]:
    """Check that an agent keeps what the `Agent` protocol promises, and return the names of the checks that it passed.

    Agents are made anew for each check, so give what makes one, not one that is made:

        check_agent(MyAgent)  # gets policy= (a table of logits) or vocab_size= (4), where it asks for one of them
        check_agent(lambda: MyAgent(4, learning_rate=0.1))
        check_agent(lambda: PPO(CausalPolicy("tinylm", value_head=True)), env)

    Where an agent has a `policy` with an `evaluate`, what it reports is also compared with that. An agent that always takes the likeliest
    token draws from no distribution whose log-probabilities it reports, and must `skip=["logprobs"]`. Whether a loss holds a ratio at 1 is
    seen only where `update` returns "ratio_mean".

    Args:
        agent: a class, a function that returns an agent, or the import path of either. Two agents that it makes must be alike.
        env: a vector environment to write in, made with `autoreset_mode=DISABLED`; a task of 4 tokens with known scores if None, in groups
            of 2 and with masks.
        skip: names of checks to leave out, from `CHECKS`.
        tolerance: nats by which two log-probabilities of the same token may differ; a sampler of lower precision needs more.

    Errors: `AgentError` that names the agent and the promise; ValueError for an unknown check.
    """
    unknown = sorted(set(skip) - set(CHECKS))
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r} to skip; the checks are {', '.join(CHECKS)}")
    make = _maker(agent, env)
    subject = Subject(make, make_task() if env is None else env, type(make()).__name__, tolerance)
    chosen = [name for name in CHECKS if name not in skip]
    for name in chosen:
        CHECKS[name](subject)
    return chosen


@dataclass(frozen=True)
class Subject:
    """Hold what every check needs.

    Args:
        make: makes an agent.
        env: to write in.
        name: of the agent's class.
        tolerance: nats between two log-probabilities of the same token.
    """

    make: Callable[[], Any]
    env: Any
    name: str
    tolerance: float

    def fail(self, message: str) -> AgentError:
        """Return the error to raise, with the agent's name in front."""
        return AgentError(f"agent {self.name} {message}")

    @cached_property
    def rollout(self) -> Rollout:
        """Return what a new agent writes."""
        return self.write(self.make())

    @cached_property
    def start(self) -> tuple[Observation, BoolArray]:
        """Return the first observation, and which tokens [V] may be chosen in its first row."""
        observation, info = self.env.reset(seed=0)
        mask = info.get("action_mask")
        num_tokens = int(self.env.single_action_space.n)
        return copy.deepcopy(observation), np.ones(num_tokens, dtype=bool) if mask is None else mask[0].copy()

    def write(self, agent: Any, seed: int | None = 0) -> Rollout:
        """Return a rollout that the agent writes."""
        group_size = int(self.env.unwrapped.writing.task.group_size)
        return collect(self.env, agent, group_size * -(-NUM_EPISODES // group_size), seed=seed)

    def draw(self, agent: Any, mask: BoolArray, num_rows: int = NUM_DRAWS) -> Decision:
        """Return what the agent chooses many times in the first state, where the mask [V] allows it."""
        observation = {name: np.repeat(array[:1], num_rows, axis=0) for name, array in self.start[0].items()}
        everyone = np.ones(num_rows, dtype=bool)
        decision: Decision = agent.act(observation, agent.start(num_rows, 0), everyone, everyone, np.repeat(mask[None], num_rows, axis=0))
        return decision

    def learn(self, agent: Any, rollout: Rollout, what: str) -> dict[str, float]:
        """Let the agent learn, and return what it reports, which must be finite."""
        metrics = self.update(agent, rollout, what)
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise self.fail(f"returned {name} = {value} for {what}: return finite numbers, and leave out what has no value")
        return metrics

    def update(self, agent: Any, rollout: Rollout, what: str) -> dict[str, float]:
        """Let the agent learn, on arrays of its own."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a mean of nothing is reported as the NaN that it gives
                metrics: dict[str, float] = agent.update(copy.deepcopy(rollout))
        except Exception as error:
            raise self.fail(
                f"raised {type(error).__name__}: {error} in update() on {what}: it must learn from all that collect returns"
            ) from error
        return metrics

    def compare(self, one: Rollout, other: Rollout, how: str, advice: str) -> None:
        """Raise an error where two rollouts, that should teach the same, do not."""
        agents = self.make(), self.make()
        for _ in range(2):
            first, second = (self.learn(agent, rollout, how) for agent, rollout in zip(agents, (one, other), strict=True))
            for name in STEP_METRICS:
                if name in first and name in second and not np.isclose(first[name], second[name], rtol=1e-4, atol=1e-7):
                    raise self.fail(f"reported {name} {first[name]:.6g} and {second[name]:.6g} for {how}: {advice}")
        gap = _gap(*(self.write(agent) for agent in agents))
        if gap > SAME_STEP:
            raise self.fail(f"learned different things from {how}, and then wrote {_distance(gap)}: {advice}")


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
        mask = _few(subject, size)
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
    if not _is_same(first, again):
        raise subject.fail("wrote different tokens with the same seed: draw everything from a generator that start(seed=...) makes")
    if not _is_same(first, other):
        raise subject.fail("wrote different tokens with the same seed after being made twice: what makes it must make the same agent")
    unseeded = []
    for num_seeded in (0, 0, 1):
        each = subject.make()
        for _ in range(num_seeded):
            subject.write(each)
        subject.env.reset(seed=1)
        unseeded.append(subject.write(each, None))
    if _is_same(*unseeded[:2]) and not _is_same(*unseeded[1:]):  # what differs anyhow, as from the clock, is not promised to be the same
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
    mask = _few(subject, 3)
    for when, agent in _before_and_after(subject):
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


def check_ratio(subject: Subject) -> None:
    """Check that the ratio of new to old probabilities is 1 before the first step, and not always."""
    for when, agent in _before_and_after(subject):
        policy = _policy(agent)
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


def check_policy_masks(subject: Subject) -> None:
    """Check that scoring, entropy and divergence count only what the masks allow."""
    agent, rollout = subject.make(), subject.rollout
    policy = _policy(agent)
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
    """Check that episodes without a score are left out of the loss and of every baseline."""
    rollout = subject.rollout
    is_scored = rollout.is_scored & (np.unique(rollout.group, return_inverse=True)[1] % 2 == 0)
    silent = _scored_only(rollout, is_scored)
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
    """Check that a rollout of abstentions changes nothing and gives finite numbers."""
    agent, what = subject.make(), "a rollout without any score"
    subject.learn(agent, _scored_only(subject.rollout, np.zeros(len(subject.rollout), dtype=bool)), what)
    gap = _gap(subject.write(agent), subject.rollout)
    if gap > SAME_STEP:
        raise subject.fail(f"wrote {_distance(gap)} after update() on {what}: there is nothing to learn from")


def check_one_score(subject: Subject) -> None:
    """Check that a single scored episode gives finite numbers."""
    one = np.arange(len(subject.rollout)) == np.flatnonzero(subject.rollout.is_scored)[:1]
    _check_stays_finite(subject, _scored_only(subject.rollout, one), "a rollout with one scored episode")


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
    none, mask = np.zeros_like(everyone), np.repeat(_few(subject, 2)[None], len(everyone), axis=0)
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


# In this order, since a later check trusts what an earlier one has found.
CHECKS: dict[str, Callable[[Subject], None]] = {
    "protocol": check_protocol,
    "decision": check_decision,
    "masks": check_masks,
    "global_random": check_global_random,
    "seeds": check_seeds,
    "side_by_side": check_side_by_side,
    "metrics": check_metrics,
    "rollout": check_rollout,
    "logprobs": check_logprobs,
    "ratio": check_ratio,
    "policy_masks": check_policy_masks,
    "abstentions": check_abstentions,
    "padding": check_padding,
    "no_score": check_no_score,
    "one_score": check_one_score,
    "equal_scores": check_equal_scores,
    "not_finite": check_not_finite,
    "stale_memory": check_stale_memory,
}


class Points:
    """Score a response by its ids, so that tokens and their order matter."""

    low, high, unit = 1.0, 5.0, "points"

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return 1 to 5 for each episode."""
        return [float(1 + (episode.ids * np.arange(1, len(episode.ids) + 1)).sum() % 5) for episode in episodes]


def make_task() -> Any:
    """Make the task that agents are checked on: 4 tokens, two prompts of different length, groups of 2, no end token at once."""
    tokenizer = Tokenizer(models.WordLevel({"abcd"[token]: token for token in range(VOCAB_SIZE)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return gym.make_vec(
        "TextGen-v0",
        num_envs=8,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        tokenizer=tokenizer,
        eos_ids=[END],
        prompts=["a b", "b"],
        feedback=Points(),
        max_new_tokens=HORIZON,
        min_new_tokens=1,
        group_size=2,
    )


def make_policy() -> TabularPolicy:
    """Make a policy for that task with random logits, away from its reference."""
    num_rows = 2 * sum(VOCAB_SIZE**length for length in range(HORIZON + 1))
    logits, reference = np.random.default_rng(0).normal(size=(2, num_rows, VOCAB_SIZE))
    policy = TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[(0, 1), (1,)], logits=logits, value_head=True)
    policy.reference = torch.as_tensor(reference)
    return policy


def _maker(agent: Callable[..., Any] | str, env: Any) -> Callable[[], Any]:
    """Return a function without arguments that makes an agent."""
    kind = _found(agent) if isinstance(agent, str) else agent
    if not callable(kind):
        name = type(kind).__name__
        raise AgentError(
            f"agent {name} is made already, but several are needed: give what makes one, as in check_agent(lambda: {name}(...))"
        )
    parameters = inspect.signature(kind).parameters
    name = getattr(kind, "__name__", type(kind).__name__)
    given: dict[str, Callable[[], Any]] = {}
    if "policy" in parameters and env is None:
        given["policy"] = make_policy
    elif "vocab_size" in parameters:
        given["vocab_size"] = lambda: VOCAB_SIZE if env is None else int(env.single_action_space.n)
    needed = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in given
    ]
    if needed:
        raise AgentError(
            f"agent {name} needs {', '.join(needed)}, which check_agent cannot make: "
            f"give a function, as in check_agent(lambda: {name}(...))"
        )
    return lambda: kind(**{argument: value() for argument, value in given.items()})


def _found(name: str) -> Any:
    """Return what an import path names, a class as a class."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f'a name must look like "module:Name", got {name!r}')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no module {error.name!r} (from {name!r}): install it, or put its folder on PYTHONPATH") from error
    if not hasattr(module, attribute):
        raise ValueError(f"module {module_name!r} has no {attribute!r}")
    return getattr(module, attribute)


def _before_and_after(subject: Subject) -> list[tuple[str, Any]]:
    """Return a new agent, and one that has learned, each with a word for when it is looked at."""
    learned = subject.make()
    for _ in range(2):
        subject.update(learned, subject.rollout, "a rollout")
    return [("at first", subject.make()), ("after an update", learned)]


def _few(subject: Subject, size: int) -> BoolArray:
    """Return a mask [V] of a few of the tokens that may be chosen first."""
    allowed = np.flatnonzero(subject.start[1])
    mask = np.zeros(len(subject.start[1]), dtype=bool)
    mask[allowed[np.linspace(0, len(allowed) - 1, size).astype(int)]] = True
    return mask


def _policy(agent: Any) -> Any:
    """Return the agent's policy where it can score actions, else None."""
    policy = getattr(agent, "policy", None)
    return policy if callable(getattr(policy, "evaluate", None)) else None


def _logprobs(policy: Any, rollout: Rollout) -> Any:
    with torch.no_grad():
        return as_array(policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks).logprobs)


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


def _is_same(one: Rollout, other: Rollout) -> bool:
    return one.tokens.shape == other.tokens.shape and np.array_equal(one.tokens, other.tokens)


def _gap(one: Rollout, other: Rollout) -> float:
    """Return by how much two agents differ in what they wrote: infinite where they wrote other tokens."""
    if not _is_same(one, other):
        return float("inf")
    pairs = [(one.logprobs, other.logprobs)] + ([(one.values, other.values)] if one.values is not None and other.values is not None else [])
    return max(float(np.abs(first - second).max()) for first, second in pairs)


def _distance(gap: float) -> str:
    return (
        f"the same tokens with log-probabilities or values up to {gap:.2g} apart" if np.isfinite(gap) else "other tokens with the same seed"
    )


def _scored_only(rollout: Rollout, is_scored: BoolArray) -> Rollout:
    """Return the rollout as if the feedback had abstained from the other episodes."""
    return replace(
        rollout,
        scores=np.where(is_scored, rollout.scores, 0.0),
        rewards=np.where(is_scored[:, None], rollout.rewards, 0.0),
        is_scored=rollout.is_scored & is_scored,
    )


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


def _global_random() -> dict[str, Any]:
    """Return the state of each global generator, in a form that can be compared."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "random": random.getstate(),
        "numpy": (name, np.asarray(keys).tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
