"""Measure how far each agent comes on tasks whose optimum is known: `python -m benchmarks.exact`.

A share of 0 is the reference policy, 1 the best there is: (J - J_ref) / (J* - J_ref), J = E[score] - kl_weight * KL(pi || reference).
All three are sums over every response, so that no luck of the evaluation is in them; what varies between seeds is the learning alone.
Every agent gets the same prompts, the same groups and the same number of tokens. One setting per agent and kind of policy serves all tasks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.best_of_pool import exact_best_of_n
from benchmarks.measure import Measurement, mean, write_json
from benchmarks.worker_processes import one_thread_workers

Kind = Literal["tabular", "transformer"]

GROUP_SIZE = 8
EPISODES_PER_UPDATE = 64
BEST_OF = 4  # responses per prompt of best-of-n, which is charged for all of them
PLAIN = ("count", "copy", "sort")  # rules on which every agent that maximises J should come close to the optimum


@dataclass(frozen=True)
class Entry:
    """Hold an agent and how it is set, for all tasks alike.

    Args:
        path: import path of its class; its config is the class NAMEConfig beside it.
        tabular, transformer: settings beside the defaults, for a table and for a small transformer.
    """

    path: str
    tabular: dict[str, Any]
    transformer: dict[str, Any]


WHOLE = {"rows_per_backward": EPISODES_PER_UPDATE}  # everything in memory at once: faster, with the same result


def _settings(rate: float, transformer_rate: float, **further: Any) -> dict[str, dict[str, Any]]:
    return {"tabular": {"learning_rate": rate, **further}, "transformer": {"learning_rate": transformer_rate, **further}}


AGENTS: dict[str, Entry] = {
    "reinforce": Entry("agents.reinforce:Reinforce", **_settings(0.1, 5e-3, **WHOLE)),
    "actor_critic": Entry("agents.actor_critic:ActorCritic", **_settings(0.1, 5e-3, critic_learning_rate=0.05, **WHOLE)),
    "rloo": Entry("agents.rloo:RLOO", **_settings(0.1, 5e-3, **WHOLE)),
    "ppo": Entry("agents.ppo:PPO", **_settings(0.1, 5e-3, critic_learning_rate=0.05)),
    "grpo": Entry("agents.grpo:GRPO", **_settings(0.1, 5e-3)),
    "soft_q": Entry("agents.soft_q:SoftQ", **_settings(0.1, 5e-3, critic_learning_rate=0.05, **WHOLE)),
    "online_dpo": Entry("agents.online_dpo:OnlineDPO", **_settings(0.1, 5e-3, **WHOLE)),
    "expert_iteration": Entry("agents.expert_iteration:ExpertIteration", **_settings(0.1, 5e-3, **WHOLE)),
}
FLOORS = ("uniform", "frozen", "best_of_n")  # known without learning


@dataclass(frozen=True)
class ExactOptions:
    """Measure agents on exact tasks; print a table; write JSON."""

    agents: tuple[str, ...] = (*FLOORS, *AGENTS)  # names of the table above, or import paths of agents of your own
    tasks: tuple[str, ...] = ("count", "copy", "sort", "random", "sparse", "deceptive")  # rules; also reverse and brackets
    policies: tuple[Kind, ...] = ("tabular", "transformer")  # one row of logits a prefix; a Llama of two layers
    num_seeds: int = 10  # runs per cell
    tokens: int = 28_000  # that each run with a table may write
    transformer_tokens: int = 5_000  # that each run with a transformer may write; an update costs it more
    vocab_size: int = 4  # of the tasks, the end token included
    horizon: int = 4  # tokens of a response, at most
    num_prompts: int = 3  # of each task
    kl_weight: float = 0.1  # score per nat
    jobs: int = 2  # processes, of one thread each
    quick: bool = False  # two seeds and a quarter of the tokens
    json: Path | None = None  # where to write the figures


@dataclass(frozen=True)
class Cell:
    """Name one run."""

    agent: str
    rule: str
    kind: Kind
    seed: int
    options: ExactOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the status is 1 where a run failed."""
    options = tyro.cli(ExactOptions, args=arguments, prog="python -m benchmarks.exact")
    console = Console()
    began = time.monotonic()
    cells = list(_cells(options))
    shares: dict[str, list[float]] = {}
    failures: dict[str, str] = {}
    for number, (cell, outcome) in enumerate(_run_all(cells, options.jobs), 1):
        name = _name(cell.agent, cell.rule, cell.kind)
        if isinstance(outcome, str):
            failures[f"{name}, seed {cell.seed}"] = outcome
        else:
            shares.setdefault(name, []).append(outcome)
        if number % 50 == 0:
            print(f"{number} of {len(cells)} runs, {time.monotonic() - began:.0f} s", file=sys.stderr)
            _write(shares, options.json)  # so that an interrupted run leaves what it has
    figures = _write(shares, options.json)
    for kind in options.policies:
        console.print(_table(kind, options, figures))
    for name, message in failures.items():
        console.print(f"failed: {name}: {message}", highlight=False, soft_wrap=True)
    console.print(f"{len(cells)} runs in {(time.monotonic() - began) / 60:.1f} minutes", highlight=False)
    return 1 if failures else 0


def run_cell(cell: Cell) -> float:
    """Train one agent on one task and return its share of the way to the optimum."""
    from agents.policy.listing import objective_of, policy_tables

    options = cell.options
    env = gym.make_vec(
        "TextGen/Exact-v0",
        num_envs=EPISODES_PER_UPDATE,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        rule=cell.rule,
        vocab_size=options.vocab_size,
        max_new_tokens=options.horizon,
        num_prompts=options.num_prompts,
        task_seed=cell.seed,
        group_size=GROUP_SIZE,
    )
    task = env.unwrapped.exact  # type: ignore[attr-defined]
    if cell.agent in FLOORS:
        policy = make_policy(cell.kind, task, cell.seed, value_head=False)
        reference = policy_tables(policy, task)
        return objective_of(task, _floor(cell.agent, task, reference), reference, options.kl_weight).share
    agent = _make_agent(cell, task)
    budget = options.tokens if cell.kind == "tabular" else options.transformer_tokens
    _train(env, agent, budget // 4 if options.quick else budget, cell.seed)
    reference = policy_tables(agent.policy, task, of_reference=True)
    return objective_of(task, policy_tables(agent.policy, task), reference, options.kl_weight).share


def make_policy(kind: Kind, task: Any, seed: int, value_head: bool) -> Any:
    """Make a policy for a task: a table that begins uniform, or a Llama of two layers with random weights."""
    from agents.policy.tabular import TabularPolicy

    if kind == "tabular":
        return TabularPolicy(task.vocab_size, task.horizon, task.prompts.tolist(), value_head=value_head, seed=seed)
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from agents.policy.causal import CausalPolicy

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=task.vocab_size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=2 * task.horizon,
            )
        )
    return CausalPolicy(model, device="cpu", value_head=value_head, value_trains_trunk=value_head, seed=seed)


def best_of_n(task: Any, logprobs: Any, n: int) -> Any:
    """Return the policy, as tables of log-probabilities, that the best of n responses of another policy come from.

    Args:
        logprobs: [num_prompts, num_prefixes, V]. n: responses per prompt.

    Returns: [num_prompts, num_prefixes, V].
    """
    tree = task.tree
    visits = tree.visits(logprobs)
    nodes = np.flatnonzero(tree.is_finished)
    chosen = np.zeros_like(visits)
    for prompt in range(len(visits)):
        chosen[prompt, nodes] = exact_best_of_n(visits[prompt, nodes], task.scores[prompt, nodes].round(12), n)
    return _conditional(tree, chosen)


def _conditional(tree: Any, visits: Any) -> Any:
    """Return the log-probabilities of tokens, given how likely each whole response is: [..., num_nodes] -> [..., num_prefixes, V]."""
    visits = visits.copy()
    for node in reversed(range(tree.num_prefixes)):
        if tree.is_state[node]:
            visits[..., node] = visits[..., 1 + node * tree.vocab_size : 1 + (node + 1) * tree.vocab_size].sum(-1)
    children = visits[..., 1:].reshape(*visits.shape[:-1], tree.num_prefixes, tree.vocab_size)
    with np.errstate(divide="ignore", invalid="ignore"):
        logprobs = np.log(children) - np.log(visits[..., : tree.num_prefixes, None])
    return np.where(tree.is_state[:, None] & (visits[..., : tree.num_prefixes, None] > 0), logprobs, -np.log(tree.vocab_size))


