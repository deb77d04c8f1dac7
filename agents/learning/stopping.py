"""Decide when training has done enough."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Stop:
    """Hold what ends a training before its last update; None = never for this reason.

    Scores are those of the evaluations where there are any, else means of the training episodes between checkpoints. Those of an agent that
    imitates are minus the negative log-likelihood of what it imitates, in nats a token.
    """

    score: float | None = None  # stop when the mean score reaches this
    patience: int | None = None  # stop after so many evaluations in a row without a better score: converged
    min_gain: float = 0.0  # what counts as better, in units of the score
    tokens: int | None = None  # stop when so many tokens were written
    seconds: float | None = None  # stop when so much time has passed, pauses between resumed runs left out

    def __post_init__(self) -> None:
        for name in ("patience", "tokens", "seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, or None for no limit, got {value}")


NEVER = Stop()


@dataclass
class Progress:
    """Count what a training has used and reached so far."""

    num_updates: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    judgements_without_gain: int = 0
    score_sum: float = 0.0  # of the training episodes' mean scores since the last judgement
    num_scores: int = 0
    _began: float = field(default_factory=time.monotonic)

    def count(self, line: dict[str, float], tokens: int) -> None:
        """Note one more update and what it gave."""
        now = time.monotonic()
        self.num_updates += 1
        self.tokens += tokens
        self.seconds += now - self._began
        self._began = now
        worth = worth_in(line)
        if worth is not None:
            self.score_sum += worth
            self.num_scores += 1

    def judge(self, line: dict[str, float], min_gain: float = 0.0) -> bool:
        """Compare the held-out score, or else the mean training score since the last time, with the best; return whether it is better."""
        held_out = worth_in(line, "held_out/")
        score = held_out if held_out is not None else self.score_sum / self.num_scores if self.num_scores else None
        self.score_sum, self.num_scores = 0.0, 0
        gain = None if score is None or self.best_score is None else score - self.best_score
        has_gained = score is not None and (gain is None or gain > min_gain)
        self.judgements_without_gain = 0 if has_gained else self.judgements_without_gain + 1
        is_best = score is not None and (gain is None or gain > 0)
        self.best_score = score if is_best else self.best_score
        return is_best

    def reason(self, stop: Stop) -> str | None:
        """Return why to stop now, or None."""
        if stop.score is not None and self.best_score is not None and self.best_score >= stop.score:
            return "score"
        if stop.patience is not None and self.judgements_without_gain >= stop.patience:
            return "converged"
        if stop.tokens is not None and self.tokens >= stop.tokens:
            return "tokens"
        if stop.seconds is not None and self.seconds >= stop.seconds:
            return "seconds"
        return None

    def state(self) -> dict[str, float | int | None]:
        """Return the counters, from which an equal object is made."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "_began"}


def worth_in(line: dict[str, float], prefix: str = "") -> float | None:
    """Return what a line of metrics says of an agent, higher is better: minus the surprise of one that imitates, else the score."""
    nll = line.get(f"{prefix}nll_nats_per_token")
    return line.get(f"{prefix}score") if nll is None else -nll
