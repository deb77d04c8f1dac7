"""Make the environments of a task."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from benchmarks.arena.suite import Task
from benchmarks.paired_runs import TABLE

VectorEnv = gym.vector.VectorEnv[Any, Any, Any]


def make_env(task: Task, split: str, group_size: int = 1) -> VectorEnv:
    """Make a task's environment for one split of the prompts."""
    chosen: dict[str, Any] = {} if task.model == TABLE else {"tokenizer": task.model}
    if task.feedback is not None:
        chosen["feedback"] = task.feedback.source
        if task.feedback.options:
            chosen["feedback_kwargs"] = dict(task.feedback.options)
    return gym.make_vec(
        task.env,
        num_envs=task.rows,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        split=split,
        group_size=group_size,
        **chosen,
        **task.env_options,
    )
