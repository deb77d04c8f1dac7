"""Make the supervised model that contenders of a task and a seed start from, once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents import language_policy, save
from agents.learning.late import rollouts_of
from benchmarks.arena.ledger import Key
from benchmarks.arena.seeds import update_seeds
from benchmarks.arena.spending import ForwardCounter, Spent
from benchmarks.arena.suite import Run, Task
from benchmarks.arena.task_env import make_env
from benchmarks.sides import read_config
from text_env.names import resolve

START = "supervised start"  # in the place of a contender's name, which has no spaces


def start_key(run: Run) -> Key:
    """Return the key of the start that a run needs."""
    return run.task.name, START, run.seed


def start_folder(folder: Path, task: Task, seed: int) -> Path:
    """Return where a start lies below the folder of all results."""
    return folder / "starts" / f"{task.name}-{seed}"


def start_settings(run: Run) -> dict[str, Any]:
    """Return all that decides a start but the seed."""
    task = run.task
    assert task.start is not None
    parts = {name: getattr(task, name) for name in ("env", "env_options", "model", "rows")}
    config = asdict(read_config(task.start.agent, {name: str(value) for name, value in task.start.settings.items()}))
    start = {"tokens": task.start.tokens, "agent": task.start.agent, "episodes_per_update": task.start.episodes_per_update}
    return {"task": parts, "start": start, "config": config, "device": run.device}


def make_start(run: Run, folder: Path) -> dict[str, Any]:
    """Fine-tune the task's model, save it, and return what it took."""
    task = run.task
    assert task.start is not None
    env = make_env(task, "train")
    policy = language_policy(task.model, device=run.device, reference=None, seed=run.seed)
    config = read_config(task.start.agent, {name: str(value) for name, value in task.start.settings.items()})
    agent = resolve(task.start.agent, policy=policy, config=config)
    counter, spent = ForwardCounter(agent), Spent()
    rollouts = rollouts_of(env, agent)
    while spent.tokens < task.start.tokens:
        with counter.charged_to(spent):
            rollout = rollouts.next(task.start.episodes_per_update, update_seeds(run.seed, spent.updates))
            agent.update(rollout)
        spent.updates += 1
        spent.tokens += int(rollout.is_action.sum())
    save(agent, start_folder(folder, task, run.seed), with_optimizer=False)
    return {"spent": asdict(spent)}
