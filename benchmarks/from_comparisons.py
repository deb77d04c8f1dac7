"""Learn from comparisons alone, and say how much of the gain from the true score that is: `python -m benchmarks.from_comparisons`.

Three ways to the same end, on equal responses: the score itself; shares of wins, as an annotator compares the responses to one prompt
while the agent writes them; and a reward model that was fitted to comparisons of what the untrained model writes. All are judged by the
true score on held-out prompts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.measure import Measurement, mean, ratio_of_means, write_json
from benchmarks.worker_processes import one_thread_workers

TASK = "TextGen/Reviews-v0"
GOLD = "feedback.sentiment:Sentiment"
Way = Literal["score", "shares of wins", "reward model"]


@dataclass(frozen=True)
class FromComparisonsOptions:
    """Train by the score and by comparisons; print a table; write JSON."""

    ways: tuple[Way, ...] = ("shares of wins", "reward model")  # beside the score, which all are measured by
    presets: tuple[str, ...] = ("oracle", "vader-human", "crowd-66")  # of simulated annotators
    num_seeds: int = 5  # runs of each
    num_updates: int = 40  # of each run
    rows: int = 64  # responses an update
    group_size: int = 8  # responses to one prompt
    pairs_per_group: int = 28  # that are compared; 28 = all of 8
    num_comparisons: int = 2000  # that a reward model is fitted to
    new_tokens: int = 16  # of a response, at most
    held_out: int = 256  # responses to held-out prompts that each run is judged by
    kl_share: float = 0.1  # weight of the penalty: deviations of the score, among the untrained model's responses, per nat
    jobs: int = 2  # processes, of one thread each
    json: Path | None = None  # where to write the figures


@dataclass(frozen=True)
class Side:
    """Name one run."""

    way: Way
    preset: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Hold what a run gave: held-out true score and divergence, and how many pairs were compared."""

    score: float
    kl: float
    num_comparisons: int


def run_side(side: Side, options: FromComparisonsOptions) -> Outcome:
    """Train once, and judge by the true score."""
    from agents import RLOO, CausalPolicy, RLOOConfig, collect, evaluate

    feedback, spread, asked = _feedback(side, options)
    env = _env(options, feedback, "train", deferred=side.way == "shares of wins")
    policy = CausalPolicy("tinylm", device="cpu", compute_dtype="float32", seed=side.seed)
    config = RLOOConfig(learning_rate=3e-4, kl_weight=options.kl_share * spread, rows_per_backward=options.rows)
    agent = RLOO(policy, config)
    for update in range(options.num_updates):
        agent.update(collect(env, agent, options.rows, seed=int(np.random.SeedSequence((side.seed, update)).generate_state(1)[0])))
    measured, _ = evaluate(_env(options, GOLD, "held_out"), agent, options.held_out)
    return Outcome(measured["score"], measured["kl_nats_per_response"], asked + getattr(feedback, "num_comparisons", 0))


def run_untrained(options: FromComparisonsOptions) -> float:
    """Return the true score of the model as it is."""
    from agents import CausalPolicy, Frozen, evaluate

    policy = CausalPolicy("tinylm", device="cpu", compute_dtype="float32", seed=0)
    return evaluate(_env(options, GOLD, "held_out"), Frozen(policy), options.held_out)[0]["score"]


def run(options: FromComparisonsOptions) -> dict[str, Measurement]:
    """Run everything, and return the figures."""
    sides = list(_sides(options))
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    for number, (side, outcome) in enumerate(zip(sides, _run_all(sides, options), strict=True), 1):
        outcomes.setdefault((side.way, side.preset), []).append(outcome)
        print(f"{number} of {len(sides)}: {side}: {outcome}", file=sys.stderr)
    frozen = run_untrained(options)
    gold = np.array([outcome.score for outcome in outcomes["score", ""]]) - frozen
    figures = {"untrained/score": Measurement(frozen, "compound sentiment", frozen, frozen, 1)}
    for (way, preset), found in outcomes.items():
        name = f"{way}/{preset}" if preset else way
        scores = np.array([outcome.score for outcome in found])
        figures[f"{name}/score"] = mean(scores, "compound sentiment")
        figures[f"{name}/kl"] = mean([outcome.kl for outcome in found], "nats a response")
        figures[f"{name}/share of the gain"] = ratio_of_means(scores - frozen, gold)
        figures[f"{name}/comparisons"] = mean([float(outcome.num_comparisons) for outcome in found], "comparisons")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(FromComparisonsOptions, args=arguments, prog="python -m benchmarks.from_comparisons", description=__doc__)
    console, began = Console(), time.monotonic()
    figures = run(options)
    columns = ("score", "kl", "share of the gain", "comparisons")
    table = Table(
        title=f"held-out true score after {options.num_updates} updates of {options.rows} responses",
        caption=f"mean over {options.num_seeds} seeds (95 % interval); {describe_machine()}; {(time.monotonic() - began) / 60:.1f} min",
    )
    for column in ("learned from", *columns):
        table.add_column(column)
    for name in dict.fromkeys(figure.rpartition("/")[0] for figure in figures):
        table.add_row(name, *(_cell(figures.get(f"{name}/{column}")) for column in columns))
    console.print(table)
    if options.json is not None:
        write_json(figures, options.json)
    return 0


