"""Say between which scores a task lies: of random tokens, an untrained model, the copied prompt, and the reference text.

    python -m benchmarks.task_bounds TextGen/Translate-v0

It knows no task: whatever is registered can be named. The copy and the reference are judged as finished texts, whatever the token budget.
Intervals are Student's over held-out prompts. Left out: other references than the first of each prompt.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import text_env
from agents import Reinforce, Uniform, collect, language_policy
from agents.agent import Agent
from benchmarks.measure import Measurement, mean, write_json
from text_env.episode import Ending, Episode

assert text_env  # registers the tasks


@dataclass(frozen=True)
class BoundsOptions:
    """Measure the floor and the ceiling of a task on held-out prompts."""

    task: tyro.conf.Positional[str]  # id, such as TextGen/Translate-v0
    episodes: int = 200  # held-out prompts; 2 is the least that has an interval
    seed: int = 0  # decides prompts and tokens
    model: str = "tinylm"  # of the untrained model; its tokenizer is the environment's
    options: Annotated[str, tyro.conf.arg(metavar="JSON")] = "{}"  # arguments of the task, such as '{"kind": "dates"}'
    json: Path | None = None  # where to write the figures

    def __post_init__(self) -> None:
        if self.episodes < 2:
            raise ValueError(f"episodes must be at least 2, got {self.episodes}")
        if self.task not in gym.registry:
            known = sorted(name for name in gym.registry if name.startswith("TextGen"))
            raise ValueError(f"there is no task {self.task!r}; there are {', '.join(known)}")


def task_bounds(task: str, num_episodes: int, seed: int = 0, model: str = "tinylm", **options: Any) -> dict[str, Measurement]:
    """Return the mean score of "random", "untrained", "copy" and "reference", each with its interval over prompts.

    Args:
        task: id of a registered environment. num_episodes: held-out prompts, the same for all four.
        model: name of the untrained model, and of the tokenizer where the task has none of its own.
        options: arguments of the task; `split` is "held_out" where it is not given.

    Returns: no "reference" where a prompt has none; no "untrained" where the task brings a tokenizer of its own. Responses
    without a score do not count; a side without any is left out. Copy and reference are absent where the feedback
    pays while the text is written.
    """
    rows = min(num_episodes, 32)
    made = {"split": "held_out", **({"tokenizer": model} if model != "tinylm" else {}), **options}
    env = gym.make_vec(task, num_envs=rows, autoreset_mode=gym.vector.AutoresetMode.DISABLED, **made)
    vocab_size = env.unwrapped.writing.prefixes.tokens.vocab_size  # type: ignore[attr-defined]
    rollout = collect(env, Uniform(vocab_size, seed), num_episodes, seed=seed)
    episodes = [episode for episode in rollout.episodes if episode is not None]
    scores = {"random": rollout.scores[rollout.is_scored]}
    if not _has_own_vocabulary(env):
        untrained: Agent = Reinforce(language_policy(model, device="cpu"))
        rollout = collect(env, untrained, num_episodes, seed=seed)
        scores["untrained"] = rollout.scores[rollout.is_scored]
    judge = env.unwrapped.writing.judge  # type: ignore[attr-defined]
    if not judge.pays_at_each_step:
        texts = {"copy": [episode.prompt.text.strip() for episode in episodes]}
        if all(episode.prompt.references for episode in episodes):
            texts["reference"] = [episode.prompt.references[0] for episode in episodes]
        for side, responses in texts.items():
            said = judge.ask([_finished(episode, text) for episode, text in zip(episodes, responses, strict=True)])
            scores[side] = np.array([one.score for one in said if one.score is not None])
    env.close()
    return {side: mean(values, "score") for side, values in scores.items() if len(values)}


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 0."""
    options = tyro.cli(BoundsOptions, prog="python -m benchmarks.task_bounds", args=list(arguments))
    given = json.loads(options.options)
    if not isinstance(given, dict):
        raise ValueError(f"options must be a JSON object, got {options.options!r}")
    bounds = task_bounds(options.task, options.episodes, options.seed, options.model, **given)
    table = Table(f"{options.task} {options.options}", "mean score", "95 % interval", "prompts", box=None, pad_edge=False)
    for side, one in bounds.items():
        table.add_row(side, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}", str(one.n))
    Console().print(table)
    if options.json is not None:
        write_json(bounds, options.json)
    return 0


def _has_own_vocabulary(env: Any) -> bool:
    """Say whether a task brings a tokenizer object that no model by name has, as the exact tasks do."""
    return not isinstance(env.unwrapped.writing.task.tokenizer, str)


def _finished(episode: Episode, text: str) -> Episode:
    return replace(episode, response=text, ending=Ending.EOS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
