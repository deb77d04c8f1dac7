"""Train an agent from the command line, or go on with a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from agents.commands.options import EnvOptions, PolicyOptions, VectorEnv, parse
from agents.learning.late import late_source
from agents.learning.run_folder import Run, new_folder
from agents.learning.stopping import Stop
from agents.learning.train import Trained, train
from text_env.model_names import BUNDLED
from text_env.names import resolve

OWN_PACKAGES = ("agents.", "feedback.", "text_env.")  # names in these may be read from a run's files

Config = TypeVar("Config")


@dataclass(frozen=True)
class TrainOptions(Generic[Config]):
    """Train an agent to write what a feedback source scores highly."""

    config: Config
    agent: str = "agents.reinforce:Reinforce"  # import path of the agent's class; its settings are those of the class NAMEConfig beside it
    num_updates: int = 50  # in all
    episodes_per_update: int = 64  # responses per update; a multiple of the group size
    evaluate_every: int = 10  # updates between evaluations on held-out prompts; checkpoints are kept at the same times
    evaluation_episodes: int = 64  # responses per evaluation; 0 = no evaluation
    evaluation_feedback: str | None = None  # import path of the source that evaluates; None = the one that is trained on
    seed: int = 0  # decides prompts, tokens and initial weights
    folder: Path | None = None  # of the run; None = a new one below runs/
    resume: Path | None = None  # folder of a run to go on with, with the options that it began with
    env: EnvOptions = field(default_factory=EnvOptions)
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    stop_when: Stop = field(default_factory=Stop)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    trained = run(read_options(arguments))
    best = "" if trained.best_score is None else f", best score {trained.best_score:.3f}"
    return report(trained, "train", best)


def report(trained: Trained, program: str, best: str) -> int:
    """Say how a training ended, and how to go on where it was interrupted; return the status to exit with."""
    console = Console(stderr=True)
    how_on = f"python -m agents {program} --resume {trained.folder}"
    if trained.stopped_by == "interrupted":
        console.print(f"interrupted after {trained.num_updates} updates; go on with: {how_on}", highlight=False, soft_wrap=True)
        return 130
    reason = "" if trained.stopped_by == "updates" else f" ({trained.stopped_by})"
    console.print(f"done after {trained.num_updates} updates{reason}{best}: {trained.folder}", highlight=False, soft_wrap=True)
    return 0


def run(options: Any) -> Trained:
    """Make environment, policy and agent as the options say, and train.

    The policy estimates values where the agent's config has a `critic_learning_rate`.
    """
    env = options.env.make("train")
    evaluation_env = _evaluation_env(options)
    has_critic = hasattr(options.config, "critic_learning_rate")
    policy = options.policy.make(options.env.model, value_head=has_critic, seed=options.seed)
    agent = resolve(options.agent, policy=policy, config=options.config)
    folder = options.resume or options.folder or new_folder(agent)
    if options.resume is None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "command.json").write_text(json.dumps(asdict(options), indent=2, default=str) + "\n", encoding="utf-8")
    return train(
        env,
        agent,
        options.num_updates,
        options.episodes_per_update,
        evaluation_env=evaluation_env,
        evaluation_episodes=options.evaluation_episodes or None,
        evaluate_every=options.evaluate_every,
        stop=options.stop_when,
        seed=options.seed,
        folder=folder,
        resume=options.resume is not None,
    )


def _evaluation_env(options: Any) -> VectorEnv | None:
    """Make the environment with held-out prompts, if there is to be an evaluation.

    Errors: ValueError where its source says only later what it thinks.
    """
    if not options.evaluation_episodes:
        return None
    judged_by = options.env
    if options.evaluation_feedback is not None:
        judged_by = replace(options.env, feedback=options.evaluation_feedback, feedback_options=())
    env = judged_by.make("held_out")
    if late_source(env) is not None:
        raise ValueError(
            f"an evaluation needs its scores at once, and {judged_by.feedback} gives them later: "
            "name another source with --evaluation-feedback, or leave evaluations out with --evaluation-episodes 0"
        )
    return env


def read_options(arguments: Sequence[str], kind: type[TrainOptions[Any]] = TrainOptions, program: str = "train") -> Any:
    """Read the options, those of the agent's own config among them; with --resume, those that the run began with are the defaults.

    Args:
        kind: of options, with their defaults. program: the command that reads them.
    """
    resumed = _value_of("--resume", arguments)
    stored = _stored(Path(resumed), arguments) if resumed is not None else {}
    agent = _value_of("--agent", arguments) or stored.get("agent", kind.agent)
    config = resolve(f"{agent}Config")
    default = kind(config)
    if stored:
        parts = {name: replace(getattr(default, name), **_tuples(stored.pop(name))) for name in ("env", "policy", "stop_when", "config")}
        stored |= {"folder": None, "resume": Path(str(resumed))}
        default = replace(default, **stored, **parts)
    return parse(kind[type(config)], arguments, program, default)  # type: ignore[index]


def _stored(folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the options that a run began with, after asking again for names that are not our own."""
    path = folder / "command.json"
    if not path.is_file() or not Run(folder).last.exists():
        raise ValueError(
            f"{folder} is no run to go on with: it has no command.json with a checkpoint, which `python -m agents train` writes"
        )
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names = {
        "--agent": stored["agent"],
        "--feedback": stored["env"]["feedback"],
        "--evaluation-feedback": stored.get("evaluation_feedback"),
    }
    foreign = {flag: name for flag, name in names.items() if name is not None and not name.startswith(OWN_PACKAGES)}
    if stored["env"]["model"] not in BUNDLED:
        foreign["--model"] = stored["env"]["model"]
    missing = [f"{flag} {name}" for flag, name in foreign.items() if _value_of(flag, arguments) is None]
    if missing:
        raise ValueError(f"names are not taken from a file: pass what the run began with again: {' '.join(missing)}")
    return stored


def _value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """Return what follows a flag, before the options as a whole can be read."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == flag:
            return value if equals else next(iter(arguments[place + 1 : place + 2]), None)
    return None


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with lists, which is how JSON keeps tuples, as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
