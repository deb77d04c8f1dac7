"""Say why a training run does not learn, from what it wrote down.

Each rule looks at one symptom and returns a finding where a threshold is passed. A threshold is a constant with its reason. What a run has
not measured is not judged: an agent without a critic has no error of its values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.learning.run_folder import read_metrics

FEW_SCORED = 0.5  # share of scored episodes below which half of the tokens are paid for nothing
HARDLY_SCORED = 0.1  # below this the updates rest on a handful of episodes
FEW_ENDED = 0.05  # share of responses that end by themselves; below this the budget decides nearly every ending
MOST_DEGENERATE = 0.5  # share of groups with equal scores; 20 % are usual with 8 responses and a score of 0 or 1
STILL = 1e-5  # nats per response; rounding alone gives up to 1e-6 in float32, and the smallest usual step more than 1e-4
LEAP = 0.3  # nats per token from one update to the next; useful steps are below 0.02 (the default of PPO's stop_kl)
FAR = 1.0  # nats per token from the reference; each token is then e times likelier than it was, on average
SMALL_GAIN = 0.2  # score spread / kl_weight, which is about what the optimum may gain in units of the spread
COLLAPSED = 0.05  # entropy as a share of what it was at first
ALIKE = 0.9  # share of prompts all of whose responses are the same
NOISE = 0.5  # share of the variance of scores that is between equal responses; 0 for feedback that depends on the response alone
CLIPPED = 100.0  # gradient norm in units of max_grad_norm; up to 10 is usual for small models
NO_GRADIENT = 1e-8  # Adam adds 1e-8 to the root of the second moment, so smaller gradients move nothing
MANY_CLIPPED = 0.3  # share of tokens outside PPO's range; 0.1 to 0.2 is usual
MISMATCH = 0.05  # nats per token between sampler and learner; bfloat16 gives about 0.01
SHORTER = 0.25  # length as a share of what it was at first
SURE = 2.0  # standard errors, below which a fall of the score may be chance
POOR_CRITIC = 0.0  # share of the returns' variance that values explain; below 0 a constant would do better
LARGE_ADVANTAGES = 10.0  # units of the score; penalties and bonuses have defaults for scores that spread by about 1


class Severity(IntEnum):
    """Say how far a finding explains that a run does not learn."""

    CRITICAL = 0  # as long as it is so, nothing can be learned
    WARNING = 1  # learning is slowed down, or led astray
    NOTE = 2  # may be as it should


@dataclass(frozen=True)
class Finding:
    """Hold one thing that is wrong with a run.

    Args:
        name: of the symptom. severity: how much it explains.
        seen: what was measured, with figures. cause: what usually lies behind it. change: what to do.
        figures: the numbers in `seen`, by name.
    """

    name: str
    severity: Severity
    seen: str
    cause: str
    change: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Diary:
    """Hold what a run wrote down.

    Args:
        metrics: lines of metrics.jsonl, without the evaluation before the first update.
        responses: lines of responses.jsonl that were written in training.
        config: config.json.
    """

    metrics: list[dict[str, Any]]
    responses: list[dict[str, Any]]
    config: dict[str, Any]

    def series(self, name: str) -> npt.NDArray[np.float64]:
        """Return a metric over the updates that have it."""
        return np.array([line[name] for line in self.metrics if line.get(name) is not None], dtype=np.float64)

    def ends(self, name: str) -> tuple[float, float] | None:
        """Return the mean of a metric over the first and over the last third of the updates; None with fewer than three."""
        series = self.series(name)
        third = len(series) // 3
        return None if third == 0 else (float(series[:third].mean()), float(series[-third:].mean()))

    def setting(self, name: str, default: float | None = None) -> float | None:
        """Return a number from the agent's config."""
        value = (self.config.get("config") or {}).get(name)
        return default if value is None else float(value)

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """Return all scores that were given in training."""
        return np.array([line["score"] for line in self.responses if line["score"] is not None], dtype=np.float64)

    def grouped(self, *names: str) -> list[list[dict[str, Any]]]:
        """Return the responses that are alike in the given respects, two or more of them."""
        found: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        for line in self.responses:
            found[tuple(line[name] for name in names)].append(line)
        return [lines for lines in found.values() if len(lines) > 1]


