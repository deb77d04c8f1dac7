"""Compute the losses and penalties of policy-gradient agents.

All are functions of tensors [B, T] without state. They count only entries where `counts` is True: the agent's own tokens
of episodes that were scored. Reductions are named, and divide by numbers of the *whole* batch that the caller passes,
so that a batch cut into parts gives the same sum of losses, and so the same gradient, as the whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def episode_mean(terms: Tensor, counts: Tensor, num_episodes: float) -> Tensor:
    """Sum over the tokens of each episode, then average over episodes.

    The expected return is such a mean, so its gradient is one too: a token weighs the same however long its episode is.

    Args:
        terms: [B, T]. counts: [B, T] bool, which terms count.
        num_episodes: how many episodes the whole batch counts.

    Returns: a scalar.
    """
    assert terms.shape == counts.shape, f"terms {tuple(terms.shape)} and counts {tuple(counts.shape)} must be alike"
    return torch.where(counts, terms, 0.0).sum() / num_episodes


def token_mean(terms: Tensor, counts: Tensor, num_tokens: float) -> Tensor:
    """Average over tokens: right for what is a property of a state, such as the error of its value.

    Args:
        num_tokens: how many tokens the whole batch counts. Others as in `episode_mean`.

    Returns: a scalar.
    """
    assert terms.shape == counts.shape, f"terms {tuple(terms.shape)} and counts {tuple(counts.shape)} must be alike"
    return torch.where(counts, terms, 0.0).sum() / num_tokens


def response_mean(terms: Tensor, counts: Tensor, num_episodes: float) -> Tensor:
    """Average over the tokens of each episode, then over episodes: a token weighs the less, the longer its episode (GRPO as published).

    Arguments as in `episode_mean`. Returns: a scalar.
    """
    return episode_mean(terms / counts.sum(1, keepdim=True).clamp(min=1), counts, num_episodes)


def policy_gradient_loss(
    logprobs: Tensor, advantages: Tensor, counts: Tensor, num_episodes: float, weights: Tensor | None = None
) -> Tensor:
    """Compute the loss whose negative gradient estimates the gradient of the expected return (Williams 1992).

    loss = -1/n sum over episodes sum over t of weight_t * advantage_t * log pi(a_t | s_t)

    Args:
        logprobs: [B, T], with gradient.
        advantages: [B, T], without.
        num_episodes: n, of the whole batch. Reduction: `episode_mean`.
        weights: [B, T] importance weights, without gradient; None means 1.

    Returns: a scalar. Its value means nothing; only its gradient does.
    """
    assert not advantages.requires_grad, "advantages must carry no gradient"
    weighted = advantages if weights is None else advantages * weights.detach()
    return -episode_mean(weighted.to(logprobs.dtype) * logprobs, counts, num_episodes)


def clipped_gains(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip_below: float, clip_above: float) -> Tensor:
    """Compute what each token gains by having become likelier, with no reward for leaving a range (Schulman et al. 2017, eq. 7).

    gain_t = min(ratio_t * A_t, clip(ratio_t, 1 - clip_below, 1 + clip_above) * A_t),   ratio_t = pi(a_t | s_t) / pi_old(a_t | s_t)

    At ratio 1 its gradient is A_t times that of log pi. Where a token with a positive advantage is already likelier than the range allows,
    or one with a negative advantage less likely, it is 0. Minus its `episode_mean` is PPO's loss.

    Args:
        logprobs: [B, T], with gradient. old_logprobs, advantages: [B, T], without.
        clip_below, clip_above: above 0, and the first below 1. Equal in PPO; DAPO widens the upper one (Yu et al. 2025, arXiv:2503.14476).

    Returns: [B, T].
    """
    assert not (advantages.requires_grad or old_logprobs.requires_grad), "advantages and old_logprobs must carry no gradient"
    ratio = (logprobs - old_logprobs).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip_below, 1.0 + clip_above) * advantages)


def importance_weights(logprobs: Tensor, sampler_logprobs: Tensor, cap: float = 2.0) -> Tensor:
    """Compute truncated importance weights: the learner's probability of each token over the sampler's (Ionides 2008).

    w_t = min(cap, pi(a_t | s_t) / mu(a_t | s_t))

    The sampler may hold its weights in a lower precision, so the two differ even before the first step. Each token is weighed
    alone: the product over a prefix, which would be exact, varies too much.

    Returns: [B, T], without gradient.
    """
    return (logprobs.detach() - sampler_logprobs.to(logprobs.dtype)).exp().clamp(max=cap)


def entropy_bonus_loss(entropy: Tensor, counts: Tensor, num_tokens: float) -> Tensor:
    """Return minus the mean entropy per token, in nats. It takes the visited prefixes as given.

    Args:
        entropy: [B, T], over the vocabulary, with gradient. Reduction: `token_mean`.
    """
    return -token_mean(entropy, counts, num_tokens)


def value_loss(values: Tensor, targets: Tensor, counts: Tensor, num_tokens: float) -> Tensor:
    """Return half the mean squared error of the values, per token.

    Args:
        values: [B, T], with gradient. targets: [B, T], without. Reduction: `token_mean`.
    """
    assert not targets.requires_grad, "targets must carry no gradient"
    return 0.5 * token_mean((values - targets.to(values.dtype)).square(), counts, num_tokens)


def clipped_value_loss(
    values: Tensor, old_values: Tensor, targets: Tensor, counts: Tensor, num_tokens: float, clip: float | None
) -> Tensor:
    """Return `value_loss`, with no gain from moving a value further than `clip` at once (Engstrom et al. 2020, arXiv:2005.12729).

    loss_t = max((V_t - target_t)^2, (V_old_t + clip(V_t - V_old_t, -clip, clip) - target_t)^2) / 2

    Andrychowicz et al. 2021 (arXiv:2006.05990) found no task that it helps.

    Args:
        values: [B, T], with gradient. old_values, targets: [B, T], without.
        clip: in units of the score; None = no clipping. Reduction: `token_mean`.
    """
    if clip is None:
        return value_loss(values, targets, counts, num_tokens)
    assert not (targets.requires_grad or old_values.requires_grad), "targets and old_values must carry no gradient"
    held = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * token_mean(torch.maximum((values - targets).square(), (held - targets).square()), counts, num_tokens)


def kl_terms(logprobs: Tensor, reference_logprobs: Tensor, estimator: str) -> Tensor:
    """Estimate the divergence KL(pi || reference) of each prefix from the token drawn there (Schulman 2020, "Approximating KL divergence").

    With x = log pi(a) - log reference(a) of the drawn token:
        k1 = x              unbiased; negative for some tokens. As a loss its expected gradient is 0: use it as a reward.
        k2 = x^2 / 2        biased, never negative. As a loss its expected gradient is exactly that of KL(pi || reference).
        k3 = exp(-x) - 1 + x    unbiased, never negative. As a loss its expected gradient is that of KL(reference || pi)
                            (Tang and Munos 2025, arXiv:2506.09477): it pulls towards the reference, but is another penalty.

    Args:
        logprobs: [B, T], with gradient where it is a loss. reference_logprobs: [B, T], without.

    Returns: [B, T].
    """
    log_ratio = logprobs - reference_logprobs.to(logprobs.dtype)
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio.square()
    if estimator == "k3":
        return torch.expm1(-log_ratio) + log_ratio
    raise ValueError(f"estimator must be k1, k2 or k3, got {estimator!r}")


def kl_loss(terms: Tensor, counts: Tensor, num_episodes: float) -> Tensor:
    """Return the mean divergence per episode: KL terms summed over its tokens, averaged over episodes.

    It takes the visited prefixes as given: the gradient leaves out that other tokens would have led to other prefixes. The whole gradient
    of KL(pi || reference) over responses is what `kl_rewards` gives.

    Args:
        terms: [B, T], of `kl_terms` (k2 or k3) or exact over the vocabulary, with gradient. Reduction: `episode_mean`.
    """
    return episode_mean(terms, counts, num_episodes)


def kl_rewards(
    rewards: FloatArray, logprobs: npt.NDArray[np.floating], reference_logprobs: FloatArray, is_action: BoolArray, kl_weight: float
) -> FloatArray:
    """Take the penalty for leaving the reference off the rewards, token by token (Ziegler et al. 2019, arXiv:1909.08593, eq. 2).

    r'_t = r_t - kl_weight * (log pi(a_t | s_t) - log reference(a_t | s_t))

    The expected return is then score - kl_weight * KL(pi || reference) over whole responses, and its policy gradient is exact.
    Scores stay what the feedback said.

    Args:
        rewards, is_action: [B, T]. logprobs: [B, T], of the policy that wrote. reference_logprobs: [B, T].

    Returns: new rewards [B, T], zero off actions.
    """
    return np.where(is_action, rewards - kl_weight * (logprobs - reference_logprobs), 0.0)
