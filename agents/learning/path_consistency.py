"""Compare what a value expects of a prefix with what the tokens after it earned and cost: the equations of soft Q-learning.

With values that are right and the best policy, both are equal along every path, whoever chose the tokens. So any text teaches, and no
importance weights are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agents.learning.losses import token_mean


def path_targets(
    rewards: Tensor, log_ratios: Tensor, values: Tensor, is_action: Tensor, bootstrap: Tensor, kl_weight: float, mixing: float = 1.0
) -> Tensor:
    """Compute what each prefix was worth along its path (Nachum et al. 2017, arXiv:1702.08892, with a reference).

    target_t = r_t - kl_weight * x_t + (1 - mixing) * V_{t+1} + mixing * target_{t+1},    V and target after the last token = bootstrap

    where x_t = log pi(a_t | s_t) - log reference(a_t | s_t). At mixing 1 it sums over the rest of the path; at mixing 0 it is one step.

    Args:
        rewards, is_action: [B, T]. log_ratios: [B, T], x, with the policy's gradient.
        values: [B, T], before each token; without gradient, so that a prefix is not drawn towards what leads to it.
        bootstrap: [B]. Value after the last token: 0 where the episode terminated.

    Returns: [B, T], zero off actions, with gradient by the log-ratios alone.
    """
    assert rewards.ndim == 2 and rewards.shape == log_ratios.shape == values.shape == is_action.shape, (
        f"rewards {tuple(rewards.shape)}, log_ratios {tuple(log_ratios.shape)}, values {tuple(values.shape)} and "
        f"is_action {tuple(is_action.shape)} must all be [B, T]"
    )
    assert bootstrap.shape == rewards.shape[:1], f"bootstrap {tuple(bootstrap.shape)} must be [B] = {tuple(rewards.shape[:1])}"
    assert not values.requires_grad, "values must carry no gradient"
    earned = rewards - kl_weight * log_ratios
    next_value = next_target = bootstrap
    targets = []
    for column in reversed(range(rewards.shape[1])):
        acts = is_action[:, column]
        next_target = torch.where(acts, earned[:, column] + (1 - mixing) * next_value + mixing * next_target, next_target)
        next_value = torch.where(acts, values[:, column], next_value)
        targets.append(torch.where(acts, next_target, 0.0))
    return torch.stack(targets[::-1], dim=1)


def path_consistency_loss(values: Tensor, targets: Tensor, counts: Tensor, num_tokens: float) -> Tensor:
    """Return half the mean squared inconsistency per prefix (Nachum et al. 2017).

    loss = 1/n sum over prefixes of (target_t - V_t)^2 / 2

    Args:
        values, targets: [B, T], both with gradient: the values learn what the path was worth, the policy what would have made it so.
        num_tokens: n, of the whole batch. Reduction: `token_mean`.

    Returns: a scalar, zero only where all are consistent.
    """
    return 0.5 * token_mean((targets - values).square(), counts, num_tokens)
