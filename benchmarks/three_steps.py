"""Take the three steps of RLHF in one command, and say what each has brought: `python -m benchmarks.three_steps`.

1. Supervision: the model is fine-tuned on the references of an environment's prompts.
2. Reward model: simulated people compare pairs of its responses, and a reward model on its own trunk is fitted to what they say.
3. Reinforcement learning: the model is trained by that reward model's scores, and held to the supervised model by the penalty.

The environment's own feedback is the true score. People judge by it, with errors, and each step is measured by it on held-out prompts;
nothing is trained on it. Ouyang et al. 2022 (arXiv:2203.02155). Left out: pretraining data mixed into the last step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.measure import Measurement, mean, write_json
from text_env.names import named_values


@dataclass(frozen=True)
class ThreeStepsOptions:
    """Supervise, fit a reward model, train by it; print a table; write JSON."""

    env_id: str = "benchmarks.phrases:Benchmark/Phrases-v0"  # whose prompts have references and whose feedback is the true score
    env_options: tuple[str, ...] = ()  # arguments of the environment as NAME=VALUE
    model: str = "tinylm"  # that all begins with
    supervised_updates: int = 40  # of step 1
    supervised_learning_rate: float = 1e-3  # of step 1
    annotator: str = "expert-81"  # preset of the simulated people of step 2
    num_comparisons: int = 1000  # pairs that are compared in step 2
    asked_twice: float = 0.2  # share of the pairs that a second person compares too, from which their agreement is known
    updates: int = 40  # of step 3
    learning_rate: float = 3e-4  # of step 3
    kl_share: float = 0.3  # weight of the penalty in step 3: deviations of the reward model's score per nat
    rows: int = 64  # references or responses an update
    held_out: int = 256  # references and responses that each step is measured on
    seed: int = 0  # decides everything that is drawn
    folder: Path | None = None  # holds supervised/, reward/ and trained/; None = a new one below runs/
    json: Path | None = None  # where to write the figures

    def env(self, split: str, feedback: Any = None, group_size: int = 1) -> Any:
        """Make the environment; feedback None = its own, the true score."""
        judged = {} if feedback is None else {"feedback": feedback}
        return gym.make_vec(
            self.env_id,
            num_envs=self.rows,
            autoreset_mode=gym.vector.AutoresetMode.DISABLED,
            tokenizer=self.model,
            split=split,
            group_size=group_size,
            **named_values(self.env_options),
            **judged,
        )

    def policy(self, model: str) -> Any:
        """Return a model as a policy whose reference is itself as it is now."""
        from agents import language_policy

        return language_policy(model, device="cpu", compute_dtype="float32", seed=self.seed)


def supervise(options: ThreeStepsOptions, folder: Path) -> Path:
    """Take the first step, and return the checkpoint that finds held-out references likeliest."""
    from agents import Supervised, SupervisedConfig, train

    config = SupervisedConfig(learning_rate=options.supervised_learning_rate, rows_per_backward=options.rows)
    agent = Supervised(options.policy(options.model), config)
    train(
        options.env("train"),
        agent,
        options.supervised_updates,
        options.rows,
        evaluation_env=options.env("held_out"),
        seed=options.seed,
        folder=folder,
        show=False,
    )
    best = folder / "checkpoints" / "best"
    if not best.exists():
        raise RuntimeError(f"no update made held-out references likelier than {options.model} finds them: see {folder / 'metrics.jsonl'}")
    return best


def fit_reward_model(options: ThreeStepsOptions, supervised: Path) -> tuple[Any, Any]:
    """Take the second step, and return the reward model with the report of its fit."""
    from agents import Frozen, collect
    from benchmarks.simulated_comparisons import compare_neighbours
    from feedback.learned.evidence import Gathering
    from feedback.reward_model import RewardModel
    from feedback.simulated import preset

    env = options.env("train", group_size=2)
    true_score = env.unwrapped.writing.judge.source
    written = collect(env, Frozen(options.policy(str(supervised))), 2 * options.num_comparisons, seed=options.seed)
    episodes = [each for each in written.episodes if each is not None]  # all of them; neighbours answer one prompt
    gathering, twice = Gathering(), 2 * round(options.asked_twice * options.num_comparisons)
    for person, asked in (("first", episodes), ("second", episodes[:twice])):
        compare_neighbours(gathering, asked, true_score, preset(options.annotator, options.seed, person), options.seed)
    model = RewardModel(str(supervised), written_with=str(supervised))
    return model, model.fit(gathering.evidence())


def reinforce(options: ThreeStepsOptions, supervised: Path, reward_model: Any, spread: float, folder: Path) -> Any:
    """Take the third step, and return the agent.

    Args:
        spread: deviation of the reward model's scores, by which the penalty is set.
    """
    from agents import RLOO, RLOOConfig, train

    config = RLOOConfig(learning_rate=options.learning_rate, kl_weight=options.kl_share * spread, rows_per_backward=options.rows)
    agent = RLOO(options.policy(str(supervised)), config)
    env = options.env("train", reward_model)
    train(env, agent, options.updates, options.rows, evaluate_every=options.updates, seed=options.seed, folder=folder, show=False)
    return agent


def measure(options: ThreeStepsOptions, name: str, agent: Any) -> dict[str, Measurement]:
    """Measure an agent on held-out prompts, by the true score and by the references."""
    from agents import evaluate, reference_nll

    env = options.env("held_out")
    measured, rollout = evaluate(env, agent, options.held_out)
    once = {
        "nll": (reference_nll(agent.policy, env, options.held_out)["nll_nats_per_token"], "nats a token of a reference"),
        "kl": (measured["kl_nats_per_response"], "nats a response, to the model that the step began with"),
        "ended": (measured["share_ended"], "share"),
        "different": (float(len(set(rollout.responses))), "different responses"),
    }
    scores = rollout.scores[rollout.is_scored]
    return {f"{name}/score": mean(scores, getattr(env.unwrapped.writing.judge.source, "unit", "points"))} | {
        f"{name}/{figure}": Measurement(value, unit, value, value, len(rollout)) for figure, (value, unit) in once.items()
    }


def run(options: ThreeStepsOptions, folder: Path) -> dict[str, Measurement]:
    """Take all steps, and return what was measured after each."""
    from agents import Frozen, load
    from feedback.aggregation.pair_agreement import agreement_ceiling

    seconds, figures = [time.monotonic()], measure(options, "untrained", Frozen(options.policy(options.model)))
    supervised = supervise(options, folder / "supervised")
    figures |= measure(options, "supervised", load(supervised, reference=options.model, device="cpu", compute_dtype="float32"))
    seconds.append(time.monotonic())
    reward_model, report = fit_reward_model(options, supervised)
    reward_model.save(folder / "reward")
    accuracy, agreement = report.calibration.accuracy, report.ceiling
    figures["reward model/accuracy"] = _share(accuracy.value, accuracy.low, accuracy.high, report.num_held_out)
    if agreement.value is not None and agreement.value >= 0.5:
        best = agreement_ceiling(agreement.value)
        figures["reward model/best accuracy"] = _share(best, None, None, report.num_comparisons)
    seconds.append(time.monotonic())
    figures |= measure(options, "trained", reinforce(options, supervised, reward_model, report.spread, folder / "trained"))
    seconds.append(time.monotonic())
    took = dict(zip(("supervised", "reward model", "trained"), np.diff(seconds), strict=True))
    return figures | {f"{name}/seconds": Measurement(float(value), "s", float(value), float(value), 1) for name, value in took.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(ThreeStepsOptions, args=arguments, prog="python -m benchmarks.three_steps", description=__doc__)
    folder = options.folder or Path("runs") / f"three_steps-{datetime.now():%Y%m%d-%H%M%S}"
    figures, console = run(options, folder), Console()
    table = Table(
        title=f"{options.held_out} held-out prompts of {options.env_id}",
        caption=f"score with its 95 % interval; KL to the model that the step began with; {describe_machine()}",
    )
    columns = {
        "score": "true score",
        "nll": "references, nats a token",
        "kl": "KL, nats a response",
        "different": "different responses",
        "ended": "ended",
        "seconds": "s",
    }
    for heading in ("", *columns.values()):
        table.add_column(heading)
    for name in ("untrained", "supervised", "trained"):
        table.add_row(name, *(_cell(figures.get(f"{name}/{figure}")) for figure in columns))
    console.print(table)
    shown = {name: _cell(figures.get(f"reward model/{name}")) for name in ("accuracy", "best accuracy", "seconds")}
    console.print(
        f"reward model: right on {shown['accuracy']} of what people preferred among held-out pairs; "
        f"as often as they err, {shown['best accuracy'] or 'an unknown share'} is the most to expect; {shown['seconds']} s. "
        f"Everything is in {folder}",
        highlight=False,
    )
    if options.json is not None:
        write_json(figures, options.json)
    return 0


def _share(value: float | None, low: float | None, high: float | None, n: int) -> Measurement:
    if value is None:
        raise RuntimeError("people preferred nothing among the held-out pairs, so that the reward model's accuracy is unknown: ask more")
    return Measurement(value, "share", value if low is None else low, value if high is None else high, n)


def _cell(figure: Measurement | None) -> str:
    if figure is None:
        return ""
    digits = f"{figure.value:.0f}" if figure.unit in ("s", "different responses") else f"{figure.value:.3f}"
    return digits if figure.low == figure.high else f"{digits} ({figure.low:.3f} to {figure.high:.3f})"


if __name__ == "__main__":
    import text_env  # noqa: F401  (registers the environments)

    sys.exit(main())
