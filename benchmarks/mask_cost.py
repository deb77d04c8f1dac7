"""Measure what masks cost beside the model: `python -m benchmarks.mask_cost`.

A step of N rows by masks (checking what was chosen, following the automaton, making the next masks, recording them, applying them to the
logits) is set against a decode step of the same rows by the model without masks. Both are measured in turn in the same run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.table import Table

from agents.learning.mask_table import MaskTable
from agents.policy.causal import CausalPolicy
from agents.policy.precision import has_bfloat16_instructions
from benchmarks.machine import describe_machine
from benchmarks.measure import Measurement, in_turn, median, ratio_of_medians, timed, write_json
from benchmarks.stepping import constant
from text_env.automaton import automaton_of, schema_expression
from text_env.constraint import Constraint
from text_env.tasks.constrained_env import SCHEMA
from text_env.tokens import load_tokens


@dataclass(frozen=True)
class Settings:
    """Measure the cost of masks; print a table; write JSON."""

    models: tuple[str, ...] = ("smollm2", "tinylm")  # "smollm2", "tinylm", folders or hub ids
    rows: int = 64  # responses that are written at once
    new_tokens: int = 64  # the budget; the JSON review needs 17 of SmolLM2's tokens
    rounds: int = 20  # steps that are timed on each side
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)  # of torch
    seed: int = 0  # decides prompts and tokens
    json: Path | None = None  # where to write the figures

    def __post_init__(self) -> None:
        for name in ("rows", "rounds", "threads", "new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.rounds + 2 > self.new_tokens:
            raise ValueError(f"rounds must be at most new_tokens - 2 = {self.new_tokens - 2}, got {self.rounds}: each is a token further")


class Decoding:
    """Write without masks, one token of every row at a time; no response ends."""

    def __init__(self, model: str, settings: Settings) -> None:
        dtype = "bfloat16" if has_bfloat16_instructions(torch.device("cpu")) else "float32"
        self.policy = CausalPolicy(model, compute_dtype=dtype, device="cpu", reference=None)
        assert self.policy.tokens is not None
        self.ends = list(self.policy.tokens.eos_ids)
        self.other = next(id for id in self.policy.tokens.pieces if id not in self.ends)
        self.env: Any = gym.make_vec(
            "TextGen-v0",
            num_envs=settings.rows,
            tokenizer=model,
            feedback=constant,
            max_new_tokens=settings.new_tokens,
            autoreset_mode=AutoresetMode.DISABLED,
        )
        self.memory = self.policy.start(settings.rows, settings.seed)
        self.everyone = np.ones(settings.rows, dtype=np.bool_)
        self.observation, _ = self.env.reset(seed=settings.seed)
        self.chosen = self.policy.act(self.observation, self.memory, self.everyone, self.everyone).tokens
        self.append()

    def append(self) -> None:
        """Put the chosen tokens into the rows; an end token is replaced, so that all rows go on."""
        self.chosen[np.isin(self.chosen, self.ends)] = self.other
        self.observation = self.env.step(self.chosen)[0]

    def decode(self) -> None:
        """Choose the next token of every row: the step that is timed."""
        self.chosen = self.policy.act(self.observation, self.memory, ~self.everyone, self.everyone).tokens


class Masking:
    """Do all that masks add to a step: rows walk through a JSON review at random."""

    def __init__(self, model: str, settings: Settings) -> None:
        self.tokens = load_tokens(model)
        self.settings = settings
        self.rng = np.random.default_rng(settings.seed)
        self.build()
        self.logits = torch.randn(settings.rows, self.tokens.vocab_size, generator=torch.Generator().manual_seed(settings.seed))
        self.met = MaskTable()
        self.restart()

    def build(self) -> None:
        """Make the automaton and the table of the tokens: what is paid once, when the environment is made."""
        automaton = automaton_of(schema_expression(SCHEMA), "json_schema")
        self.constraint = Constraint(automaton, "json_schema", self.tokens, max_new_tokens=self.settings.new_tokens)

    def restart(self) -> None:
        """Begin all rows anew."""
        self.state = self.constraint.start(self.settings.rows)
        self.choose(self.constraint.of(self.state))

    def choose(self, masks: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Draw an allowed token of each row that does not end it, where there is one."""
        text = masks.copy()
        text[:, list(self.tokens.eos_ids)] = False
        if not text.any(axis=1).all():
            self.restart()
            return
        self.chosen = np.asarray([self.rng.choice(np.flatnonzero(row)) for row in text])

    def step(self) -> None:
        """Check, follow, make the next masks, record them, bring them to the device and apply them: the step that is timed."""
        if not self.constraint.allows(self.state, self.chosen).all():
            raise RuntimeError("a token that the mask allowed was refused")
        self.state = self.constraint.advance(self.state, self.chosen)
        self.masks = self.constraint.of(self.state)
        self.met.numbers(self.masks)
        self.masked = self.logits.masked_fill(~torch.from_numpy(self.masks), -torch.inf)


def measure(model: str, settings: Settings) -> dict[str, Measurement]:
    """Return the figures of one model, named after the width of its vocabulary."""
    decoding, masking = Decoding(model, settings), Masking(model, settings)

    def decode() -> float:
        seconds = timed(decoding.decode)()
        decoding.append()
        return seconds

    def mask() -> float:
        seconds = timed(masking.step)()
        masking.choose(masking.masks)
        return seconds

    costs = in_turn({"decode": decode, "mask": mask}, settings.rounds)
    builds = in_turn({"build": timed(masking.build)}, 3)
    width = masking.tokens.vocab_size
    return {
        f"mask_cost_of_decode_step_{width}": ratio_of_medians(costs["mask"], costs["decode"]),
        f"mask_step_milliseconds_{width}": median(costs["mask"] * 1e3, "ms"),
        f"decode_step_milliseconds_{width}": median(costs["decode"] * 1e3, "ms"),
        f"constraint_build_seconds_{width}": median(builds["build"], "s"),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 0 if all was measured, 1 with one line on standard error if the input was wrong."""
    console = Console()
    try:
        settings = tyro.cli(Settings, prog="python -m benchmarks.mask_cost", args=argv)
        torch.set_num_threads(settings.threads)
        console.print(describe_machine(), soft_wrap=True)
        figures: dict[str, Measurement] = {}
        for model in settings.models:
            figures |= measure(model, settings)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    table = Table("figure", "value", "95% interval", "n", box=None)
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.3g} {figure.unit}", f"{figure.low:.3g} to {figure.high:.3g}", str(figure.n))
    console.print(table)
    if settings.json is not None:
        write_json(figures, settings.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
