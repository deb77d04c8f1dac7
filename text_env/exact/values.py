"""Compute what is known in closed form when every response is listed: probabilities, V, Q and the regularised optimum.

A policy is a table of log-probabilities with one row per prefix number and one column per token. The discount is 1.
"""

from __future__ import annotations

import numpy as np

from text_env.episode import FloatArray
from text_env.exact.responses import Responses


def response_logprobs(responses: Responses, logprobs: FloatArray) -> FloatArray:
    """Return the log-probability of every response under a table of log-probabilities.

    Args:
        logprobs: [num_prefixes, V]; tokens that are not allowed have -inf.

    Returns: [R]; exp of it sums to 1.
    """
    per_token = logprobs[responses.prefixes, responses.tokens]  # [R, T]
    return np.where(responses.is_action, per_token, 0.0).sum(axis=1)


def action_values(responses: Responses, logprobs: FloatArray, scores: FloatArray) -> FloatArray:
    """Return Q: the expected score after taking a token in a prefix and following the policy from there.

    Q(s, a) = sum over responses y that begin with (s, a) of p(y | s, a) * score(y)

    Args:
        logprobs: [num_prefixes, V]. scores: [R].

    Returns: [num_prefixes, V]; zero where no response passes.
    """
    log_weight = np.where(responses.is_action, logprobs[responses.prefixes, responses.tokens], 0.0)
    after = np.flip(np.cumsum(np.flip(log_weight, axis=1), axis=1), axis=1) - log_weight  # [R, T] log p(rest | s, a)
    values = np.zeros_like(logprobs)
    contributions = np.exp(after) * scores[:, None]
    np.add.at(values, (responses.prefixes[responses.is_action], responses.tokens[responses.is_action]), contributions[responses.is_action])
    return values


def state_values(responses: Responses, logprobs: FloatArray, scores: FloatArray) -> FloatArray:
    """Return V: the expected score from each prefix on. Its first entry is the objective J of an empty response.

    V(s) = sum over tokens a of p(a | s) * Q(s, a)

    Returns: [num_prefixes]; zero where no response passes.
    """
    return (np.exp(logprobs) * action_values(responses, logprobs, scores)).sum(axis=1)


def kl_optimum(reference_logprobs: FloatArray, scores: FloatArray, kl_weight: float) -> FloatArray:
    """Return the distribution over responses that maximises E[score] - kl_weight * KL(p || reference).

    p*(y) = p_ref(y) * exp(score(y) / kl_weight) / Z     (Ziegler et al. 2019, arXiv:1909.08593, eq. 3)

    Args:
        reference_logprobs: [R], of whole responses. scores: [R]. kl_weight: above 0.

    Returns: [R], sums to 1. The best value of the objective is kl_weight * log Z.
    """
    if kl_weight <= 0:
        raise ValueError(f"kl_weight must be above 0, got {kl_weight}: without it the optimum is the response with the best score")
    exponents = reference_logprobs + scores / kl_weight
    weights = np.exp(exponents - exponents.max())
    return weights / weights.sum()
