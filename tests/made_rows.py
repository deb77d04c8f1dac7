"""Make up the rows of a suite, as `benchmarks.arena.ledger` keeps them: tasks, contenders and seeds, with curves, and one failure."""

import json
import math

import numpy as np

from benchmarks.arena.ledger import RUNS

TASKS = {  # headline, score of the reference, ceiling, feedback, tokens
    "count": ("share_of_optimum", 0.2, 1.0, None, 28_000),
    "reviews": ("score", 0.1, 0.8, None, 15_000),
    "reviews-noisy": ("sentiment", 0.1, 0.8, {"source": "feedback.noisy:Noisy", "options": {"noise": 0.5}}, 15_000),
    "translate": ("chrf", 0.15, 0.6, None, 15_000),
    "nothing": ("score", 0.3, 0.3, None, 15_000),
}
CONTENDERS = {  # is it trained, how far it comes, nats of KL where it gets there
    "reference": (False, 0.0, 0.0),
    "slow": (True, 0.3, 2.0),
    "fast": (True, 0.9, 6.0),
    "wasteful": (True, 0.85, 20.0),
    "best-of-8": (False, 0.5, 1.2),
}
POINTS = 6


def made_rows(seeds=5, tasks=tuple(TASKS), contenders=tuple(CONTENDERS), failing=("translate", "slow", 1), noise=0.02):
    """Return rows; the first task's scores have an optimum, "reviews-noisy" is a variant, and nobody learns "nothing"."""
    rows = []
    for row, task in enumerate(tasks):
        for seed in range(seeds):
            for column, contender in enumerate(contenders):
                rows.append(made_row(task, contender, seed, (row, column), noise))
                if (task, contender, seed) == failing:
                    rows[-1] |= failure()
    return rows


def made_row(task, contender, seed, place, noise=0.02):
    headline, low, high, feedback, budget = TASKS[task]
    is_trained, gain, kl = CONTENDERS[contender]
    gain *= 0.6 if feedback else 1.0
    random = np.random.default_rng([seed, *place])
    scores = [low + (high - low) * gain * (1 - math.exp(-4 * at / POINTS)) for at in range(1, POINTS + 1)]
    scores = [low, *(score + noise * random.normal() for score in scores)] if is_trained else [low + (high - low) * gain]
    if contender == "reference":
        scores = [low + noise / 5 * random.normal()]
    used = [round(budget * at / POINTS) if is_trained else 0 for at in range(len(scores))]
    score = scores[-1]
    final = {
        "score": score,
        "score_standard_error": 0.01,
        "share_scored": 1.0,
        "share_ended": 0.4 + 0.1 * gain,
        "tokens_per_response": 15.0 - 3 * gain,
        "kl_nats_per_response": kl * (1 + 0.1 * random.normal()),
        "reference_perplexity": 15.0 * (1 + gain) + random.normal(),
        "distinct_2": 0.8 - 0.3 * gain,
    }
    if headline == "share_of_optimum":
        final[headline] = 0.0 if contender == "reference" else (score - low) / (high - low)
    return {
        "kind": "run",
        "suite": "made",
        "task": task,
        "contender": contender,
        "seed": seed,
        "place": list(place),
        "settings": settings(task, contender, feedback, budget),
        "headline": headline,
        "is_failed": False,
        "error": None,
        "traceback": None,
        "device": "cpu",
        "machine": "a made-up machine",
        "seconds": 40.0 + 10 * is_trained,
        "peak_megabytes": 500.0,
        "stopped_by": "tokens" if is_trained else "not trained",
        "spent": spent(used[-1], len(used)),
        "evaluation_spent": spent(4000, 0),
        "curve": [point(at, tokens, value, kl) for at, (tokens, value) in enumerate(zip(used, scores, strict=True))],
        "final": final,
        "extra": {headline: {"mean": score, "standard_error": 0.01, "share_scored": 1.0}} if headline in ("chrf", "sentiment") else {},
        "responses": [{"prompt": "Say <it>:", "response": "A fine & good one.", "references": ["So be it."], "score": score}],
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "commit": "0" * 40,
        "finished": "2026-01-02T03:04:05+00:00",
    }


def settings(task, contender, feedback, budget):
    made = {"name": task, "env": f"Made/{task.split('-')[0]}-v0", "env_options": {}, "feedback": feedback, "model": "tinylm"}
    is_trained = CONTENDERS[contender][0]
    return {
        "task": made,
        "contender": {"name": contender, "agent": "made:Agent", "is_trained": is_trained, "best_of": 8 if contender == "best-of-8" else 1},
        "config": {"learning_rate": 3e-4} if is_trained else {},
        "budget": {"tokens": budget, "queries": None, "forwards": None, "seconds": None},
        "device": "cpu",
    }


def spent(tokens, updates):
    return {"updates": updates, "tokens": tokens, "queries": tokens // 15, "forwards": 3 * tokens, "seconds": tokens / 1000}


def point(at, tokens, score, kl):
    passed = spent(tokens, at)
    return {"update": passed.pop("updates"), **passed, "score": score, "kl": kl * at / POINTS}


def failure():
    story = "Traceback (most recent call last):\nArithmeticError: the weights are no longer finite"
    return {"is_failed": True, "error": "ArithmeticError: the weights are <no> longer finite", "traceback": story} | {
        "curve": [],
        "final": {},
        "extra": {},
        "responses": [],
        "stopped_by": None,
    }


def write_rows(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUNS).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder
