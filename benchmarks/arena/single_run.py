"""Train a contender on a task with a seed until its budget is used up, and measure it on held-out prompts on the way."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents import CausalPolicy, EncoderDecoderPolicy, TabularPolicy, best_of_n, evaluate, language_policy
from agents.agent import Imitator
from agents.learning.held_out import measure_rollout
from agents.learning.late import rollouts_of
from agents.learning.rollout import Rollout
from agents.policy.listing import objective_of, policy_tables
from benchmarks.arena.seeds import update_seeds
from benchmarks.arena.spending import ForwardCounter, Spent, used_up
from benchmarks.arena.suite import Run
from benchmarks.arena.supervised_start import start_folder
from benchmarks.arena.task_env import VectorEnv, make_env
from benchmarks.exact import best_of_n as exact_best_of_n
from benchmarks.paired_runs import EVALUATION, TABLE, seed_of
from text_env.episode import Episode
from text_env.names import resolve
from text_env.scoring import Judge

NUM_SHOWN = 5  # responses that a row shows: the first ones, so that nobody has chosen them


@dataclass
class Examiner:
    """Measure an agent on held-out prompts, the same for every contender with a seed, and keep what that cost.

    Args:
        run: what is measured.
        env: with held-out prompts, `best_of` responses to each.
        counter: of the agent's forwards.
        metrics: sources that measure and do not teach.
    """

    run: Run
    env: VectorEnv
    counter: ForwardCounter
    metrics: dict[str, Judge]
    spent: Spent = field(default_factory=Spent)

    def examine(self, agent: Any) -> tuple[dict[str, float], Rollout]:
        """Return the measurements of `evaluate` and the responses.

        Of the best of n, kl_nats_per_response is a bound from above: log n - (n - 1) / n, for choosing, and what is measured on the chosen.
        """
        with self.counter.charged_to(self.spent):
            measured, chosen, written = self._write(agent)
        self.spent.tokens += int(written.is_action.sum())
        self.spent.queries += int((~written.is_truncated).sum())
        if "score" not in measured:
            raise ValueError(f"the feedback scored none of {len(chosen)} responses")
        if "reference_logprob_per_token" in measured:
            measured["reference_perplexity"] = math.exp(-measured["reference_logprob_per_token"])
        measured |= _exact_shares(agent, self.env, self.run)
        unknown = [f"{name} is {value}" for name, value in measured.items() if not math.isfinite(value)]
        if unknown:
            raise ArithmeticError(f"measurements must be finite numbers, but {', '.join(unknown)}")
        return measured, chosen

    def extra(self, rollout: Rollout) -> dict[str, dict[str, float]]:
        """Return what the metrics say of responses: mean over those they have an opinion of, its standard error, and their share."""
        found = {}
        for name, judge in self.metrics.items():
            said = [judgement.score for judgement in judge.ask(_episodes(rollout))]
            scores = np.array([score for score in said if score is not None], dtype=np.float64)
            if not len(scores):
                raise ValueError(f"metric {name} scored none of {len(said)} responses")
            error = float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else 0.0
            found[name] = {"mean": float(scores.mean()), "standard_error": error, "share_scored": len(scores) / len(said)}
        return found

    def _write(self, agent: Any) -> tuple[dict[str, float], Rollout, Rollout]:
        """Return measurements, the responses that count, and all that were written."""
        n, num_prompts, seed = self.run.contender.best_of, self.run.task.held_out_episodes, seed_of(self.run.seed, EVALUATION)
        if n == 1:
            measured, rollout = evaluate(self.env, agent, num_prompts, seed=seed)
            return measured, rollout, rollout
        best = best_of_n(self.env, agent, num_prompts * n, n, seed=seed)
        if not len(best.rollout):
            raise ValueError(f"the feedback scored none of {len(best.written)} responses")
        measured = measure_rollout(agent, best.rollout)
        if "kl_nats_per_response" in measured:
            measured["kl_nats_per_response"] += best.kl_bound
        return measured, best.rollout, best.written


def play(run: Run, folder: Path) -> dict[str, Any]:
    """Return what a run gave.

    Returns: stopped_by (what was used up, or "not trained"), spent, evaluation_spent, curve, final, extra, responses.

    Raises ValueError where nothing was scored, and ArithmeticError where a measurement is no finite number.
    """
    task, contender = run.task, run.contender
    env, held_out = make_env(task, "train", task.group_size), make_env(task, task.evaluation_split, contender.best_of)
    agent = make_agent(run, env, folder)
    counter, spent = ForwardCounter(agent), Spent()
    metrics = {name: Judge(source.source, dict(source.options)) for name, source in task.metrics.items()}
    examiner = Examiner(run, held_out, counter, metrics)
    rollouts = rollouts_of(env, agent)
    curve: list[dict[str, Any]] = []
    stopped_by = None if contender.is_trained else "not trained"
    while True:
        stopped_by = stopped_by or used_up(run.budget, spent)
        if stopped_by or spent.updates % task.evaluate_every == 0:
            measured, responses = examiner.examine(agent)
            curve.append(_point(spent, measured))
        if stopped_by:
            break
        with counter.charged_to(spent):
            rollout = rollouts.next(task.episodes_per_update, update_seeds(run.seed, spent.updates))
            agent.update(rollout)
        _charge(spent, rollout, is_asked=not isinstance(agent, Imitator))
    return {
        "stopped_by": stopped_by,
        "spent": asdict(spent),
        "evaluation_spent": asdict(examiner.spent),
        "curve": curve,
        "final": measured,
        "extra": examiner.extra(responses),
        "responses": _shown(responses),
    }


def make_agent(run: Run, env: VectorEnv, folder: Path) -> Any:
    """Make a run's agent; its policy estimates values where its config has a `critic_learning_rate`."""
    task, contender = run.task, run.contender
    config = contender.config(task.model)
    options = {"value_head": hasattr(config, "critic_learning_rate"), "seed": run.seed, **contender.policy}
    policy: CausalPolicy | EncoderDecoderPolicy | TabularPolicy
    if task.model == TABLE:
        exact = getattr(env.unwrapped, "exact", None)
        if exact is None:
            raise ValueError(f'model "table" needs a task with few responses, such as TextGen/Exact-v0, not {task.env}')
        policy = TabularPolicy(exact.vocab_size, exact.horizon, exact.prompts.tolist(), **options)
    else:
        policy = language_policy(_model(run, folder), device=run.device, **options)
    return resolve(contender.agent, policy=policy, config=config)


