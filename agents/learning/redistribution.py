"""Move a late score to the tokens that earned it, by how much each one raised what was expected.

RUDDER (Arjona-Medina et al. 2019, arXiv:1806.07857) in its simple form: the differences of a value function. Left out: the LSTM that
predicts the score from the prefix, whose place any critic takes here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from agents.learning.returns import BoolArray, FloatArray
from agents.learning.rollout import Rollout


def redistribute_by_values(rewards: FloatArray, values: FloatArray, is_action: BoolArray) -> FloatArray:
    """Pay each token by how much it raised the expected score, and the last one also what is missing to the sum.

    r'_t = r_t + V_{t+1} - V_t,   r'_T = r_T - V_T + V_0 for the last own token T           (Arjona-Medina et al. 2019, section 3)

    where V_0 is the value before the first token. The rewards of an episode sum to what they summed to before, to rounding, so the score
    decides as much as it did.

    Unbiased: what is still to be earned becomes G'_t = G_t - (V_t - V_0), and what is taken off is known before token t is chosen. So an
    estimator of the policy gradient that weighs tokens by whole returns-to-go (discount 1) keeps its expectation whatever the values
    are, and its variance falls as they come near the truth. Not so where V_0 is spread over all tokens instead: then what is taken off
    depends on when the response ends, which the policy decides. Nor if the values were fitted to the very episodes that they move rewards
    in, or are used with less than whole returns (`mixing` below 1).

    Args:
        rewards, values, is_action: [B, T]. values[:, t] is before token t.

    Returns: [B, T], zero off actions.
    """
    assert rewards.ndim == 2 and rewards.shape == values.shape == is_action.shape, (
        f"rewards {rewards.shape}, values {values.shape} and is_action {is_action.shape} must be [B, T]"
    )
    rows = np.arange(len(rewards))
    expected = np.where(is_action, values, 0.0).astype(np.float64)
    first = expected[rows, np.argmax(is_action, axis=1)]
    risen = expected - first[:, None]  # V_t - V_0, read on own tokens alone
    after = np.zeros(len(rewards))  # 0 behind the last token
    moved = np.zeros(rewards.shape)
    for column in reversed(range(rewards.shape[1])):
        here = is_action[:, column]
        moved[:, column] = np.where(here, rewards[:, column] + after - risen[:, column], 0.0)
        after = np.where(here, risen[:, column], after)
    return moved


def redistribute(rollout: Rollout, values: npt.NDArray[np.floating] | None = None) -> Rollout:
    """Return the same episodes with their rewards moved to the tokens that raised what was expected; the scores stay as they are.

        agent.update(redistribute(collect(env, agent, 64)))

    Actor-critic and PPO take the differences of their own critic already (`gae`), so this is for agents without one, for another critic
    than their own, and for looking at which tokens earned the score. See `redistribute_by_values` for what stays unbiased.

    Args:
        values: [B, T], before each token; None takes those of the rollout, which an agent with a critic reported while writing.

    Episodes without a score are left alone. Raises ValueError where there are no values, or they have another shape or are not finite.
    """
    used = rollout.values if values is None else values
    if used is None:
        raise ValueError("there are no values to move rewards by: the agent has no critic, so pass values=..., of shape [B, T]")
    if used.shape != rollout.rewards.shape:
        raise ValueError(f"values must have the shape of the rewards {rollout.rewards.shape}, got {used.shape}")
    if not np.isfinite(used[rollout.is_action]).all():
        raise ValueError("values must be finite on every token that the agent chose")
    moved = redistribute_by_values(rollout.rewards, used.astype(np.float64), rollout.is_action)
    return replace(rollout, rewards=np.where(rollout.is_scored[:, None], moved, rollout.rewards))
