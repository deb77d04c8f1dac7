"""Set how a reward model is fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from feedback.learned.conservative import Combination

Trained = Literal["heads", "lora", "all"]
Noise = Literal["none", "lapse", "smoothing", "flips"]
Rankings = Literal["pairs", "plackett_luce"]


@dataclass(frozen=True)
class TrunkTraining:
    """Say how a trunk is trained, where it is: AdamW from the heads that were fitted to the untrained trunk."""

    learning_rate: float = 2e-5  # of the trunk's weights; LoRA takes ten times as much
    head_learning_rate: float = 1e-3  # of the heads'
    epochs: int = 2  # times that each judgement is seen; more overfits (Stiennon et al. 2020 and InstructGPT took one)
    judgements_per_step: int = 16
    centring: float = 0.01  # weight of (s_1 + s_2)^2; 0 = the mean drifts freely
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    rankings: Rankings = "pairs"  # or "plackett_luce", a ranking as a whole
    lora_rank: int = 8


@dataclass(frozen=True)
class RewardConfig:
    """Say what is fitted and how what the members say becomes a score.

    Errors: ValueError for values that make no sense, or contradict each other.
    """

    trained: Trained = "heads"  # heads on features that stay; lora, all: the trunk too
    num_heads: int = 1  # members; above 1 each is fitted to a bootstrap of the judgements
    combination: Combination = "mean"  # single, mean, min, mean_minus_variance
    variance_weight: float = 1.0  # of mean_minus_variance; 0 = the mean
    noise: Noise = "none"  # what the loss takes wrong answers for; see `reward_losses`
    noise_share: float = 0.0  # of the answers, below 0.5; 0 exactly where noise is none
    penalty: float = 1.0  # 1 / variance of a score before anything was learned; 0 is not allowed, large = constant
    prior_noise: float = 0.0  # 1 = members differ where nothing was learned as much as the prior allows
    held_out: float = 0.2  # share of the judgements that only the report sees
    calibrating: float = 0.1  # share that sets the temperature; 0 = it is 1
    half_life_seconds: float = math.inf  # age at which an answer counts half
    bound: float = 10.0  # log odds beyond which a score is clipped
    seed: int = 0
    training: TrunkTraining = TrunkTraining()

    def __post_init__(self) -> None:
        for name, allowed in (("trained", Trained), ("noise", Noise), ("combination", Combination)):
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {getattr(self, name)!r}")
        if (self.noise == "none") != (self.noise_share == 0):
            raise ValueError(f"noise and noise_share go together, got {self.noise!r} and {self.noise_share}")
        if self.held_out < 0 or self.calibrating < 0 or not self.held_out + self.calibrating < 1:
            raise ValueError(f"held_out and calibrating are shares below 1 together, got {self.held_out} and {self.calibrating}")
        if not (self.bound > 0 and math.isfinite(self.bound)):
            raise ValueError(f"bound must be above 0 and finite, since feedback states its scale, got {self.bound}")
        if self.num_heads == 1 and self.combination in ("min", "mean_minus_variance"):
            raise ValueError(f"{self.combination} needs members that differ: set num_heads above 1, got 1")
        if not self.half_life_seconds > 0:
            raise ValueError(f"half_life_seconds must be above 0, infinite where age does not count, got {self.half_life_seconds}")
        if self.training.judgements_per_step < 1 or self.training.epochs < 1:
            raise ValueError("epochs and judgements_per_step must be at least 1")
