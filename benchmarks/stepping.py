"""Time the environment without a model, against Gymnasium's own native vector environment.

CartPole's vector environment is numpy for all rows, as ours is, and its step does about as little. Rewards of ours are constant, tokens
are drawn beforehand, and both are made by `gym.make_vec` and start finished rows themselves.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

import text_env
from benchmarks.measure import Measurement, in_turn, median, ratio_of_medians
from text_env.episode import Episode
from text_env.tokens import Tokens

IntArray = npt.NDArray[np.int64]
TEXT_ENV = "TextGen-v0"
assert TEXT_ENV in gym.registry, f"importing {text_env.__name__} registers the environments"

CYCLES = 10  # episodes per row in one timing
FLAT_STEPS, FLAT_PART = 10_000, 1_000  # steps of a long run; steps compared at its two ends


def constant(episodes: Sequence[Episode]) -> list[float]:
    """Score every episode 0."""
    return [0.0] * len(episodes)


@dataclass(frozen=True)
class Stepping:
    """Hold what is stepped.

    Args:
        tokenizer: name of the tokenizer that decodes responses.
        rows: rows of the vector environments. new_tokens: tokens in a response.
        rounds: how often each timing is taken. seed: decides the actions.
    """

    tokenizer: str
    rows: int
    new_tokens: int
    rounds: int
    seed: int

    def measure_vector_steps(self) -> dict[str, Measurement]:
        """Compare steps a second with CartPole's: with endings, between endings, and with endings spread over all steps."""
        ours, cartpole = self._text_env(), gym.make_vec("CartPole-v1", num_envs=self.rows)
        rng = np.random.default_rng(self.seed)
        num_steps = CYCLES * (self.new_tokens + 1)  # the step after an ending begins the next episode
        plain = draw_actions(ours.unwrapped.tokens, num_steps, self.rows, rng)
        ending = draw_actions(ours.unwrapped.tokens, num_steps, self.rows, rng, end_probability=1 / self.new_tokens)
        pushes = rng.integers(2, size=(num_steps, self.rows))
        between = max(1, self.new_tokens - 1)
        seconds = in_turn(
            {
                "ours": lambda: seconds_per_step(ours, plain),
                "cartpole": lambda: seconds_per_step(cartpole, pushes),
                "between": lambda: seconds_per_step(ours, plain, reset_every=between),
                "spread": lambda: seconds_per_step(ours, ending),
            },
            self.rounds,
        )
        ours.close()
        cartpole.close()
        return {
            "vector_steps_vs_cartpole": ratio_of_medians(seconds["cartpole"], seconds["ours"]),
            "vector_steps_between_endings_vs_cartpole": ratio_of_medians(seconds["cartpole"], seconds["between"]),
            "vector_steps_spread_endings_vs_cartpole": ratio_of_medians(seconds["cartpole"], seconds["spread"]),
            "vector_steps_per_second": median(1 / seconds["ours"], "steps/s"),
            "vector_steps_per_second_cartpole": median(1 / seconds["cartpole"], "steps/s"),
        }

    def measure_single_steps(self) -> dict[str, Measurement]:
        """Count steps a second of the single environment as `gym.make` gives it, decoding included."""
        env: Any = gym.make(TEXT_ENV, tokenizer=self.tokenizer, feedback=constant, max_new_tokens=self.new_tokens)
        actions = draw_actions(env.unwrapped.tokens, CYCLES * self.new_tokens, 1, np.random.default_rng(self.seed))
        seconds = in_turn({"ours": lambda: seconds_per_step(env, actions[:, 0], reset_every=self.new_tokens, is_timed=True)}, self.rounds)
        env.close()
        return {"single_steps_per_second": median(1 / seconds["ours"], "steps/s")}

    def measure_flatness(self) -> dict[str, Measurement]:
        """Compare what a step costs in the last and in the first 1,000 of 10,000 vector steps without a reset."""
        env = self._text_env()
        cycle = self.new_tokens + 1
        actions = draw_actions(env.unwrapped.tokens, cycle, self.rows, np.random.default_rng(self.seed))
        first, last = [], []
        for number in range(self.rounds + 1):
            env.reset(seed=number)
            costs = [_seconds(env, actions) for _ in range(FLAT_STEPS // cycle)]
            if number > 0:  # the first run warms up
                part = max(1, FLAT_PART // cycle)
                first.append(float(np.median(costs[:part])))
                last.append(float(np.median(costs[-part:])))
        env.close()
        return {"step_cost_last_vs_first_of_10000_steps": ratio_of_medians(last, first)}

    def measure_import(self) -> dict[str, Measurement]:
        """Time `import text_env` in fresh interpreters."""
        code = "import time; start = time.perf_counter(); import text_env; print(time.perf_counter() - start)"

        def seconds() -> float:
            return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

        return {"import_text_env_seconds": median(in_turn({"import": seconds}, self.rounds)["import"], "s")}

    def _text_env(self) -> Any:
        return gym.make_vec(TEXT_ENV, num_envs=self.rows, tokenizer=self.tokenizer, feedback=constant, max_new_tokens=self.new_tokens)


def draw_actions(tokens: Tokens, num_steps: int, rows: int, rng: np.random.Generator, end_probability: float = 0.0) -> IntArray:
    """Draw tokens [num_steps, rows], an end token with this probability and else any other."""
    others = np.setdiff1d(np.fromiter(tokens.pieces, dtype=np.int64), tokens.eos_ids)
    actions = rng.choice(others, size=(num_steps, rows))
    actions[rng.random(actions.shape) < end_probability] = tokens.eos_ids[0]
    return actions


def seconds_per_step(env: Any, actions: IntArray, *, reset_every: int | None = None, is_timed: bool = False) -> float:
    """Step through the actions and return the mean seconds of a step.

    Args:
        env: single or vector; it is reset before.
        actions: one entry per step.
        reset_every: steps after which the environment is reset; None = it starts new episodes itself.
        is_timed: count these resets' time too.
    """
    total = 0.0
    part = reset_every or len(actions)
    for number, begin in enumerate(range(0, len(actions), part)):
        start = time.perf_counter()
        env.reset(seed=number)
        if is_timed:
            total += time.perf_counter() - start
        total += _seconds(env, actions[begin : begin + part])
    return total / len(actions)


def _seconds(env: Any, actions: IntArray) -> float:
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    return time.perf_counter() - start