def _floor(name: str, task: Any, reference: Any) -> Any:
    if name == "best_of_n":
        return best_of_n(task, reference, BEST_OF)
    return reference if name == "frozen" else np.full_like(reference, -np.log(task.vocab_size))


def _make_agent(cell: Cell, task: Any) -> Any:
    from text_env.names import resolve

    entry = AGENTS.get(cell.agent, Entry(cell.agent, {}, {}))
    settings = entry.tabular if cell.kind == "tabular" else entry.transformer
    default = resolve(f"{entry.path}Config")
    config = type(default)(**{"kl_weight": cell.options.kl_weight, **settings})
    policy = make_policy(cell.kind, task, cell.seed, value_head=hasattr(config, "critic_learning_rate"))
    return resolve(entry.path, policy=policy, config=config)


def _train(env: Any, agent: Any, tokens: int, seed: int) -> None:
    """Collect and update until so many tokens are written, with learning rates that fall linearly to 0 over them.

    At a constant rate an agent hovers about the optimum, and what is measured is the rate's noise.
    """
    from agents.learning.collect import collect

    first_rates = [group["lr"] for group in agent.optimizer.param_groups]
    written = update = 0
    while written < tokens:
        for group, rate in zip(agent.optimizer.param_groups, first_rates, strict=True):
            group["lr"] = rate * (1 - written / tokens)
        rollout = collect(env, agent, EPISODES_PER_UPDATE, seed=int(np.random.SeedSequence((seed, update)).generate_state(1)[0]))
        agent.update(rollout)
        written += int(rollout.lengths.sum())
        update += 1


def _cells(options: ExactOptions) -> Iterator[Cell]:
    seeds = 2 if options.quick else options.num_seeds
    for kind in options.policies:
        for agent in options.agents:
            for rule in options.tasks:
                yield from (Cell(agent, rule, kind, seed, options) for seed in range(seeds))


def _run_all(cells: Iterable[Cell], jobs: int) -> Iterator[tuple[Cell, float | str]]:
    """Run all cells, in processes of one thread each; what a run raises is its outcome, as text."""
    cells = list(cells)
    if jobs == 1:
        yield from ((cell, _outcome(cell)) for cell in cells)
        return
    with one_thread_workers(jobs) as pool:
        yield from zip(cells, pool.map(_outcome, cells, chunksize=4), strict=True)


def _outcome(cell: Cell) -> float | str:
    import text_env  # noqa: F401  (registers the environments in this process)

    try:
        return run_cell(cell)
    except Exception as error:  # a row of the table, and a status of 1
        return f"{type(error).__name__}: {error}"


def _name(agent: str, rule: str, kind: Kind) -> str:
    return f"{agent}/{rule}" + ("" if kind == "tabular" else f"/{kind}")


def _write(shares: dict[str, list[float]], path: Path | None) -> dict[str, Measurement]:
    """Summarise the runs so far, and write the figures where there is a path for them."""
    figures = {name: mean(values, "share of optimum") for name, values in shares.items()}
    if path is not None:
        write_json(figures, path)
    return figures


def _table(kind: Kind, options: ExactOptions, figures: dict[str, Measurement]) -> Table:
    seeds = 2 if options.quick else options.num_seeds
    table = Table(
        title=f"share of the optimum, {kind} policy, vocabulary {options.vocab_size}, horizon {options.horizon}",
        caption=f"mean over {seeds} seeds ± half of a 95 % interval; best_of_n: {BEST_OF} responses each, charged for all",
    )
    table.add_column("agent")
    for rule in options.tasks:
        table.add_column(rule, justify="right")
    for agent in options.agents:
        row = []
        for rule in options.tasks:
            figure = figures.get(_name(agent, rule, kind))
            row.append("failed" if figure is None else f"{figure.value:.3f} ± {(figure.high - figure.low) / 2:.3f}")
        table.add_row(agent, *row)
    return table


if __name__ == "__main__":
    sys.exit(main())
