"""Demonstrate learning from feedback: train a model on sentiment, then show what changed and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.commands.learning_curve import draw_learning_curve
from agents.commands.options import EnvOptions, VectorEnv, parse
from agents.learning.held_out import evaluate
from agents.learning.rollout import Rollout
from agents.learning.run_folder import Run, new_folder
from agents.learning.stopping import Stop
from agents.learning.train import Trained, train
from agents.policy.choice import language_policy
from agents.reinforce import Reinforce, ReinforceConfig
from text_env.rendering import harmless

SHOWN = 8  # responses side by side


@dataclass(frozen=True)
class DemoOptions:
    """Train REINFORCE to continue reviews cheerfully, and show what that changed and what it cost."""

    num_updates: int = 20  # steps of the optimiser
    episodes_per_update: int = 64  # responses per step
    evaluation_episodes: int = 128  # held-out responses, before and after
    minutes: float = 8.5  # no update begins after so much training, however slow the machine
    seed: int = 0  # decides prompts and tokens
    folder: Path | None = None  # of the run; None = a new one below runs/
    config: ReinforceConfig = field(default_factory=ReinforceConfig)
    env: EnvOptions = field(default_factory=EnvOptions)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options: DemoOptions = parse(DemoOptions, arguments, "demo")
    console = Console()
    console.print(
        Text(
            f"Training {options.env.model} by REINFORCE in {options.env.id}: a response is scored by its sentiment, from -1 to 1, "
            "and that number is all that the model is told."
        )
    )
    env, held_out = options.env.make("train"), options.env.make("held_out")
    agent = Reinforce(language_policy(options.env.model, seed=options.seed), options.config)
    run = Run(options.folder or new_folder(agent))
    before, texts_before = _evaluate(held_out, agent, options)
    trained = train(
        env,
        agent,
        options.num_updates,
        options.episodes_per_update,
        evaluate_every=options.num_updates,
        stop=Stop(seconds=60 * options.minutes),
        seed=options.seed,
        folder=run.folder,
    )
    if trained.stopped_by == "interrupted":
        console.print(
            f"interrupted after {trained.num_updates} updates; the last checkpoint is in {run.last}", highlight=False, soft_wrap=True
        )
        return 130
    after, texts_after = _evaluate(held_out, agent, options)
    curve = draw_learning_curve(
        run.folder / "learning_curve.png",
        trained.metrics,
        [(0, before["score"], before["kl_nats_per_response"]), (trained.num_updates, after["score"], after["kl_nats_per_response"])],
        f"{options.env.model} in {options.env.id}, one seed, {options.episodes_per_update} responses an update",
    )
    _show_texts(console, texts_before, texts_after)
    _show_numbers(console, before, after, len(texts_before))
    _show_files(console, run, trained, curve)
    return 0


def _evaluate(env: VectorEnv, agent: Reinforce, options: DemoOptions) -> tuple[dict[str, float], Rollout]:
    """Write to held-out prompts, the same ones and with the same random numbers each time."""
    return evaluate(env, agent, options.evaluation_episodes, seed=options.seed + 1)


def _show_texts(console: Console, before: Rollout, after: Rollout) -> None:
    table = Table(title=f"The first {SHOWN} held-out prompts, before and after", show_lines=True)
    for heading in ("prompt", "before", "after"):
        table.add_column(heading, ratio=1 if heading == "prompt" else 2)
    for row in range(min(SHOWN, len(before))):
        episode = before.episodes[row]
        assert episode is not None
        table.add_row(Text(harmless(episode.prompt.text)), _response(before, row), _response(after, row))
    console.print(table)


def _response(rollout: Rollout, row: int) -> Text:
    score = f"{rollout.scores[row]:+.2f} " if rollout.is_scored[row] else "none "
    return Text.assemble((score, "bold"), harmless(rollout.responses[row].strip()))


def _show_numbers(console: Console, before: dict[str, float], after: dict[str, float], num_episodes: int) -> None:
    """Show what was gained, and what the gain cost."""
    table = Table(title=f"{num_episodes} responses to held-out prompts", caption="± is one standard error")
    for heading in ("", "before", "after", "change"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = (
        ("mean sentiment score", "score", "{:+.3f}"),
        ("KL to the untrained model, nats a response", "kl_nats_per_response", "{:.2f}"),
        ("log-probability under the untrained model, nats a token", "reference_logprob_per_token", "{:.2f}"),
        ("distinct-2 (share of word pairs that differ)", "distinct_2", "{:.3f}"),
        ("responses that end by themselves", "share_ended", "{:.0%}"),
        ("tokens a response", "tokens_per_response", "{:.1f}"),
    )
    for label, name, form in rows:
        shown = [form.format(values[name]) for values in (before, after)]
        if name == "score":
            shown = [f"{text} ± {values['score_standard_error']:.3f}" for text, values in zip(shown, (before, after), strict=True)]
        table.add_row(label, *shown, form.format(after[name] - before[name]))
    one, two = (math.exp(-values["reference_logprob_per_token"]) for values in (before, after))
    table.add_row("perplexity under the untrained model", f"{one:.1f}", f"{two:.1f}", f"{two - one:+.1f}")
    console.print(table)


def _show_files(console: Console, run: Run, trained: Trained, curve: Path) -> None:
    seconds = sum(line["seconds_collecting"] + line["seconds_learning"] for line in trained.metrics)
    lines = (
        f"{trained.num_updates} updates in {seconds / 60:.1f} minutes",
        f"learning curve: {curve}",
        f"checkpoint: {run.last} (in transformers' own format)",
        f'load it: from agents import load; agent = load("{run.last}")',
        f'write with it: python -m agents write --model {run.last} "The best thing about this film"',
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)
