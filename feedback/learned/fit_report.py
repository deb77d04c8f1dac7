"""Report what a reward model was fitted to, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feedback.aggregation.agreement import Interval
from feedback.learned.calibration import Calibration


@dataclass(frozen=True)
class FitReport:
    """Hold what came of a fit.

    Args:
        num_comparisons, num_ratings, num_rankings: that were used, in all three parts. num_passages: they are about.
        left_out: answers that say nothing to learn from, by the reason.
        num_fitted, num_calibrating, num_held_out: judgements of each part.
        calibration: on comparisons (a ranking's pairs too) that neither fitted the model nor set its temperature.
        ceiling: how often two people agree on the same pair; undefined where no pair was judged by two.
        temperature: by which scores were divided. spread: standard deviation of the score over the passages that were fitted.
        seconds: that the fit took. remarks: what a reader should know before trusting it.
    """

    num_comparisons: int
    num_ratings: int
    num_rankings: int
    num_passages: int
    left_out: Mapping[str, int]
    num_fitted: int
    num_calibrating: int
    num_held_out: int
    calibration: Calibration
    ceiling: Interval
    temperature: float
    spread: float
    seconds: float
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report for a reader."""
        said = self.calibration
        used = f"{self.num_comparisons} comparisons, {self.num_ratings} ratings, {self.num_rankings} rankings of {self.num_passages} texts"
        return [
            f"used         {used}",
            f"left out     {', '.join(f'{count} {reason}' for reason, count in sorted(self.left_out.items())) or 'nothing'}",
            f"parts        {self.num_fitted} fitted, {self.num_calibrating} for the temperature, {self.num_held_out} held out",
            f"accuracy     {_shown(said.accuracy)} of {said.num_comparisons - said.num_ties} preferences held out",
            f"people agree {_shown(self.ceiling)}" + ("" if self.ceiling.value is not None else ": no pair was judged by two people"),
            f"the longer   {_shown(said.longer)} right; score and length correlate {_shown(said.length_correlation)}",
            f"shown first  {_shown(said.shown_first)} preferred by people",
            f"calibration  error {_number(said.calibration_error)}, Brier {_number(said.brier)} (a coin: 0.250), "
            f"log loss {_number(said.log_loss_nats)} nats (a coin: 0.693), temperature {self.temperature:.2f}",
            f"scores       standard deviation {self.spread:.3f} log odds",
            f"took         {self.seconds:.1f} s",
            *(f"note         {remark}" for remark in self.remarks),
        ]

    def flat(self) -> dict[str, dict[str, float | str | int]]:
        """Return the figures as benchmarks write them: name to value, unit, and interval where there is one."""
        said = self.calibration
        counts = {
            "comparisons": self.num_comparisons,
            "ratings": self.num_ratings,
            "rankings": self.num_rankings,
            "passages": self.num_passages,
            "judgements fitted": self.num_fitted,
            "judgements held out": self.num_held_out,
            **{f"left out: {reason}": count for reason, count in self.left_out.items()},
        }
        shares = {
            "accuracy": said.accuracy,
            "agreement of people": self.ceiling,
            "accuracy of the longer": said.longer,
            "preference for the first shown": said.shown_first,
        }
        found: dict[str, dict[str, float | str | int]] = {name: {"value": count, "unit": "count"} for name, count in counts.items()}
        found |= {name: _interval(share, "share") for name, share in shares.items() if share.value is not None}
        if said.length_correlation.value is not None:
            found["length correlation"] = _interval(said.length_correlation, "correlation")
        for name, value, unit in (
            ("log loss", said.log_loss_nats, "nats"),
            ("Brier score", said.brier, "squared probability"),
            ("calibration error", said.calibration_error, "probability"),
            ("temperature", self.temperature, "ratio"),
            ("standard deviation of scores", self.spread, "log odds"),
            ("seconds", self.seconds, "s"),
        ):
            if value is not None:
                found[name] = {"value": value, "unit": unit}
        return found


def remarks_on(calibration: Calibration, ceiling: Interval, spread: float) -> tuple[str, ...]:
    """Return what stands against trusting a model, in words."""
    found = []
    accuracy, longer = calibration.accuracy, calibration.longer
    if accuracy.value is None:
        found.append("no preference was held out: its accuracy is unknown (one prompt, few answers, or ratings only)")
    elif accuracy.low is not None and accuracy.low <= 0.5:
        found.append("its accuracy cannot be told from guessing")
    if accuracy.value is not None and longer.value is not None and accuracy.value <= longer.value:
        found.append('it is no better than "the longer one is better"')
    if accuracy.value is not None and ceiling.value is not None and accuracy.value > ceiling.value:
        found.append("it is right more often than people agree: look for equal texts on both sides of the split, or for a leak")
    if spread < 0.05:
        found.append("all scores are nearly equal: the answers contradict each other, or the features do not tell the texts apart")
    return tuple(found)


def _interval(share: Interval, unit: str) -> dict[str, float | str | int]:
    assert share.value is not None
    found: dict[str, float | str | int] = {"value": share.value, "unit": unit}
    return found if share.low is None or share.high is None else found | {"low": share.low, "high": share.high}


def _shown(share: Interval) -> str:
    if share.value is None:
        return "unknown"
    return f"{share.value:.3f}" if share.low is None or share.high is None else f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
