"""Collect finished episodes from an environment: the loop that rollouts, evaluation and writing share."""

from __future__ import annotations

import math
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from agents.agent import Agent
from agents.learning.one_row import OneRow
from agents.learning.recorder import Recorder
from agents.learning.rollout import Rollout
from text_env.episode import Episode

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

Env = gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any]


def collect(env: Env, agent: Agent, num_episodes: int, seed: int | None = None, refill: float = 0.25) -> Rollout:
    """Start exactly `num_episodes` episodes and finish all of them.

    Stopping at the first ones to *finish* would favour short responses. Rows whose episode is over are parked, cost the policy nothing,
    and are started again a few at a time. Rewards are what `step` paid, so wrappers count; scores are what the feedback said.

    Args:
        env: a vector environment made with `autoreset_mode=DISABLED`, or a single one.
        num_episodes: a multiple of the environment's group size.
        seed: decides the prompts and all tokens. None: environment and agent go on with their own generators.
        refill: share of the rows that must be parked before they are started again; 0 = at once. One prefill of many prompts is cheaper
            than many prefills of one.

    Raises ValueError where the autoreset mode, the tokenizer or the group size does not fit, or the environment is not one of ours.
    """
    rows = _as_rows(env)
    writing = rows.unwrapped.writing
    group_size = int(writing.task.group_size)
    _check_arguments(num_episodes, group_size, refill)
    _check_agent(agent, rows)
    writing.prefixes.park(writing.prefixes.writing)  # what somebody else began is not ours to finish
    recorder = Recorder(num_episodes, rows.num_envs, rows.single_observation_space["input_ids"].shape[0])
    memory = agent.start(rows.num_envs, seed)
    active = np.zeros(rows.num_envs, dtype=bool)
    earlier = list(writing.episodes)
    pending: list[int] = []
    observation: dict[str, npt.NDArray[Any]] = {}
    action_mask: BoolArray | None = None
    while True:
        fresh = _rows_to_start(active, num_episodes - recorder.num_started, refill)
        if fresh.any():
            options = None if fresh.all() else {"reset_mask": fresh}
            observation, info = rows.reset(seed=seed if recorder.num_started == 0 else None, options=options)
            recorder.begin(np.flatnonzero(fresh), observation, info)
            action_mask = info.get("action_mask")
            active |= fresh
        if not active.any():
            break
        decision = agent.act(observation, memory, fresh, active, action_mask)
        observation, rewards, terminated, truncated, info = rows.step(decision.tokens)
        recorder.step(np.flatnonzero(active), decision, action_mask, observation, rewards)
        action_mask = info.get("action_mask")
        over = active & (terminated | truncated)
        if over.any():
            recorder.end(np.flatnonzero(over), observation)
            pending += _judge(recorder, writing, np.flatnonzero(over), earlier)
            cut = over & ~terminated
            if cut.any() and decision.values is not None:
                last = agent.act(observation, memory, np.zeros_like(cut), cut)
                assert last.values is not None
                recorder.bootstrap[recorder.slot[cut]] = last.values[cut]
            recorder.is_truncated[recorder.slot[cut]] = True
            active &= ~over
    if pending:
        _judge_pending(recorder, env, pending)
    rollout = recorder.rollout(group_size, version_of(agent))
    _check_groups(rollout, group_size)
    return rollout


def _rows_to_start(active: BoolArray, num_left: int, refill: float) -> BoolArray:
    """Return the parked rows [N] to start now: none before enough are parked, never more than episodes are left."""
    parked = np.flatnonzero(~active)
    enough = max(1, math.ceil(refill * len(active)))
    start = np.zeros_like(active)
    if num_left > 0 and (len(parked) >= enough or len(parked) == len(active)):
        start[parked[:num_left]] = True
    return start


def _judge(recorder: Recorder, writing: Any, rows: IntArray, earlier: list[Episode | None]) -> list[int]:
    """Record episodes and judgements of rows that ended; return the episodes whose judgement is deferred."""
    pending = []
    for row in rows.tolist():  # one pass per episode, not per step
        slot = int(recorder.slot[row])
        episode = writing.episodes[row]
        if episode is earlier[row] or episode.index != recorder.episode_index[slot]:
            continue  # a wrapper cut it, which the environment does not know: this is an earlier episode of the row
        recorder.episodes[slot] = episode
        recorder.endings[slot] = episode.ending
        if writing.is_deferred and episode.ending is not None:
            pending.append(slot)
        elif writing.judgements[row] is not None:
            recorder.judge(slot, writing.judgements[row], pays=False, move=not writing.judge.pays_at_each_step)
    return pending


