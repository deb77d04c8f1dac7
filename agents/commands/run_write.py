"""Show responses of any model or checkpoint to any prompt, with their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.text import Text

import text_env  # noqa: F401  (registers the environments)
from agents.commands.options import PolicyOptions, parse
from agents.learning.best_of_n import BestOf, best_of_n
from agents.learning.collect import collect
from agents.learning.rollout import Rollout
from agents.reinforce import Reinforce
from text_env.rendering import harmless


@dataclass(frozen=True)
class WriteOptions:
    """Write responses and score them."""

    prompt: Annotated[tuple[str, ...], tyro.conf.Positional] = ()  # what to continue; without any, --prompts
    prompts: str | None = None  # a .txt or .jsonl file, or a folder; None = the bundled openings
    model: str = "smollm2"  # "tinylm", "smollm2", a hub id, a folder, a checkpoint, or the folder of a run (its best checkpoint)
    feedback: str = "feedback.sentiment:Sentiment"  # import path of the source that scores
    num: int = 4  # responses to each prompt
    best_of: int = 1  # responses that are written and judged for each one that is shown, the best of them; costs that many times as much
    max_new_tokens: int = 32  # tokens a response may have
    stop: tuple[str, ...] = ()  # texts that end a response
    chat_template: bool = False  # show prompts to the model as chat messages
    num_envs: int = 32  # rows that are written side by side
    seed: int = 0  # decides every token
    json: bool = False  # one JSON object a line instead of a page to read
    policy: PolicyOptions = field(default_factory=PolicyOptions)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options: WriteOptions = parse(WriteOptions, arguments, "write")
    if options.num < 1:
        raise ValueError(f"--num must be at least 1, got {options.num}")
    if options.prompt and options.prompts is not None:
        raise ValueError("give either prompts or --prompts FILE, not both")
    if options.best_of < 1:
        raise ValueError(f"--best-of must be at least 1, got {options.best_of}")
    best = write(options)
    order = np.lexsort((best.rollout.episode_index, best.rollout.prompt_index))
    (_print_json if options.json else _print_page)(best.rollout, order.tolist())
    if options.best_of > 1:
        _print_costs(best, Console(stderr=options.json))
    return 0


def write(options: WriteOptions) -> BestOf:
    """Write `num` responses to every prompt, or `num` times `best_of` and keep the best."""
    model = checkpoint_in(options.model)
    agent = Reinforce(options.policy.make(model, reference=None))
    env = gym.make_vec(
        "TextGen-v0",
        num_envs=options.num_envs,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        tokenizer=model,
        prompts=list(options.prompt) or options.prompts,
        feedback=options.feedback,
        max_new_tokens=options.max_new_tokens,
        stop=options.stop,
        chat_template=options.chat_template,
        group_size=options.num if options.best_of == 1 else options.best_of,
    )
    num_shown = len(env.unwrapped.writing.prefixes.prompts) * options.num  # type: ignore[attr-defined]
    if options.best_of == 1:
        written = collect(env, agent, num_shown, seed=options.seed)
        return BestOf(written, written, 1)  # those without a score are shown too
    return best_of_n(env, agent, num_shown * options.best_of, options.best_of, seed=options.seed)


def checkpoint_in(model: str) -> str:
    """Return the best checkpoint of a run's folder, or its last one; any other name as it is."""
    for name in ("best", "last"):
        folder = Path(model) / "checkpoints" / name
        if folder.is_dir():
            return str(folder)
    return model


def _print_json(rollout: Rollout, order: list[int]) -> None:
    for row in order:
        episode = rollout.episodes[row]
        assert episode is not None
        score = float(rollout.scores[row]) if rollout.is_scored[row] else None
        print(json.dumps({"prompt": episode.prompt.text, "response": episode.response, "ending": episode.ending, "score": score}))


def _print_page(rollout: Rollout, order: list[int]) -> None:
    console = Console()
    shown: int | None = None
    for row in order:
        episode = rollout.episodes[row]
        assert episode is not None
        if rollout.prompt_index[row] != shown:
            shown = int(rollout.prompt_index[row])
            console.print(Text(f"\n{harmless(episode.prompt.text)}", style="bold"))
        score = f"{rollout.scores[row]:+.3f}" if rollout.is_scored[row] else " none "
        console.print(Text.assemble((f"  {score} {episode.ending!s:6}  ", "cyan"), harmless(episode.response)))
    if rollout.is_scored.any():
        console.print(
            f"\nmean score {rollout.scores[rollout.is_scored].mean():+.3f} of {int(rollout.is_scored.sum())} responses", highlight=False
        )


def _print_costs(best: BestOf, console: Console) -> None:
    """Say what it took to find the best responses, and how far the choice may have led away from the model."""
    without = f"; {best.num_without} times none of them had a score" if best.num_without else ""
    console.print(
        f"best of {best.n}: {len(best.written)} responses with {best.num_tokens} tokens were written and the feedback was asked "
        f"{best.num_questions} times to show {len(best.rollout)}{without}; "
        f"at most {best.kl_bound:.2f} nats a response from what the model writes",
        highlight=False,
        soft_wrap=True,
    )
