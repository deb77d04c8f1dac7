"""State what is to be run: contenders on tasks, each with every seed, at equal budgets.

A suite is data and holds no code: whatever it names, an agent, a task's environment or a feedback source, is an import path or a registered
id, so that one of a user's own is one line. `suite_files` reads suites and says what is wrong with one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks.arena.ledger import Key
from benchmarks.paired_runs import OWN_OPTIONS, TABLE
from benchmarks.sides import read_config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SETS_ITSELF = OWN_OPTIONS | {"feedback_kwargs"}


@dataclass(frozen=True)
class Source:
    """Name a feedback source."""

    source: str  # import path, such as feedback.sentiment:Sentiment
    options: Mapping[str, Any] = field(default_factory=dict)  # arguments, where the path is a class


@dataclass(frozen=True)
class Budget:
    """Hold what a run may spend in training; it stops at the first update after which one of them is used up. None = no limit.

    Each is counted in every run, whether it is limited or not, and never together with what evaluations cost.
    """

    tokens: int | None = None  # that the agent wrote, or that it was given to imitate
    queries: int | None = None  # responses that the feedback was asked about
    forwards: int | None = None  # tokens through any language model of the agent, see `benchmarks.arena.spending`
    seconds: float | None = None  # of collecting and learning; runs that end by it are not the same twice

    def __post_init__(self) -> None:
        limits = asdict(self)
        if all(limit is None for limit in limits.values()):
            raise ValueError(f"a budget needs at least one of {', '.join(limits)}: else a run never ends")
        _at_least_one({name: limit for name, limit in limits.items() if name != "seconds"})
        if self.seconds is not None and self.seconds <= 0:
            raise ValueError(f"seconds must be above 0, got {self.seconds}")


@dataclass(frozen=True)
class SupervisedStart:
    """Hold how the model is fine-tuned before contenders start from it; made once for each task and seed, and shared by all of them."""

    tokens: int  # that are imitated, up to the end of an update
    agent: str = "agents.supervised:Supervised"  # who imitates
    settings: Mapping[str, Any] = field(default_factory=dict)  # of that agent
    episodes_per_update: int = 64  # references

    def __post_init__(self) -> None:
        _at_least_one({"tokens": self.tokens, "episodes_per_update": self.episodes_per_update})


@dataclass(frozen=True)
class Task:
    """Hold what is written, and who judges it."""

    name: str
    env: str  # id of a registered environment; module:id is imported first
    env_options: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the environment
    feedback: Source | None = None  # what is learned from; None = the environment's own
    metrics: Mapping[str, Source] = field(default_factory=dict)  # measured on the held-out responses, never learned from
    headline: str = "score"  # what tables show: a measurement of `evaluate`, or one of the metrics
    model: str = "tinylm"  # "tinylm", "smollm2", a folder or a hub id; "table" = a row of logits per prefix, for TextGen/Exact-v0
    rows: int = 64  # responses that are written side by side
    episodes_per_update: int = 64  # a multiple of the group size
    group_size: int = 4  # responses in a row that share a prompt, in training
    held_out_episodes: int = 128  # responses of each evaluation
    evaluation_split: Literal["held_out", "train"] = "held_out"  # prompts of the evaluations
    evaluate_every: int = 20  # updates between points of the learning curve
    start: SupervisedStart | None = None  # where contenders start that ask for it
    budget: Budget | None = None  # None = the suite's

    def __post_init__(self) -> None:
        _check_name(self.name)
        names = ("rows", "episodes_per_update", "group_size", "held_out_episodes", "evaluate_every")
        _at_least_one({name: getattr(self, name) for name in names})
        if self.episodes_per_update % self.group_size:
            raise ValueError(f"episodes_per_update must be a multiple of group_size {self.group_size}, got {self.episodes_per_update}")
        taken = sorted(SETS_ITSELF & set(self.env_options))
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be among env_options: the task has a key for it, or the run sets it")
        if self.model == TABLE and self.evaluation_split == "held_out":
            raise ValueError('a table learns nothing about prompts that it has not seen: model "table" needs evaluation_split = "train"')
        if self.model == TABLE and self.start is not None:
            raise ValueError('a table has no supervised start: take the key start away, or give a language model instead of "table"')


@dataclass(frozen=True)
class Contender:
    """Hold who learns, and how."""

    name: str
    agent: str  # import path of a class that is called with policy and config; the dataclass NAMEConfig stands beside it
    settings: Mapping[str, Any] = field(default_factory=dict)  # of its config, the same for all tasks
    settings_on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # further ones by the task's model: sizes bear other rates
    policy: Mapping[str, Any] = field(default_factory=dict)  # arguments of the policy, such as temperature
    start: Literal["model", "supervised", "task"] = "model"  # what the penalty holds it to as well; task = supervised where a task has that
    is_trained: bool = True  # False = evaluated as it starts
    best_of: int = 1  # responses to each held-out prompt, of which the feedback's favourite counts; all are charged
    tasks: tuple[str, ...] = ()  # names of those that it takes part in; () = all

    def __post_init__(self) -> None:
        _check_name(self.name)
        _at_least_one({"best_of": self.best_of})
        taken = sorted({"model", "seed", "device", "reference"} & set(self.policy))
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be among the policy's options: the task, the suite or the run decides it")

    def config(self, model: str) -> Any:
        """Return the agent's config on a task with this model. Errors: ValueError for an agent or a setting that is not there."""
        given = {**self.settings, **self.settings_on.get(model, {})}
        return read_config(self.agent, {name: str(value) for name, value in given.items()})


