"""Fine-tune a model on references from the command line, for reinforcement learning to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from rich.console import Console

from agents.commands.options import EnvOptions
from agents.commands.run_train import TrainOptions, read_options, report, run
from agents.learning.run_folder import Run

GENERAL = "TextGen-v0"  # the environment that prompts of any kind can be given to
RIGHT = "feedback.exact_match:ExactMatch"  # judges what is written to them, where nothing else is asked for

Config = TypeVar("Config")


@dataclass(frozen=True)
class SuperviseOptions(TrainOptions[Config]):
    """Fine-tune a model on the references of an environment's prompts: the first of the three steps of RLHF.

    Prompts of your own come from a .jsonl file of lines {"prompt": ..., "references": [...]}: --prompts FILE --held-out-fraction 0.1.
    Held-out responses are judged as in training by the environment's feedback; in TextGen-v0, unless another is named, by whether they are
    one of the references. The best checkpoint is the one that finds the held-out references the least unlikely.
    """

    agent: str = "agents.supervised:Supervised"  # import path of the agent's class, which imitates
    env: EnvOptions = field(default_factory=lambda: EnvOptions(id=GENERAL))


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = read_options(arguments, SuperviseOptions, "supervise")
    if options.env.id == GENERAL and options.env.feedback is None:
        options = replace(options, env=replace(options.env, feedback=RIGHT))
    trained = run(options)
    best = "" if trained.best_score is None else f", references at best {-trained.best_score:.3f} nats a token"
    status = report(trained, "supervise", best)
    if status == 0 and trained.folder is not None:
        kept = Run(trained.folder)
        model = kept.best if kept.best.exists() else kept.last
        Console(stderr=True).print(f"go on by its score with: python -m agents train --model {model}", highlight=False, soft_wrap=True)
    return status
