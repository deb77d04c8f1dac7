"""Say what a few runs on several tasks show together.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice". A contender's scores are one array of
runs for each task, on a common scale. Intervals are the percentile bootstrap's (Efron 1979), stratified: runs are drawn again within each
task, and tasks are kept. They speak of other seeds on the same tasks, not of other tasks. From few runs they are too narrow rather than too
wide; the tests measure by how much.

Left out: the optimality gap, which says of normalised scores what their mean says, and accelerated bootstraps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Runs = Sequence[FloatArray]  # of each task its runs, [runs] or, of learning curves, [runs, budgets]; numbers of runs may differ
CONFIDENCE = 0.95
RESAMPLES = 4000
CURVE_RESAMPLES = 1000  # of something that has many points


@dataclass(frozen=True)
class Estimate:
    """Hold a figure and the ends of its interval, which are NaN where some task has a single run: there is nothing to draw again."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """Return 1 or -1 where the whole interval is above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def has_interval(self) -> bool:
        """Say whether there is an interval."""
        return bool(np.isfinite(self.low))


@dataclass(frozen=True)
class EstimatedCurve:
    """Hold a figure at each of several points, and its intervals there, each for itself; all [points]."""

    values: FloatArray
    lows: FloatArray
    highs: FloatArray


def interquartile_mean(scores: FloatArray) -> FloatArray:
    """Return the mean of the middle half along the last axis: a quarter of the runs, rounded down, is cut off at either end."""
    count = scores.shape[-1]
    if count == 0:
        raise ValueError("an interquartile mean needs at least one run")
    cut = count // 4
    return np.sort(scores, axis=-1)[..., cut : count - cut].mean(axis=-1)


def estimate_iqm(runs: Runs, generator: np.random.Generator, resamples: int = RESAMPLES, confidence: float = CONFIDENCE) -> Estimate:
    """Return the interquartile mean over all runs of all tasks, with its interval."""
    return _estimate(float(interquartile_mean(np.concatenate(_checked(runs)))), runs, iqm_draws(runs, generator, resamples), confidence)


def iqm_draws(runs: Runs, generator: np.random.Generator, resamples: int = RESAMPLES) -> FloatArray:
    """Return the interquartile means of runs drawn again, [resamples]."""
    tasks = _checked(runs)
    drawn = [scores[_drawn(len(scores), generator, resamples)] for scores in tasks]
    return interquartile_mean(np.concatenate(drawn, axis=1))


def iqm_difference(
    first: Runs, second: Runs, generator: np.random.Generator, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate:
    """Return by how much the first's interquartile mean is above the second's; both are drawn again, each for itself."""
    middle = [float(interquartile_mean(np.concatenate(_checked(runs)))) for runs in (first, second)]
    draws = iqm_draws(first, generator, resamples) - iqm_draws(second, generator, resamples)
    return _estimate(middle[0] - middle[1], [*first, *second], draws, confidence)


def performance_profile(
    runs: Runs, thresholds: FloatArray, generator: np.random.Generator, resamples: int = CURVE_RESAMPLES, confidence: float = CONFIDENCE
) -> EstimatedCurve:
    """Return the share of runs above each threshold, the mean over tasks, with its interval at each.

    F(t) = 1/M sum_m 1/N_m sum_n [score_{m,n} > t],   M tasks of N_m runs
    """
    above = [(scores[:, None] > thresholds).astype(np.float64) for scores in _checked(runs)]  # [runs, thresholds]
    weights = [_weights(len(each), generator, resamples) for each in above]
    draws = np.mean([weight @ each for weight, each in zip(weights, above, strict=True)], axis=0)
    return _curve(np.mean([each.mean(axis=0) for each in above], axis=0), runs, draws, confidence)


def probability_of_improvement(
    first: Runs, second: Runs, generator: np.random.Generator, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate:
    """Return how often a run of the first is above one of the second on the same task, the mean over tasks, with its interval.

    P = 1/M sum_m 1/(N_m K_m) sum_{i,j} S(x_{m,i}, y_{m,j}),   S = 1 where x > y, 1/2 where equal, 0 where below

    Each task's is the statistic of Mann and Whitney (1947) over the number of its pairs.
    """
    tasks = list(zip(_checked(first), _checked(second), strict=True))
    wins = [(np.sign(x[:, None] - y[None, :]) + 1) / 2 for x, y in tasks]  # [runs of the first, runs of the second]
    draws = [
        ((_weights(win.shape[0], generator, resamples) @ win) * _weights(win.shape[1], generator, resamples)).sum(axis=1) for win in wins
    ]
    value = float(np.mean([win.mean() for win in wins]))
    return _estimate(value, [*first, *second], np.mean(draws, axis=0), confidence)


def iqm_curve(
    curves: Runs, generator: np.random.Generator, resamples: int = CURVE_RESAMPLES, confidence: float = CONFIDENCE
) -> EstimatedCurve:
    """Return the interquartile mean at each budget, with its interval there.

    Args:
        curves: of each task [runs, budgets]; what a run scored at each budget. A run is drawn again with its whole curve.
    """
    tasks = _checked(curves)
    chosen = [_drawn(len(scores), generator, resamples) for scores in tasks]
    values, draws = [], []
    for budget in range(tasks[0].shape[1]):  # one after the other: all at once would be resamples * runs * budgets numbers
        columns = [scores[:, budget] for scores in tasks]
        values.append(interquartile_mean(np.concatenate(columns)))
        draws.append(interquartile_mean(np.concatenate([column[rows] for column, rows in zip(columns, chosen, strict=True)], axis=1)))
    return _curve(np.array(values), curves, np.stack(draws, axis=1), confidence)


def _checked(runs: Runs) -> list[FloatArray]:
    tasks = [np.asarray(scores, dtype=np.float64) for scores in runs]
    if not tasks or not all(len(scores) and np.isfinite(scores).all() for scores in tasks):
        raise ValueError(f"every task needs at least one run, and finite scores, got {[scores.tolist() for scores in tasks]}")
    return tasks


def _drawn(count: int, generator: np.random.Generator, resamples: int) -> npt.NDArray[np.int64]:
    return generator.integers(count, size=(resamples, count))


def _weights(count: int, generator: np.random.Generator, resamples: int) -> FloatArray:
    """Return how often each run is drawn, as a share, [resamples, count]."""
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples) / count


def _estimate(value: float, runs: Runs, draws: FloatArray, confidence: float) -> Estimate:
    curve = _curve(np.array([value]), runs, draws[:, None], confidence)
    return Estimate(value, float(curve.lows[0]), float(curve.highs[0]))


def _curve(values: FloatArray, runs: Runs, draws: FloatArray, confidence: float) -> EstimatedCurve:
    if min(len(scores) for scores in runs) < 2:
        nothing = np.full(len(values), np.nan)
        return EstimatedCurve(values, nothing, nothing)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return EstimatedCurve(values, low, high)
