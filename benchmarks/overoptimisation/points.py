"""Hold what was measured while a learned score was optimised, and say where the true score was highest and how far it fell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.gao_curves import GaoCurve, Method, fit_gao_curve
from benchmarks.measure import Measurement, mean

FloatArray = npt.NDArray[np.float64]
UNIT = "deviations"  # of the score among the reference policy's responses
Key = tuple[str, float, str, float]


@dataclass(frozen=True)
class Point:
    """Hold one policy on its way from the reference.

    Args:
        part: what was optimised how. noise: share of wrong answers. way: of combining the ensemble.
        kl_weight: of a training, deviations of the learned score per nat; 0 for what is not trained.
        seed: of the comparisons, the fit, and the training.
        step: how far: a place of a sweep, n, or a number of updates.
        kl: nats. gold, proxy: true and learned score, deviations above the reference policy's mean.
    """

    part: str
    noise: float
    way: str
    kl_weight: float
    seed: int
    step: float
    kl: float
    gold: float
    proxy: float

    @property
    def key(self) -> Key:
        """Return what is the same for all seeds and steps of one curve."""
        return (self.part, self.noise, self.way, self.kl_weight)


@dataclass(frozen=True, eq=False)
class Curve:
    """Hold one setting over several seeds: [seeds, steps]; `steps` [steps] go away from the reference."""

    key: Key
    steps: FloatArray
    kl: FloatArray
    gold: FloatArray
    proxy: FloatArray

    @property
    def num_seeds(self) -> int:
        """Return how many."""
        return len(self.gold)


@dataclass(frozen=True)
class Verdict:
    """Say how a curve ended.

    Args:
        peak: mean true score at the step where it is highest. kl_at_peak: mean distance there, in nats.
        end: mean true score at the last step. kl_at_end, proxy_at_end: there.
        fall: true score at the peak less that at the end, seed by seed. rise: of the learned score over the same steps.
        fitted: the curve of Gao et al. through all points; None for a policy that did not move.
    """

    peak: Measurement
    kl_at_peak: Measurement
    end: Measurement
    kl_at_end: Measurement
    proxy_at_end: Measurement
    fall: Measurement
    rise: Measurement
    fitted: GaoCurve | None

    @property
    def turns_down(self) -> bool:
        """Say whether the true score fell while the learned one rose, both by more than chance gives; of one seed nothing is said."""
        return self.fall.n > 1 and self.fall.low > 0 and self.rise.low > 0


def curves(points: Iterable[Point]) -> dict[Key, Curve]:
    """Sort points into curves.

    Errors: ValueError where a seed of a curve lacks a step that another has.
    """
    found: dict[Key, dict[int, list[Point]]] = {}
    for point in points:
        found.setdefault(point.key, {}).setdefault(point.seed, []).append(point)
    made = {}
    for key, of_seeds in found.items():
        rows = [sorted(of_seed, key=lambda point: point.step) for _, of_seed in sorted(of_seeds.items())]
        steps = [point.step for point in rows[0]]
        if any([point.step for point in row] != steps for row in rows):
            raise ValueError(f"the seeds of {key} have different steps: run those that are missing")
        columns = {name: np.array([[getattr(point, name) for point in row] for row in rows]) for name in ("kl", "gold", "proxy")}
        made[key] = Curve(key, np.array(steps), **columns)
    return made


def judge(curve: Curve) -> Verdict:
    """Say where a curve was highest and how far it fell. The peak is that of the mean over seeds, which chance makes a little too high."""
    best = int(curve.gold.mean(axis=0).argmax())
    method: Method = "rl" if curve.key[0] in ("rl", "exact optimum") else "best_of_n"
    return Verdict(
        peak=mean(curve.gold[:, best], UNIT),
        kl_at_peak=mean(curve.kl[:, best], "nats"),
        end=mean(curve.gold[:, -1], UNIT),
        kl_at_end=mean(curve.kl[:, -1], "nats"),
        proxy_at_end=mean(curve.proxy[:, -1], UNIT),
        fall=mean(curve.gold[:, best] - curve.gold[:, -1], UNIT),
        rise=mean(curve.proxy[:, -1] - curve.proxy[:, best], UNIT),
        fitted=_fitted(curve, method),
    )


def by_weight(curve: Curve, weights: Sequence[float]) -> dict[float, tuple[Measurement, Measurement]]:
    """Return the true score and the distance where the learned score less weight times distance is highest, seed by seed, for each weight.

    What is chosen is chosen without the true score, as it must be where nobody knows that.
    """
    rows = np.arange(curve.num_seeds)
    found = {}
    for weight in weights:
        chosen = (curve.proxy - weight * curve.kl).argmax(axis=1)
        found[weight] = (mean(curve.gold[rows, chosen], UNIT), mean(curve.kl[rows, chosen], "nats"))
    return found


def _fitted(curve: Curve, method: Method) -> GaoCurve | None:
    kl = np.maximum(curve.kl, 0.0).ravel()  # an estimate from samples can be below 0
    return fit_gao_curve(kl, curve.gold.ravel(), method) if len(np.unique(kl[kl > 0])) > 1 else None


def bands(curve: Curve, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean, and both ends of the 95 % interval, of a column of a curve at each step; of one seed all three are its own values."""
    intervals = [mean(column, UNIT) for column in getattr(curve, name).T]
    return tuple(np.array([getattr(each, end) for each in intervals]) for end in ("value", "low", "high"))  # type: ignore[return-value]