def read_diary(folder: str | Path) -> Diary:
    """Read a run's folder.

    Raises ValueError where it holds no run, or one without a single update.
    """
    folder = Path(folder)
    for name in ("config.json", "metrics.jsonl", "responses.jsonl"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} is no run: it has no {name}, which `python -m agents train` and agents.train write")
    with (folder / "responses.jsonl").open(encoding="utf-8") as file:  # by newlines only: a response may hold other separators of lines
        responses = [json.loads(line) for line in file if line.endswith("\n")]
    metrics = [line for line in read_metrics(folder) if line["update"] > 0]
    if not metrics:
        raise ValueError(f"{folder} has no update yet: let it train for a few, and ask again")
    if any("nll_nats_per_token" in line for line in metrics):
        raise ValueError(
            f"{folder} learned from references, and it is learning from scores that is explained here: "
            "see whether held_out/nll_nats_per_token falls in its metrics.jsonl"
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Diary(metrics, [line for line in responses if line["split"] == "train"], config)


def diagnose(diary: Diary) -> list[Finding]:
    """Return what is wrong with a run, the most severe first; nothing where it is healthy."""
    found = [finding for rule in RULES if (finding := rule(diary)) is not None]
    return sorted(found, key=lambda finding: finding.severity)


def constant_score(diary: Diary) -> Finding | None:
    """Find scores that never differ."""
    if len(diary.scores) < 2 or np.ptp(diary.scores) > 1e-9 * max(1.0, np.abs(diary.scores).max()):
        return None
    return Finding(
        "constant_score",
        Severity.CRITICAL,
        f"all {len(diary.scores)} scores are {diary.scores[0]:.4g}",
        "the feedback does not tell responses apart: a rule that none or all of them meet, or a source that returns a constant",
        "try the source on a good and a bad text (python -m feedback try), and pay for part of what is wanted",
        {"num_scores": float(len(diary.scores)), "score": float(diary.scores[0])},
    )


def abstains(diary: Diary) -> Finding | None:
    """Find feedback that has no opinion on many episodes."""
    share = diary.series("share_scored")
    if len(share) == 0 or share.mean() >= FEW_SCORED:
        return None
    return Finding(
        "abstains",
        Severity.CRITICAL if share.mean() < HARDLY_SCORED else Severity.WARNING,
        f"{share.mean():.1%} of the episodes were scored, and {(share == 0).sum()} of {len(share)} updates had none",
        "the feedback abstains, is down (on_error=abstain), or an outside time limit cuts episodes before they are judged",
        "ask it about a few responses by hand (python -m feedback check), and raise max_episode_steps where share_truncated is high",
        {"share_scored": float(share.mean()), "updates_without_a_score": float((share == 0).sum())},
    )


def cut_off(diary: Diary) -> Finding | None:
    """Find responses that nearly all run into the token budget."""
    share = diary.series("share_ended")
    if len(share) == 0 or share.mean() >= FEW_ENDED:
        return None
    return Finding(
        "cut_off",
        Severity.NOTE,
        f"{1 - share.mean():.1%} of the responses were cut by the budget of tokens, after {diary.series('tokens_per_response').mean():.1f}",
        "max_new_tokens is below what a whole response needs, or the end token is not known to the environment",
        "raise max_new_tokens, give a stop text, or check eos_ids; leave it where the task is to write exactly so many tokens",
        {"share_ended": float(share.mean())},
    )


def degenerate_groups(diary: Diary) -> Finding | None:
    """Find groups whose responses all have the same score."""
    share = diary.series("share_degenerate_groups")
    if len(share) == 0 or share.mean() <= MOST_DEGENERATE:
        return None
    return Finding(
        "degenerate_groups",
        Severity.CRITICAL if share.mean() > 0.9 else Severity.WARNING,
        f"{share.mean():.1%} of the groups have equal scores, which a comparison inside the group learns nothing from",
        "prompts that are too easy or too hard, scores too coarse, or groups too small",
        "make groups larger (group_size), choose prompts of medium difficulty, or pay for part of what is wanted",
        {"share_degenerate_groups": float(share.mean())},
    )


def standstill(diary: Diary) -> Finding | None:
    """Find a policy that has not moved from the reference."""
    kl = diary.series("kl_nats_per_response")
    if len(kl) < 3 or np.abs(kl).max() > STILL:
        return None
    rate = diary.setting("learning_rate")
    return Finding(
        "standstill",
        Severity.CRITICAL,
        f"after {len(kl)} updates the policy is {np.abs(kl).max():.2g} nats per response from the reference"
        + ("" if rate is None else f", at a learning rate of {rate:g}"),
        "a learning rate of 0 or far too low, a gradient that is 0 or clipped to nothing, or parameters that are not trained",
        "raise the learning rate tenfold until the divergence grows, after other critical findings are put right",
        {"kl_nats_per_response": float(np.abs(kl).max())} | ({} if rate is None else {"learning_rate": rate}),
    )


def leap(diary: Diary) -> Finding | None:
    """Find a single update that changed the policy beyond what its rollout can justify."""
    kl = np.concatenate([[0.0], diary.series("kl_nats_per_token")])  # it begins at the reference
    steps = np.concatenate([np.abs(np.diff(kl)), diary.series("update_kl_nats_per_token")])
    if steps.max(initial=0.0) <= LEAP:
        return None
    return Finding(
        "leap",
        Severity.WARNING,
        f"one update moved the policy by {steps.max():.3g} nats per token",
        "a learning rate that is far too high, or too many steps on one rollout",
        "lower the learning rate tenfold; with PPO or GRPO lower epochs or stop_kl",
        {"largest_step_nats_per_token": float(steps.max())},
    )


def far_away(diary: Diary) -> Finding | None:
    """Find a policy that has left the reference far behind."""
    kl = diary.series("kl_nats_per_token")
    if len(kl) == 0 or kl[-1] <= FAR:
        return None
    return Finding(
        "far_away",
        Severity.WARNING,
        f"the policy is {kl[-1]:.3g} nats per token from the reference",
        "kl_weight is too low for the scale of the scores, so that the policy exploits the feedback",
        "raise kl_weight, or steer it with kl_target; read the last responses before the score is believed",
        {"kl_nats_per_token": float(kl[-1])},
    )


def heavy_penalty(diary: Diary) -> Finding | None:
    """Find a penalty beside which the scores do not count.

    The best policy is reference * exp(score / kl_weight); for a heavy penalty it gains about variance / kl_weight of score.
    """
    steered = diary.series("kl_weight")
    weight = float(steered[-1]) if len(steered) else diary.setting("kl_weight")
    spread = float(diary.scores.std()) if len(diary.scores) else 0.0
    if weight is None or weight <= 0 or spread == 0 or spread / weight >= SMALL_GAIN:
        return None
    return Finding(
        "heavy_penalty",
        Severity.CRITICAL,
        f"kl_weight is {weight:.3g} score per nat, the scores spread by {spread:.3g}: "
        f"even the optimum gains about {spread**2 / weight:.2g}",
        "a penalty for drift that was chosen for scores of another scale",
        f"lower kl_weight to about a tenth of the spread, {spread / 10:.2g}",
        {"kl_weight": weight, "score_spread": spread, "possible_gain": spread**2 / weight},
    )


def entropy_collapse(diary: Diary) -> Finding | None:
    """Find a policy that has become certain of every token."""
    entropy = diary.series("entropy_nats_per_token")
    if len(entropy) < 3 or entropy[-1] >= COLLAPSED * entropy[0]:
        return None
    return Finding(
        "entropy_collapse",
        Severity.WARNING,
        f"the entropy fell from {entropy[0]:.3g} to {entropy[-1]:.3g} nats per token",
        "a learning rate that is too high, or a penalty that is too low, before other responses were tried; at the optimum it is harmless",
        "raise kl_weight or entropy_weight, lower the learning rate, and look whether the score still rises",
        {"entropy_first": float(entropy[0]), "entropy_last": float(entropy[-1])},
    )


def identical_responses(diary: Diary) -> Finding | None:
    """Find prompts that get the same response each time, from the first update on."""
    updates = [int(line["update"]) for line in diary.responses]
    first = [lines for lines in diary.grouped("update", "prompt") if lines[0]["update"] == min(updates)]
    if sum(map(len, first)) < 4:
        return None
    share = float(np.mean([len({line["response"] for line in lines}) == 1 for lines in first]))
    if share < ALIKE:
        return None
    return Finding(
        "identical_responses",
        Severity.CRITICAL,
        f"in the first update {share:.0%} of the prompts with several responses got the same one each time",
        "a temperature of 0, a mask that leaves one token, or a model that is certain of its words",
        "set temperature to 1 in training: responses that do not differ cannot be compared",
        {"share_of_prompts_alike": share},
    )


def noisy_score(diary: Diary) -> Finding | None:
    """Find scores that differ where the responses are the same."""
    repeated = [
        [line["score"] for line in lines if line["score"] is not None] for lines in diary.grouped("prompt", "response", "ending", "tokens")
    ]
    repeated = [scores for scores in repeated if len(scores) > 1]
    variance = float(diary.scores.var()) if len(diary.scores) else 0.0
    freedom = sum(len(scores) - 1 for scores in repeated)
    if freedom < 10 or variance == 0:  # fewer repetitions say little
        return None
    noise = sum(float(np.var(scores)) * len(scores) for scores in repeated) / freedom / variance
    if noise < NOISE:
        return None
    return Finding(
        "noisy_score",
        Severity.CRITICAL if noise > 0.9 else Severity.WARNING,
        f"responses that are the same differ in their scores: that makes {min(noise, 1.0):.0%} of all variance",
        "feedback that ignores the response or is mostly noise, or scores that go to the wrong episodes",
        "ask the source twice about the same texts (python -m feedback check), and average several answers",
        {"share_of_variance": noise},
    )


def clipped_gradient(diary: Diary) -> Finding | None:
    """Find gradients that are always scaled down to a small part."""
    norms = diary.series("grad_norm")
    limit = diary.setting("max_grad_norm", 1.0)
    assert limit is not None
    if len(norms) == 0 or limit <= 0 or np.median(norms) <= CLIPPED * limit:
        return None
    return Finding(
        "clipped_gradient",
        Severity.CRITICAL if limit <= NO_GRADIENT else Severity.WARNING,
        f"the gradient's norm is {np.median(norms):.3g} and is clipped to {limit:.3g} in {(norms > limit).mean():.0%} of the updates",
        "max_grad_norm is far below the usual norm, or the scores are of a large scale",
        "set max_grad_norm to about the median norm, or bring the scores to a spread of about 1",
        {"median_grad_norm": float(np.median(norms)), "max_grad_norm": limit},
    )


def no_gradient(diary: Diary) -> Finding | None:
    """Find gradients that are too small to move anything."""
    norms = diary.series("grad_norm")
    if len(norms) == 0 or np.median(norms) > NO_GRADIENT:
        return None
    return Finding(
        "no_gradient",
        Severity.CRITICAL,
        f"the gradient's norm is {np.median(norms):.3g}",
        "all advantages are 0 (equal scores), or the policy is certain of every token",
        "look at the findings on scores and entropy first",
        {"median_grad_norm": float(np.median(norms))},
    )


def clipped_ratios(diary: Diary) -> Finding | None:
    """Find updates that leave the range in which PPO's loss has a gradient."""
    share = diary.series("share_clipped")
    if len(share) == 0 or share.mean() <= MANY_CLIPPED:
        return None
    return Finding(
        "clipped_ratios",
        Severity.WARNING,
        f"{share.mean():.1%} of the tokens leave the range of the ratio in an update",
        "a learning rate that is too high, or too many epochs on one rollout",
        "lower the learning rate or epochs; a lower stop_kl ends the steps in time",
        {"share_clipped": float(share.mean())},
    )


def sampler_mismatch(diary: Diary) -> Finding | None:
    """Find a sampler that writes by another distribution than the learner's."""
    gap = diary.series("sampler_mismatch_nats_per_token")
    if len(gap) == 0 or gap.mean() <= MISMATCH:
        return None
    return Finding(
        "sampler_mismatch",
        Severity.WARNING,
        f"sampler and learner differ by {gap.mean():.3g} nats per token",
        "a sampler of too low a precision, other masks or another temperature in writing than in learning, or weights that are stale",
        "set compute_dtype to float32 and see whether it vanishes; hold an agent of your own to python -m agents check",
        {"sampler_mismatch_nats_per_token": float(gap.mean())},
    )


def shrinking_responses(diary: Diary) -> Finding | None:
    """Find responses that have become much shorter."""
    lengths = diary.ends("tokens_per_response")
    if lengths is None or lengths[1] >= SHORTER * lengths[0]:
        return None
    return Finding(
        "shrinking_responses",
        Severity.WARNING,
        f"responses fell from {lengths[0]:.1f} to {lengths[1]:.1f} tokens",
        "short responses are the cheapest way to a good score, or to little drift from the reference",
        "score the length too (feedback.length_window), or set min_new_tokens",
        {"tokens_first": lengths[0], "tokens_last": lengths[1]},
    )


def falling_score(diary: Diary) -> Finding | None:
    """Find a score that falls by more than chance."""
    scores = diary.series("score")
    third = len(scores) // 3
    if third < 2:
        return None
    first, last = scores[:third], scores[-third:]
    error = float(np.sqrt(first.var(ddof=1) / third + last.var(ddof=1) / third))
    if first.mean() - last.mean() <= SURE * error:
        return None
    return Finding(
        "falling_score",
        Severity.WARNING,
        f"the score fell from {first.mean():.4g} to {last.mean():.4g} (standard error {error:.2g})",
        "steps that are too large, a penalty that outweighs the score, or a feedback source whose sign or scale is not what was meant",
        "see the other findings; lower the learning rate, and check that higher is better",
        {"score_first": float(first.mean()), "score_last": float(last.mean())},
    )


def poor_critic(diary: Diary) -> Finding | None:
    """Find values that predict returns worse than their mean does."""
    explained = diary.ends("value_explained")
    if explained is None or explained[1] >= POOR_CRITIC:
        return None
    return Finding(
        "poor_critic",
        Severity.WARNING,
        f"values explain {explained[1]:.2f} of the variance of returns in the last updates, less than a constant would",
        "a critic that learns too slowly, or too fast to be stable, or scores of a large scale",
        "change critic_learning_rate, or raise mixing towards 1, which needs no critic",
        {"value_explained": explained[1]},
    )


def large_advantages(diary: Diary) -> Finding | None:
    """Find advantages of a scale that no default was chosen for."""
    spread = diary.series("advantage_spread")
    if len(spread) == 0 or np.median(spread) <= LARGE_ADVANTAGES:
        return None
    return Finding(
        "large_advantages",
        Severity.WARNING,
        f"advantages spread by {np.median(spread):.3g} in units of the score",
        "scores of a large scale, beside which penalty, entropy bonus and the learning rate of a critic are too small",
        "divide the scores so that they spread by about 1, or raise kl_weight in proportion",
        {"advantage_spread": float(np.median(spread))},
    )


def no_learning_metrics(diary: Diary) -> Finding | None:
    """Find an agent that reports no learning at all."""
    if any(len(diary.series(name)) for name in ("loss", "grad_norm", "kl_nats_per_response", "skipped")):
        return None
    return Finding(
        "no_learning_metrics",
        Severity.NOTE,
        f"{diary.config.get('agent')} reports no loss, gradient or divergence",
        "an agent that learns nothing by design (Frozen, Uniform), or one of your own that reports little",
        "choose an agent that learns, or return loss and grad_norm from update",
        {},
    )


RULES: tuple[Callable[[Diary], Finding | None], ...] = (
    constant_score,
    abstains,
    identical_responses,
    noisy_score,
    degenerate_groups,
    heavy_penalty,
    clipped_gradient,
    no_gradient,
    standstill,
    leap,
    far_away,
    entropy_collapse,
    clipped_ratios,
    poor_critic,
    large_advantages,
    sampler_mismatch,
    falling_score,
    shrinking_responses,
    cut_off,
    no_learning_metrics,
)
