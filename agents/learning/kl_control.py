"""Choose the weight of the penalty for leaving the reference: a constant, or one that steers the divergence to a target.

The adaptive controller is that of Ziegler et al. 2019 (arXiv:1909.08593), section 2.2. Its unit is the response: target and measurement
are nats over whole responses, so a target is proportional to how long responses are.
"""

from __future__ import annotations

LARGEST_ERROR = 0.2  # relative; Ziegler et al. 2019
HORIZON = 640  # episodes; 64 of them at a time move the weight by a tenth of the error, as Ziegler et al. 2019 do per update


class KLControl:
    """Hold the present weight, and move it after each update where there is a target.

    error = clip(kl / target - 1, -0.2, 0.2)
    weight <- weight * (1 + error * min(1, num_episodes / horizon))

    Args:
        weight: to begin with, score per nat.
        target: nats per response, above 0; None keeps the weight as it is.
        horizon: episodes; the smaller, the faster the weight follows.

    Raises ValueError where a number is out of range, or where a weight of 0, which can never move, has a target.
    """

    def __init__(self, weight: float, target: float | None = None, horizon: float = HORIZON) -> None:
        if weight < 0:
            raise ValueError(f"kl_weight must be at least 0, got {weight}")
        if target is not None and target <= 0:
            raise ValueError(f"kl_target is nats per response and must be above 0, got {target}; None keeps kl_weight as it is")
        if target is not None and weight == 0:
            raise ValueError(f"kl_weight must be above 0 for kl_target={target} to move it, got 0")
        if horizon <= 0:
            raise ValueError(f"horizon must be above 0 episodes, got {horizon}")
        self.weight = float(weight)
        self.target = target
        self.horizon = horizon

    def observe(self, kl_nats_per_response: float, num_episodes: int) -> None:
        """Move the weight after a rollout of `num_episodes` responses that diverged this far on average."""
        if self.target is None:
            return
        error = min(max(kl_nats_per_response / self.target - 1.0, -LARGEST_ERROR), LARGEST_ERROR)
        self.weight *= 1.0 + error * min(1.0, num_episodes / self.horizon)

    def state_dict(self) -> dict[str, float]:
        """Return the present weight."""
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on with a weight."""
        self.weight = state["weight"]
