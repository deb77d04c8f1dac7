"""Measure an agent on held-out prompts: what it gained, and what the gain cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from agents.agent import Agent
from agents.learning.collect import Env, collect
from agents.learning.drift import held_still
from agents.learning.rollout import Rollout
from agents.learning.step import as_array, describe


def evaluate(env: Env, agent: Agent, num_episodes: int, seed: int = 0, rows_per_chunk: int = 16) -> tuple[dict[str, float], Rollout]:
    """Let the agent write on an environment of its own, and measure it.

    The seed decides prompts and tokens, so two policies are compared on the same prompts. Nothing of a training in progress is
    disturbed: neither the agent's own generators nor another environment's.

    Args:
        env: an environment with held-out prompts, not the one that is trained on.
        num_episodes: how many responses.
        rows_per_chunk: responses that go through the reference at a time.

    Returns: the measurements, and the rollout that they are of.
        score, score_standard_error: mean over scored responses, and how far it may be off by chance.
        kl_nats_per_response: mean of log pi - log reference of a response. Absent where the agent has no reference.
        reference_logprob_per_token: how likely the reference finds the tokens, in nats; minus it is the log of the perplexity.
        distinct_2: see `distinct_bigrams`; of what the agent wrote, without a partner's turns.
        share_scored, share_ended, share_truncated, tokens_per_response: as in training.
        feedback_time: where the feedback drifts, the time at which all of it was judged; evaluation does not move it.
    """
    with held_still(env) as times:
        rollout = collect(env, agent, num_episodes, seed=seed)
    return measure_rollout(agent, rollout, rows_per_chunk) | times, rollout


def measure_rollout(agent: Agent, rollout: Rollout, rows_per_chunk: int = 16) -> dict[str, float]:
    """Return the measurements of `evaluate`, of responses at hand that the agent wrote."""
    measured = describe(rollout)
    scored = rollout.scores[rollout.is_scored]
    if len(scored) > 1:
        measured["score_standard_error"] = float(scored.std(ddof=1) / np.sqrt(len(scored)))
    measured |= _against_reference(getattr(agent, "policy", None), rollout, rows_per_chunk)
    own = [turn for episode in rollout.episodes if episode is not None for turn in episode.turns[::2] or (episode.response,)]
    return measured | {"distinct_2": distinct_bigrams(own)}


def distinct_bigrams(texts: Sequence[str]) -> float:
    """Return distinct-2 (Li et al. 2016, arXiv:1510.03055): different pairs of neighbouring words over all such pairs.

    It falls as more texts are counted, so compare equal numbers of texts. Without any pair it is 0.
    """
    pairs = [pair for text in texts for pair in pairwise(text.lower().split())]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def _against_reference(policy: Any, rollout: Rollout, rows_per_chunk: int) -> dict[str, float]:
    if policy is None or getattr(policy, "reference_name", "") is None:
        return {}
    reference = as_array(
        policy.reference_logprobs(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks, rows_per_chunk=rows_per_chunk)
    )
    log_ratio = np.where(rollout.is_action, rollout.logprobs - reference, 0.0)
    return {
        "kl_nats_per_response": float(log_ratio.sum(axis=1).mean()),
        "reference_logprob_per_token": float(reference[rollout.is_action].mean()),
    }
