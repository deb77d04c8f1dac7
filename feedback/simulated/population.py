"""Draw simulated people who differ, and let several of them judge each item.

Who a person is depends on the seed and the person's number alone: a larger population begins with the same people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import Comparisons, Labels
from feedback.simulated.annotator import Annotator
from feedback.simulated.keyed_noise import KeyArray, fold, text_key, uniform_of
from feedback.simulated.presets import preset
from feedback.simulated.replies_table import Replies
from feedback.simulated.shown_sets import Features
from feedback.simulated.slips import Flip, Inverted, Slip, Tiring, check_shares
from feedback.simulated.utility_parts import Leaning, Taste, Troll, UtilityPart

IntArray = npt.NDArray[np.int64]
STEADY = 10.0  # a + b of the Beta distribution from which each person's share of errors comes


@dataclass(frozen=True, eq=False)
class Panel:
    """Hold what a population said.

    Args:
        annotator, item: [K], numbers of who judged and what. replies: to K questions.
    """

    annotator: IntArray
    item: IntArray
    replies: Replies
    annotators: tuple[str, ...]
    shown_first: IntArray

    def comparisons(self, first: npt.ArrayLike, second: npt.ArrayLike, items: tuple[str, ...]) -> Comparisons:
        """Return the pairs that were decided or tied.

        Args:
            first, second: [N], numbers of the items of each pair.
        """
        one, other = (np.asarray(numbers, dtype=np.int64)[self.item] for numbers in (first, second))
        return self.replies.comparisons(one, other, items, self.annotator, self.annotators, self.shown_first)

    def labels(self, units: tuple[str, ...], classes: tuple[str, ...], low: int = 0) -> Labels:
        """Return the ratings or thumbs that were given; class number 0 is the step `low`."""
        return self.replies.labels(self.item, units, classes, self.annotator, self.annotators, low)


class Asked(NamedTuple):
    """Hold which items one person is asked about: their numbers, what is shown first (1 or -1; 0 for single contents), their features."""

    rows: IntArray
    shown_first: IntArray
    features: Features | None


@dataclass(frozen=True)
class Population:
    """Draw annotators, each a variation of one.

    Args:
        like: the annotator they vary, or the name of a preset.
        strictness: standard deviation of how much better or worse than others a person finds everything, in utility.
        slide: of how much that changes in a thousand answers.
        errors: mean share of answers that are turned round; each person's own is from a Beta distribution with a + b = 10.
        fatigue: added to that share after many answers. pace: in answers, see `Tiring`.
        inverted, trolls: shares of the people who have the scale the wrong way round, and who want the opposite.
        tastes: weights of aspects, one taste for each cluster of people; empty = the utility that is given counts.
        taste_spread: 0 = all of a cluster weigh alike; else each has weights from a Dirichlet distribution around their cluster's, the
            wider the larger this is.
        seed: of who they are, and of their noise.
    """

    like: Annotator | str = "vader-human"
    strictness: float = 0.0
    slide: float = 0.0
    errors: float = 0.0
    fatigue: float = 0.0
    pace: float = 200.0
    inverted: float = 0.0
    trolls: float = 0.0
    tastes: tuple[tuple[float, ...], ...] = ()
    taste_spread: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_shares(errors=self.errors, fatigue=self.fatigue, inverted=self.inverted, trolls=self.trolls)
        if self.errors + self.fatigue > 1:
            raise ValueError(f"errors and fatigue must be at most 1 together, got {self.errors} and {self.fatigue}")
        if self.strictness < 0 or self.slide < 0 or self.taste_spread < 0:
            raise ValueError(
                f"strictness, slide and taste_spread must be at least 0, got {self.strictness}, {self.slide}, {self.taste_spread}"
            )
        if any(min(taste, default=-1.0) < 0 or not sum(taste) > 0 for taste in self.tastes) or len(set(map(len, self.tastes))) > 1:
            raise ValueError(f"tastes must be weights of the same aspects, at least 0 and not all 0, got {self.tastes}")
        preset(self.like, self.seed)

    def annotators(self, number: int) -> tuple[Annotator, ...]:
        """Return the first so many people."""
        if number < 1:
            raise ValueError(f"a population has at least 1 person, got {number}")
        return tuple(self.person(each) for each in range(number))

    def person(self, number: int) -> Annotator:
        """Return one person. What a person is drawn for is drawn in one order, so that one trait more changes no other."""
        like, generator = preset(self.like, self.seed), np.random.default_rng([self.seed, number])
        lean, slide = generator.normal(size=2) * (self.strictness, self.slide)
        is_inverted, is_troll = generator.random(size=2) < (self.inverted, self.trolls)
        cluster = int(generator.integers(max(1, len(self.tastes))))
        errors = float(generator.beta(STEADY * self.errors, STEADY * (1 - self.errors))) if 0 < self.errors < 1 else self.errors
        utility: list[UtilityPart] = [*like.utility]
        slips: list[Slip] = [*like.slips]
        if self.tastes:
            weights = np.asarray(self.tastes[cluster], dtype=np.float64)
            if self.taste_spread:
                weights = weights.sum() * generator.dirichlet(np.maximum(weights / weights.sum(), 1e-6) / self.taste_spread)
            utility.append(Taste(tuple(weights.tolist())))
        if lean or slide:
            utility.append(Leaning(float(lean), float(slide)))
        if is_troll:
            utility.append(Troll())
        if is_inverted:
            slips.append(Inverted())
        if self.fatigue:
            slips.append(Tiring(errors, min(1.0, errors + self.fatigue), self.pace))
        elif errors:
            slips.append(Flip(errors))
        return replace(like, name=f"person {number + 1}", utility=tuple(utility), slips=tuple(slips))

    def compare(
        self, utilities: npt.ArrayLike, contents: npt.ArrayLike, number: int, judges: int, features: Features | None = None
    ) -> Panel:
        """Let several people compare each pair; each judge's side that is shown first is drawn.

        Args:
            utilities, contents: [N, 2]. number: people there are. judges: of each pair, at most `number`.
        """
        worth, keys = np.asarray(utilities, dtype=np.float64), np.asarray(contents).astype(np.uint64)

        def ask(annotator: Annotator, asked: Asked) -> Replies:
            return annotator.compare(
                worth[asked.rows], keys[asked.rows], asked.features, shown_first=asked.shown_first, time=np.arange(len(asked.rows))
            )

        return self._judged(ask, keys, number, judges, features)

    def rate(
        self,
        utilities: npt.ArrayLike,
        contents: npt.ArrayLike,
        number: int,
        judges: int,
        features: Features | None = None,
        steps: tuple[int, int] = (1, 5),
    ) -> Panel:
        """Let several people rate each content [N]."""
        worth, keys = np.asarray(utilities, dtype=np.float64), np.asarray(contents).astype(np.uint64)

        def ask(annotator: Annotator, asked: Asked) -> Replies:
            return annotator.rate(worth[asked.rows], keys[asked.rows], asked.features, steps=steps, time=np.arange(len(asked.rows)))

        return self._judged(ask, keys, number, judges, features)

    def _judged(
        self, ask: Callable[[Annotator, Asked], Replies], keys: KeyArray, number: int, judges: int, features: Features | None
    ) -> Panel:
        """Return what those who are chosen for each item say of it."""
        if not 1 <= judges <= number:
            raise ValueError(f"each item needs 1 to {number} judges, got {judges}")
        subject = keys if keys.ndim == 1 else fold(*np.sort(keys, axis=1).T)
        chance = uniform_of(fold(self.seed, text_key("judges"), subject[:, None], np.arange(number)))
        chosen = np.zeros(chance.shape, dtype=np.bool_)
        np.put_along_axis(chosen, np.argpartition(chance, judges - 1, axis=1)[:, :judges], True, axis=1)
        annotators, asked, said = self.annotators(number), list[Asked](), list[Replies]()
        for person, annotator in enumerate(annotators):
            rows = np.flatnonzero(chosen[:, person])
            drawn = uniform_of(fold(self.seed, text_key("side"), subject[rows], person)) < 0.5
            sides = np.zeros(len(rows), dtype=np.int64) if keys.ndim == 1 else np.where(drawn == (keys[rows, 0] < keys[rows, 1]), 1, -1)
            asked.append(Asked(rows, sides, None if features is None else features.take(rows)))
            said.append(ask(annotator, asked[-1]))
        replies = Replies(*[np.concatenate([getattr(each, name) for each in said]) for name in ("codes", "value", "felt", "seconds")])
        return Panel(
            np.repeat(np.arange(number), [len(each.rows) for each in asked]),
            np.concatenate([each.rows for each in asked]),
            replies,
            tuple(annotator.name for annotator in annotators),
            np.concatenate([each.shown_first for each in asked]),
        )