@dataclass(frozen=True)
class Run:
    """Hold one run: a contender on a task with a seed."""

    suite: str
    task: Task
    contender: Contender
    seed: int
    budget: Budget
    device: str = "cpu"
    place: tuple[int, int] = (0, 0)  # of task and contender in the suite, in which tables show them

    @property
    def key(self) -> Key:
        """Return what tells runs of a suite apart."""
        return self.task.name, self.contender.name, self.seed

    @property
    def needs_start(self) -> bool:
        """Say whether it begins with the supervised start of its task and seed, which must be there first."""
        return self.contender.start == "supervised" or (self.contender.start == "task" and self.task.start is not None)

    def settings(self) -> dict[str, Any]:
        """Return all that decides its outcome but the seed: what the contender's config is in the end, not how the suite came to it."""
        task, contender = asdict(self.task), asdict(self.contender)
        for name in ("headline", "budget", *(() if self.needs_start else ("start",))):
            del task[name]
        for name in ("settings", "settings_on", "tasks", "start"):
            del contender[name]
        config = asdict(self.contender.config(self.task.model))
        return {"task": task, "contender": contender, "config": config, "budget": asdict(self.budget), "device": self.device}


@dataclass(frozen=True)
class Suite:
    """Hold contenders, tasks, seeds and what a run may spend."""

    name: str
    tasks: tuple[Task, ...]
    contenders: tuple[Contender, ...]
    seeds: int | tuple[int, ...]  # how many, from 0 on; or which
    budget: Budget
    device: str = "cpu"  # where policies compute
    note: str = ""  # what to know before running it, shown when it starts

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.tasks or not self.contenders or not self.all_seeds:
            raise ValueError("a suite needs at least one task, one contender and one seed")
        for kind, names in (("tasks", [task.name for task in self.tasks]), ("contenders", [each.name for each in self.contenders])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} must have names of their own, and {', '.join(twice)} is there twice")
        if len(set(self.all_seeds)) < len(self.all_seeds) or min(self.all_seeds) < 0:
            raise ValueError(f"seeds must be different whole numbers from 0 on, got {list(self.all_seeds)}")
        for contender in self.contenders:
            self._check_contender(contender)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Return every seed."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def runs(self) -> list[Run]:
        """Return every run: task by task, seed by seed, so that what is there after a part of them is whole seeds."""
        return [
            Run(self.name, task, contender, seed, task.budget or self.budget, self.device, (row, column))
            for row, task in enumerate(self.tasks)
            for seed in self.all_seeds
            for column, contender in enumerate(self.contenders)
            if not contender.tasks or task.name in contender.tasks
        ]

    def _check_contender(self, contender: Contender) -> None:
        known = [task.name for task in self.tasks]
        unknown = [name for name in contender.tasks if name not in known]
        if unknown:
            raise ValueError(f"contender {contender.name} takes part in {', '.join(unknown)}, but the tasks are {', '.join(known)}")
        models = {task.model for task in self.tasks}
        unknown = sorted(set(contender.settings_on) - models)
        if unknown:
            raise ValueError(
                f"contender {contender.name} has settings on {', '.join(unknown)}, but the tasks' models are {', '.join(sorted(models))}"
            )
        for task in self.tasks:
            if contender.start == "supervised" and task.start is None and (not contender.tasks or task.name in contender.tasks):
                raise ValueError(
                    f"contender {contender.name} starts from supervision and task {task.name} has no key start: give the task one, or name "
                    "the contender's tasks"
                )


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"a name must be letters, digits, dots, dashes and underlines, got {name!r}")


def _at_least_one(numbers: Mapping[str, int | None]) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
