"""Train, show, check and explain agents: `python -m agents supervise`, `train`, `write`, `demo`, `check` and `diagnose`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from text_env.commands.dispatch import dispatch


def _supervise(arguments: Sequence[str]) -> int:
    """Fine-tune a model on references, to start from."""
    from agents.commands.run_supervise import main

    return main(arguments)


def _train(arguments: Sequence[str]) -> int:
    """Train an agent, or go on with a run."""
    from agents.commands.run_train import main

    return main(arguments)


def _write(arguments: Sequence[str]) -> int:
    """Write responses with a model or a checkpoint, and score them."""
    from agents.commands.run_write import main

    return main(arguments)


def _demo(arguments: Sequence[str]) -> int:
    """Train a 135M-parameter model on sentiment, and show what changed and what it cost."""
    from agents.commands.run_demo import main

    return main(arguments)


def _check(arguments: Sequence[str]) -> int:
    """Check that an agent of your own keeps to the protocol."""
    from agents.commands.run_check import main

    return main(arguments)


def _diagnose(arguments: Sequence[str]) -> int:
    """Say why a run does not learn."""
    from agents.commands.run_diagnose import main

    return main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "supervise": _supervise,
    "train": _train,
    "write": _write,
    "demo": _demo,
    "check": _check,
    "diagnose": _diagnose,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 only if it did its work."""
    return dispatch("python -m agents", COMMANDS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