def _feedback(side: Side, options: FromComparisonsOptions) -> tuple[Any, float, int]:
    """Return what a run learns from, the deviation of its scores among the untrained model's responses, and the comparisons it has cost."""
    from feedback import Compared, Sentiment

    if side.way == "score":
        return Sentiment(), _spread(Sentiment(), options), 0
    if side.way == "shares of wins":
        made = Compared(GOLD, side.preset, side.seed, options.pairs_per_group, options.group_size)
        made.is_frozen = True
        spread = _spread(made, options)
        made.is_frozen = False
        return made, spread, 0
    model = _reward_model(side, options)
    return model, _spread(model, options), options.num_comparisons


def _reward_model(side: Side, options: FromComparisonsOptions) -> Any:
    """Fit a reward model to what an annotator says of pairs that the untrained model wrote to the training prompts."""
    from benchmarks.simulated_comparisons import compare_neighbours
    from feedback.learned.evidence import Gathering
    from feedback.reward_model import RewardModel
    from feedback.simulated import preset

    episodes = _untrained(options, "train", 2 * options.num_comparisons, side.seed)
    gathering = Gathering()
    compare_neighbours(gathering, episodes, GOLD, preset(side.preset, side.seed), side.seed)
    model = RewardModel("tinylm", written_with="tinylm")
    model.fit(gathering.evidence())
    return model


def _spread(feedback: Any, options: FromComparisonsOptions) -> float:
    """Return the deviation of a source's scores among responses of the untrained model."""
    from text_env.scoring import Judge

    said = Judge(feedback).ask(_untrained(options, "train", 32 * options.group_size, 10_000))
    return float(np.std([judgement.score for judgement in said if judgement.score is not None]))


def _untrained(options: FromComparisonsOptions, split: str, number: int, seed: int) -> list[Any]:
    from agents import CausalPolicy, Frozen, collect

    env = _env(options, GOLD, split)
    policy = CausalPolicy("tinylm", device="cpu", compute_dtype="float32", seed=seed)
    whole = -(-number // options.group_size) * options.group_size
    return list(collect(env, Frozen(policy), whole, seed=seed).episodes)[:number]


def _env(options: FromComparisonsOptions, feedback: Any, split: str, deferred: bool = False) -> Any:
    return gym.make_vec(
        TASK,
        num_envs=options.rows,
        tokenizer="tinylm",
        max_new_tokens=options.new_tokens,
        feedback=feedback,
        group_size=options.group_size,
        split=split,
        scoring="deferred" if deferred else "immediate",
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
    )


def _sides(options: FromComparisonsOptions) -> Iterator[Side]:
    for seed in range(options.num_seeds):
        yield Side("score", "", seed)
        for way in options.ways:
            yield from (Side(way, preset, seed) for preset in options.presets)


def _run_all(sides: Sequence[Side], options: FromComparisonsOptions) -> Iterator[Outcome]:
    """Run all sides in processes of one thread each. Errors: what a run raises."""
    if options.jobs == 1:
        yield from (run_side(side, options) for side in sides)
        return
    with one_thread_workers(options.jobs) as pool:
        yield from pool.map(partial(run_side, options=options), sides)


def _cell(figure: Measurement | None) -> str:
    if figure is None:
        return ""
    if figure.unit == "comparisons":
        return f"{figure.value:,.0f}"
    return f"{figure.value:.3f}" if figure.n == 1 else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


if __name__ == "__main__":
    import text_env  # noqa: F401  (registers the environments)

    sys.exit(main())
