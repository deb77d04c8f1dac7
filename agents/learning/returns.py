"""Compute returns, advantages, targets and baselines of finished episodes.

All of them are numpy functions without gradients. Time counts the agent's own tokens: columns where `is_action` is False
(padding, a partner's words) are passed over, and rewards are zero there. Rows never touch each other except in
baselines and whitening, so nothing leaks from one episode into the next.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def returns_to_go(rewards: FloatArray, is_action: BoolArray, bootstrap: FloatArray, discount: float = 1.0) -> FloatArray:
    """Compute what each token still earns.

    G_t = r_t + discount * G_{t+1}, with G after the last token = bootstrap    (Sutton and Barto 2018, eq. 3.9)

    Args:
        rewards, is_action: [B, T].
        bootstrap: [B]. Value after the last token: 0 where the episode terminated.

    Returns: [B, T], zero off actions.
    """
    _check_shapes(rewards, is_action, bootstrap)
    returns = np.zeros_like(rewards)
    after = bootstrap.astype(rewards.dtype)
    for column in reversed(range(rewards.shape[1])):
        after = np.where(is_action[:, column], rewards[:, column] + discount * after, after)
        returns[:, column] = np.where(is_action[:, column], after, 0.0)
    return returns


def gae(
    rewards: FloatArray, values: FloatArray, is_action: BoolArray, bootstrap: FloatArray, discount: float = 1.0, mixing: float = 0.95
) -> FloatArray:
    """Compute advantages by generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    A_t = d_t + discount * mixing * A_{t+1},   d_t = r_t + discount * V_{t+1} - V_t

    Args:
        rewards, values, is_action: [B, T]. values[:, t] is before token t.
        bootstrap: [B]. Value after the last token: 0 where the episode terminated.
        mixing: 0 = one step, low variance; 1 = whole return, no bias from values.

    Returns: [B, T], zero off actions.
    Not checked: that values belong to the policy that earned the rewards.
    """
    _check_shapes(rewards, is_action, bootstrap)
    assert values.shape == rewards.shape, f"values {values.shape} must have the shape of rewards {rewards.shape}"
    advantages = np.zeros_like(rewards)
    next_value = bootstrap.astype(rewards.dtype)
    next_advantage = np.zeros_like(next_value)
    for column in reversed(range(rewards.shape[1])):
        acts = is_action[:, column]
        surprise = rewards[:, column] + discount * next_value - values[:, column]
        next_advantage = np.where(acts, surprise + discount * mixing * next_advantage, next_advantage)
        next_value = np.where(acts, values[:, column], next_value)
        advantages[:, column] = np.where(acts, next_advantage, 0.0)
    return advantages


def td_lambda_targets(
    rewards: FloatArray, values: FloatArray, is_action: BoolArray, bootstrap: FloatArray, discount: float = 1.0, mixing: float = 0.95
) -> FloatArray:
    """Compute targets of the state values by TD(lambda) (Sutton and Barto 2018, eq. 12.18 backwards).

    G_t = r_t + discount * ((1 - mixing) * V_{t+1} + mixing * G_{t+1}),   which is V_t + A_t of `gae`

    Arguments as in `gae`. Returns: [B, T], zero off actions.
    """
    return np.where(is_action, values + gae(rewards, values, is_action, bootstrap, discount, mixing), 0.0)


def vtrace_targets(
    rewards: FloatArray,
    values: FloatArray,
    ratios: FloatArray,
    is_action: BoolArray,
    bootstrap: FloatArray,
    discount: float = 1.0,
    mixing: float = 1.0,
    cap: float = 1.0,
) -> FloatArray:
    """Compute targets of the state values from tokens that an older policy chose (Espeholt et al. 2018, arXiv:1802.01561, remark 1).

    v_t = V_t + w_t d_t + discount * mixing * w_t * (v_{t+1} - V_{t+1}),   d_t = r_t + discount * V_{t+1} - V_t,   w_t = min(cap, ratio_t)

    With all ratios 1 and cap >= 1 it is `td_lambda_targets`. Capped below the largest ratio, its fixed point is the value of a
    policy between the old and the new one.

    Args:
        ratios: [B, T]. New policy's probability of the token over the old one's.
        Others as in `gae`.

    Returns: [B, T], zero off actions.
    """
    _check_shapes(rewards, is_action, bootstrap)
    assert values.shape == ratios.shape == rewards.shape, (
        f"values {values.shape}, ratios {ratios.shape}, rewards {rewards.shape} must be alike"
    )
    targets = np.zeros_like(rewards)
    next_value = bootstrap.astype(rewards.dtype)
    next_correction = np.zeros_like(next_value)
    for column in reversed(range(rewards.shape[1])):
        acts = is_action[:, column]
        weight = np.minimum(cap, ratios[:, column])
        surprise = rewards[:, column] + discount * next_value - values[:, column]
        next_correction = np.where(acts, weight * (surprise + discount * mixing * next_correction), next_correction)
        next_value = np.where(acts, values[:, column], next_value)
        targets[:, column] = np.where(acts, values[:, column] + next_correction, 0.0)
    return targets


def discount_weights(is_action: BoolArray, discount: float) -> FloatArray:
    """Return discount^k for each row's k-th own token: [B, T], zero off actions.

    The gradient of the discounted objective carries this factor (Sutton and Barto 2018, section 13.3); it is all ones at discount 1.
    """
    place = np.cumsum(is_action, axis=1) - 1
    return np.where(is_action, float(discount) ** np.maximum(place, 0), 0.0)


def hold_last(returns: FloatArray, is_action: BoolArray) -> FloatArray:
    """Let each finished episode keep its last own return in the columns behind its end.

    So that returns of episodes of unequal length can be compared column by column: where only the last token pays,
    every column of a row holds the whole return.

    Returns: [B, T].
    """
    held = np.where(is_action, returns, 0.0)
    for column in range(1, returns.shape[1]):
        held[:, column] = np.where(is_action[:, column], held[:, column], held[:, column - 1])
    return held


def mean_baseline(returns: FloatArray, is_counted: BoolArray, group: IntArray | None = None) -> FloatArray:
    """Return the mean over the counted episodes, those of the same group where groups are given.

    It contains the episode itself, so with n episodes the expected gradient is (n - 1) / n of the exact one. An episode that is alone in
    its group takes the mean of the batch.

    Args:
        returns: [B] or [B, T]. is_counted: [B], False for episodes without a score. group: [B].

    Returns: the shape of `returns`, zero where nothing is counted.
    """
    all_total, all_count = _totals(returns, is_counted, None)
    total, count = _totals(returns, is_counted, group)
    return np.where(count > 1, total / np.maximum(count, 1.0), all_total / np.maximum(all_count, 1.0))


def leave_one_out_baseline(returns: FloatArray, is_counted: BoolArray, group: IntArray | None = None) -> FloatArray:
    """Return the mean over the other counted episodes (Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!").

    b_i = sum over j != i of returns_j / (n - 1)

    It does not depend on episode i, so it adds no bias. An episode that is alone in its group takes the mean of the other groups; one
    that is alone in the batch takes 0.

    Args and returns as in `mean_baseline`.
    """
    own = np.where(_spread(is_counted, returns), returns, 0.0)
    all_total, all_count = _totals(returns, is_counted, None)
    total, count = _totals(returns, is_counted, group)
    self_count = _spread(is_counted, returns).astype(np.float64)
    within, others = count - self_count, all_count - self_count
    return np.where(within > 0, (total - own) / np.maximum(within, 1.0), (all_total - own) / np.maximum(others, 1.0))


def whiten(advantages: FloatArray, mask: BoolArray, shift_mean: bool = True, smallest: float = 1e-8) -> FloatArray:
    """Divide by the standard deviation over the entries where `mask` is True, after taking off their mean.

    Args:
        advantages, mask: any one shape.
        shift_mean: False keeps the mean, as rewards need it (a constant added to rewards changes what long episodes earn).
        smallest: a standard deviation below this counts as zero, and then the centred values are kept as they are.

    Returns: the same shape, zero where `mask` is False.
    """
    assert advantages.shape == mask.shape, f"mask {mask.shape} must have the shape of advantages {advantages.shape}"
    if not mask.any():
        return np.zeros_like(advantages)
    mean = advantages[mask].mean()
    deviation = advantages[mask].std()
    whitened = (advantages - mean) / (deviation if deviation > smallest else 1.0)
    return np.where(mask, whitened if shift_mean else whitened + mean, 0.0)


def _check_shapes(rewards: FloatArray, is_action: BoolArray, bootstrap: FloatArray) -> None:
    assert rewards.ndim == 2 and rewards.shape == is_action.shape, f"rewards {rewards.shape} and is_action {is_action.shape} must be [B, T]"
    assert bootstrap.shape == rewards.shape[:1], f"bootstrap {bootstrap.shape} must be [B] = {rewards.shape[:1]}"


def _spread(row_values: npt.NDArray[np.generic], like: FloatArray) -> npt.NDArray[np.generic]:
    """Give [B] values the rank of `like`."""
    return row_values.reshape(-1, *([1] * (like.ndim - 1)))


def _totals(returns: FloatArray, is_counted: BoolArray, group: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the sum over each row's group of the counted returns, and how many there are, in the rank of `returns`."""
    assert returns.shape[:1] == is_counted.shape, f"is_counted {is_counted.shape} must be [B] = {returns.shape[:1]}"
    member = np.zeros(len(returns), dtype=np.int64) if group is None else np.unique(group, return_inverse=True)[1]
    num_groups = int(member.max(initial=0)) + 1
    total = np.zeros((num_groups, *returns.shape[1:]))
    count = np.zeros(num_groups)
    np.add.at(total, member[is_counted], returns[is_counted])
    np.add.at(count, member[is_counted], 1.0)
    return total[member], np.broadcast_to(_spread(count[member], returns), returns.shape)
