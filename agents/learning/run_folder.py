"""Keep a training in one folder: config.json, metrics.jsonl, responses.jsonl, TensorBoard events, checkpoints/last and checkpoints/best."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import JSONOutputFormat, Logger, TensorBoardOutputFormat

from agents.agent import Agent
from agents.learning.checkpoint import class_name, restore, save
from agents.learning.collect import Env
from agents.learning.drift import load_feedback_state
from agents.learning.rollout import Rollout
from agents.learning.stopping import Progress


def new_folder(agent: Agent) -> Path:
    """Return a folder below runs/ that does not exist yet, named after the agent and the time."""
    name = f"{type(agent).__name__.lower()}-{datetime.now():%Y%m%d-%H%M%S}"
    folders = [Path("runs") / (name if number == 0 else f"{name}-{number}") for number in range(1000)]
    return next(folder for folder in folders if not folder.exists())


class Run:
    """Write a training down, and find it again.

    Args:
        folder: of the run.
        is_kept: False writes nothing.
    """

    def __init__(self, folder: str | Path, is_kept: bool = True) -> None:
        self.folder = Path(folder)
        self.is_kept = is_kept
        self._logger: Logger | None = None
        self._responses: TextIOWrapper | None = None

    @property
    def last(self) -> Path:
        """Return the folder of the checkpoint to go on from."""
        return self.folder / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """Return the folder of the checkpoint with the best score."""
        return self.folder / "checkpoints" / "best"

    def resume(self, agent: Agent, env: Env) -> Progress:
        """Put the last checkpoint into the agent and into feedback that drifts, and return how far the run had come."""
        kept = restore(agent, self.last)
        load_feedback_state(env, kept.pop("feedback", ()))
        return Progress(**kept)

    @contextmanager
    def opened(self, agent: Agent, env: Env, options: dict[str, Any], num_updates: int | None) -> Iterator[None]:
        """Open the files, and close them at the end.

        Args:
            options: of the training, for config.json.
            num_updates: updates done before, when a run goes on; None for a new one. What was written after the last checkpoint is
                dropped, since it is done again.

        Raises ValueError where a new run would write over another.
        """
        if not self.is_kept:
            yield
            return
        if num_updates is None and (self.folder / "metrics.jsonl").exists():
            raise ValueError(f"{self.folder} holds a run already: go on with it (resume), or choose another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        if num_updates is None:
            self._write_config(agent, env, options)
        kept = {
            name: _lines_until(self.folder / name, -1 if num_updates is None else num_updates)
            for name in ("metrics.jsonl", "responses.jsonl")
        }
        metrics = JSONOutputFormat(str(self.folder / "metrics.jsonl"))
        metrics.file.writelines(kept["metrics.jsonl"])
        self._logger = Logger(str(self.folder), [metrics, TensorBoardOutputFormat(str(self.folder))])
        self._responses = (self.folder / "responses.jsonl").open("w", encoding="utf-8")
        self._responses.writelines(kept["responses.jsonl"])
        try:
            yield
        finally:
            self._logger.close()
            self._responses.close()

    def write_metrics(self, num_updates: int, named: dict[str, float]) -> None:
        """Write one line of numbers, those after `num_updates` updates."""
        if self._logger is None:
            return
        for name, value in named.items():
            self._logger.record(name, value)
        self._logger.dump(num_updates)

    def write_responses(self, num_updates: int, split: str, rollout: Rollout) -> None:
        """Write every response with its score."""
        if self._responses is None:
            return
        for row, episode in enumerate(rollout.episodes):
            if episode is None:
                continue
            line = {
                "update": num_updates,
                "split": split,
                "prompt": episode.prompt.text,
                "response": episode.response,
                "ending": episode.ending,
                "score": float(rollout.scores[row]) if rollout.is_scored[row] else None,
                "tokens": int(rollout.lengths[row]),
            }
            self._responses.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._responses.flush()

    def keep(self, agent: Agent, progress: Progress, judged: list[dict[str, Any]], is_best: bool) -> None:
        """Save the agent as the last checkpoint, with the state of feedback that drifts, and as the best where it is."""
        if not self.is_kept:
            return
        save(agent, self.last, extra={**progress.state(), "feedback": judged})
        if is_best:
            save(agent, self.best, with_optimizer=False)

    def _write_config(self, agent: Agent, env: Env, options: dict[str, Any]) -> None:
        spec = env.unwrapped.spec
        config = getattr(agent, "config", None)
        described = {
            "agent": class_name(agent),
            "config": asdict(config) if is_dataclass(config) and not isinstance(config, type) else None,
            "env": None if spec is None else {"id": spec.id, "kwargs": spec.kwargs},
            "training": options,
        }
        # an object that is neither a number nor a text is written as what it calls itself
        (self.folder / "config.json").write_text(json.dumps(described, indent=2, default=repr) + "\n", encoding="utf-8")


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl."""
    with (Path(folder) / "metrics.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _lines_until(path: Path, num_updates: int) -> list[str]:
    """Return the whole lines of at most this update; a line that a crash has cut is dropped."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:  # by newlines only: a response may hold other separators of lines
        lines = [line for line in file if line.endswith("\n")]
    return [line for line in lines if json.loads(line)["update"] <= num_updates]
