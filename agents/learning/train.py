"""Train an agent on an environment: collect, update, evaluate, log, keep."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.agent import Agent, Imitator
from agents.learning.collect import Env
from agents.learning.demonstrations import nll_of
from agents.learning.drift import feedback_state
from agents.learning.held_out import evaluate
from agents.learning.late import rollouts_of
from agents.learning.progress_bar import ProgressBar
from agents.learning.rollout import Rollout
from agents.learning.run_folder import Run, new_folder
from agents.learning.stopping import NEVER, Progress, Stop


@dataclass(frozen=True)
class Trained:
    """Hold how a training went.

    Args:
        folder: of the run; None where nothing was kept.
        num_updates: in all, those of earlier parts of a resumed run included.
        stopped_by: "updates" (all were done), "score", "converged", "tokens", "seconds" or "interrupted".
        metrics: one dictionary per update of this part of the run, and one with "update" 0 for the evaluation before the first.
        best_score: the highest mean score, of the evaluations where there were any; of an agent that imitates see `Stop`.
    """

    folder: Path | None
    num_updates: int
    stopped_by: str
    metrics: list[dict[str, float]]
    best_score: float | None


def train(
    env: Env,
    agent: Agent,
    num_updates: int,
    episodes_per_update: int,
    *,
    evaluation_env: Env | None = None,
    evaluation_episodes: int | None = None,
    evaluate_every: int = 10,
    stop: Stop = NEVER,
    seed: int = 0,
    folder: str | Path | None = None,
    keep: bool = True,
    resume: bool = False,
    show: bool = True,
) -> Trained:
    """Train an agent.

    Each update has a seed of its own, made from `seed` and its number, so a run that was resumed gives the numbers of one that was not.
    Scores may come late (`agents.learning.late`): then an update learns from what was judged meanwhile, whoever wrote it.
    An agent that imitates (`agents.agent.Imitator`) is given its demonstrations, which nobody is asked about, and evaluations also measure
    how unlikely it finds those of held-out prompts.
    After Ctrl-C the last checkpoint is on disk and the function returns. Feedback that drifts is kept with it: a run that was resumed
    goes on at the time that it had come to.

    Args:
        env: made with `autoreset_mode=DISABLED`, or a single one.
        num_updates: in all. episodes_per_update: a multiple of the environment's group size.
        evaluation_env: an environment with held-out prompts; it is evaluated on before the first update, after every `evaluate_every`, and
            after the last, always with the same seed. Checkpoints are kept at the same times. Give it the very feedback object of `env` to
            judge by what is wanted at the time, or one that stands still (`Drifting.at`) to judge by what was wanted then.
        evaluation_episodes: as many as `episodes_per_update` unless given.
        stop: further reasons to end.
        folder: of the run; None makes a new one below runs/. keep: False writes nothing at all.
        resume: go on from the folder's last checkpoint, with an agent that was made as the first one was.
        show: a progress bar.

    Raises ValueError where the arguments contradict each other or a checkpoint does not fit.
    """
    _check(num_updates, evaluate_every, can_resume=not resume or (folder is not None and keep))
    run = Run(folder if folder is not None else new_folder(agent), is_kept=keep)
    progress = run.resume(agent, env) if resume else Progress()
    settings = {"num_updates": num_updates, "episodes_per_update": episodes_per_update, "evaluate_every": evaluate_every, "seed": seed}
    history: list[dict[str, float]] = []
    stopped_by: str | None = None
    line: dict[str, float] = {}
    is_whole = True  # False while an update is half done
    num_kept = progress.num_updates if resume else -1  # updates in the last checkpoint
    judged = feedback_state(env)  # as it was after the last whole update
    rollouts = rollouts_of(env, agent)
    with (
        run.opened(agent, env, settings, progress.num_updates if resume else None),
        ProgressBar(num_updates, progress.num_updates, show) as bar,
    ):

        def note(numbers: dict[str, float]) -> None:
            history.append({"update": float(progress.num_updates), **numbers})
            run.write_metrics(progress.num_updates, history[-1])
            bar.show(history[-1])

        try:
            if progress.num_updates == 0 and progress.best_score is None and evaluation_env is not None:
                line = _held_out(evaluation_env, agent, evaluation_episodes or episodes_per_update, run, 0)
                progress.judge(line, stop.min_gain)
                note(line)
            while progress.num_updates < num_updates and stopped_by is None:
                began = time.monotonic()
                rollout = rollouts.next(episodes_per_update, _seeds(seed, progress.num_updates))
                collected = time.monotonic()
                is_whole = False
                line = agent.update(rollout)
                progress.count(line, int(rollout.lengths.sum()))
                is_whole, judged = True, feedback_state(env)
                line |= _pace(rollout, began, collected) | rollouts.metrics()
                run.write_responses(progress.num_updates, "train", rollout)
                if progress.num_updates % evaluate_every == 0 or progress.num_updates == num_updates:
                    if evaluation_env is not None:
                        line |= _held_out(evaluation_env, agent, evaluation_episodes or episodes_per_update, run, progress.num_updates)
                    run.keep(agent, progress, judged, is_best=progress.judge(line, stop.min_gain))
                    num_kept = progress.num_updates
                note(line)
                stopped_by = progress.reason(stop)
        except KeyboardInterrupt:
            stopped_by = "interrupted"
        if is_whole and num_kept < progress.num_updates:
            if progress.num_updates and (not history or history[-1]["update"] < progress.num_updates):
                note(line)  # its evaluation was interrupted; the update itself was not
            run.keep(agent, progress, judged, is_best=False)
    return Trained(run.folder if keep else None, progress.num_updates, stopped_by or "updates", history, progress.best_score)


def _check(num_updates: int, evaluate_every: int, can_resume: bool) -> None:
    if num_updates < 1 or evaluate_every < 1:
        raise ValueError(f"num_updates and evaluate_every must be at least 1, got {num_updates} and {evaluate_every}")
    if not can_resume:
        raise ValueError("resume=True needs folder=..., the run to go on with, and keep=True")


def _held_out(env: Env, agent: Agent, num_episodes: int, run: Run, num_updates: int) -> dict[str, float]:
    """Evaluate, write down the responses, and return the measurements under names of their own."""
    measured, rollout = evaluate(env, agent, num_episodes)
    if isinstance(agent, Imitator):
        measured |= nll_of(agent.policy, agent.demonstrations(env, num_episodes, seed=0))
    run.write_responses(num_updates, "held_out", rollout)
    return {f"held_out/{name}": value for name, value in measured.items()}


def _seeds(seed: int, update: int) -> Iterator[int]:
    """Give the seeds of one update's rollouts, of which most have one: any two differ, and none depends on what was drawn before."""
    return (int(np.random.SeedSequence((seed, update, number)).generate_state(1)[0]) for number in itertools.count())


def _pace(rollout: Rollout, began: float, collected: float) -> dict[str, float]:
    """Return how long collecting and learning took, and how many tokens were written per second of both."""
    now = time.monotonic()
    return {
        "seconds_collecting": collected - began,
        "seconds_learning": now - collected,
        "tokens_per_second": float(rollout.lengths.sum()) / max(now - began, 1e-9),
    }