def _model(run: Run, folder: Path) -> str:
    """Return what the policy is made of, and held to: the task's model, or what became of it under supervision."""
    if not run.needs_start:
        return run.task.model
    start = start_folder(folder, run.task, run.seed)
    if not start.exists():
        raise RuntimeError(f"there is no supervised start in {start}: the row of that start says why")
    return str(start)


def _charge(spent: Spent, rollout: Rollout, is_asked: bool) -> None:
    spent.updates += 1
    spent.tokens += int(rollout.is_action.sum())
    spent.queries += int((~rollout.is_truncated).sum()) if is_asked else 0


def _point(spent: Spent, measured: dict[str, float]) -> dict[str, Any]:
    """Return a point of the learning curve; kl is None where the agent has no reference."""
    return {
        "update": spent.updates,
        "tokens": spent.tokens,
        "queries": spent.queries,
        "forwards": spent.forwards,
        "seconds": spent.seconds,
        "score": measured["score"],
        "kl": measured.get("kl_nats_per_response"),
    }


def _exact_shares(agent: Any, env: VectorEnv, run: Run) -> dict[str, float]:
    """Return how far the agent is on the way to the optimum, from sums over all responses; nothing where they cannot be listed.

    share_of_optimum: (E[score] - that of the reference) / (best score - that of the reference); 0 is the reference, 1 the optimum.
    share_of_penalised_optimum: the same of score - kl_weight * KL, for agents with such a weight; see `agents.policy.listing.Objective`.
    """
    if run.task.model != TABLE:
        return {}
    exact = env.unwrapped.exact  # type: ignore[attr-defined]
    reference, ours = policy_tables(agent.policy, exact, of_reference=True), policy_tables(agent.policy, exact)
    if run.contender.best_of > 1:
        ours = exact_best_of_n(exact, ours, run.contender.best_of)
    at_reference, here = (float(exact.tree.objective(tables, exact.scores).mean()) for tables in (reference, ours))
    best = float(exact.tree.best(exact.scores).states[:, 0].mean())
    shares = {"share_of_optimum": (here - at_reference) / (best - at_reference)}
    kl_weight = getattr(agent.config, "kl_weight", 0.0)
    if kl_weight > 0:
        shares["share_of_penalised_optimum"] = objective_of(exact, ours, reference, kl_weight).share
    return shares


def _episodes(rollout: Rollout) -> list[Episode]:
    """Return the episodes, all of which ended or were cut: `collect` leaves out none."""
    return [episode for episode in rollout.episodes if episode is not None]


def _shown(rollout: Rollout) -> list[dict[str, Any]]:
    return [
        {
            "prompt": episode.prompt.text,
            "response": episode.response,
            "references": list(episode.prompt.references or ()),
            "score": float(score) if is_scored else None,
        }
        for episode, score, is_scored in zip(
            _episodes(rollout)[:NUM_SHOWN], rollout.scores[:NUM_SHOWN], rollout.is_scored[:NUM_SHOWN], strict=True
        )
    ]