def _judge_pending(recorder: Recorder, env: Env, pending: list[int]) -> None:
    """Ask for all deferred judgements in one call, and write each one where its episode is."""
    for layer in _layers(env):
        if isinstance(
            layer, gym.RewardWrapper | gym.vector.VectorRewardWrapper | gym.wrappers.vector.NormalizeReward | gym.wrappers.NormalizeReward
        ):
            raise ValueError(
                f'scoring="deferred" pays no reward at a step, so {type(layer).__name__} has nothing to change: '
                'take the wrapper away or use scoring="immediate"'
            )
    slot_of = {int(recorder.episode_index[slot]): slot for slot in pending}
    for index, judgement in cast(Any, env.unwrapped).score_finished():
        if index in slot_of:
            recorder.judge(slot_of.pop(index), judgement, pays=True, move=True)
    if slot_of:
        raise RuntimeError(f"score_finished() must judge every pending episode; it left out {sorted(slot_of)[:5]}")


def _layers(env: Any) -> list[Any]:
    """Return the environment and everything it wraps, outermost first."""
    layers = [env]
    while layers[-1] is not layers[-1].unwrapped:
        layers.append(layers[-1].env)
    return layers


def _as_rows(env: Env) -> Any:
    """Return a vector environment whose rows wait for us; a single environment becomes one row."""
    if not hasattr(env.unwrapped, "writing"):
        raise ValueError(
            f'collect needs a TextGen environment, got {type(env.unwrapped).__name__}: make it by gym.make("TextGen-v0") or by '
            'gym.make_vec("TextGen-v0", num_envs=..., autoreset_mode=gym.vector.AutoresetMode.DISABLED), without vectorization_mode'
        )
    if not isinstance(env, gym.vector.VectorEnv):
        return OneRow(env)
    mode = env.metadata.get("autoreset_mode")
    if mode != AutoresetMode.DISABLED:
        raise ValueError(
            f"collect starts rows itself, so the environment must not: it was made with autoreset_mode={mode}. "
            f'Write gym.make_vec("{_id(env)}", num_envs={env.num_envs}, autoreset_mode=gym.vector.AutoresetMode.DISABLED, ...)'
        )
    return env


def _id(env: Env) -> str:
    spec = env.unwrapped.spec
    return "TextGen-v0" if spec is None else str(spec.id)


def _check_arguments(num_episodes: int, group_size: int, refill: float) -> None:
    if num_episodes < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    if num_episodes % group_size:
        raise ValueError(f"num_episodes must be a multiple of the environment's group_size {group_size}, got {num_episodes}")
    if not 0 <= refill <= 1:
        raise ValueError(f"refill is a share of the rows between 0 and 1, got {refill}")


def _check_agent(agent: Agent, rows: Any) -> None:
    """Refuse an agent whose ids mean other texts than the environment's, or whose vocabulary has another width."""
    policy = getattr(agent, "policy", None)
    tokens = getattr(policy, "tokens", None)
    if tokens is not None and tokens.fingerprint != rows.unwrapped.tokens.fingerprint:
        raise ValueError(
            f"the policy's tokenizer {tokens.name!r} and the environment's {rows.unwrapped.tokens.name!r} give the same ids other texts: "
            f"make the environment with tokenizer={tokens.name!r}"
        )
    width, num_tokens = getattr(policy, "width", None), int(rows.single_action_space.n)
    if width is not None and width != num_tokens:
        raise ValueError(
            f"the policy chooses among {width} ids, the environment's action space has {num_tokens}: "
            f"make the environment with vocab_size={width}"
        )


def _check_groups(rollout: Rollout, group_size: int) -> None:
    sizes = np.unique(rollout.group, return_counts=True)[1]
    if (sizes != group_size).any():
        raise ValueError(
            f"groups of {group_size} episodes came out with sizes {sorted(set(sizes.tolist()))}, because episodes were started "
            "outside collect: pass a seed to begin a new count"
        )


def version_of(agent: Agent) -> int:
    """Return how many updates an agent's policy has had; 0 for an agent without one."""
    return int(getattr(getattr(agent, "policy", None), "version", 0))
