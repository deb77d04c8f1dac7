"""Hold what a reward model learns from: passages, who preferred which, rankings, and what single passages were called worth.

An abstention, a skip and a missing answer are not in it; they are counted by their reasons. Left out: an annotator's own severity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import TIE, Comparisons
from feedback.learned.heads import Ratings
from feedback.study.records import Passage

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class NothingToLearnError(ValueError):
    """Report evidence that prefers nothing to anything."""


@dataclass(frozen=True)
class Ranking:
    """Hold one ranking: groups of numbers of passages, the best first; those in one group are tied.

    Args:
        annotator: number of who ranked. weight: of the judgement as a whole. time: seconds since 1970 (UTC).
    """

    groups: tuple[tuple[int, ...], ...]
    annotator: int = 0
    weight: float = 1.0
    time: float = 0.0

    @property
    def size(self) -> int:
        """Return how many passages it ranks."""
        return sum(map(len, self.groups))

    def pairs(self) -> list[tuple[int, int, float]]:
        """Return first, second and target of every pair."""
        found = []
        for number, group in enumerate(self.groups):
            found += [(one, other, TIE) for place, one in enumerate(group) for other in group[place + 1 :]]
            found += [(one, other, 1.0) for later in self.groups[number + 1 :] for one in group for other in later]
        return found


@dataclass(frozen=True, eq=False)
class Evidence:
    """Hold judgements of passages, with who gave them and when.

    Args:
        passages: what was judged; equal texts to equal prompts are one passage.
        comparisons: of two passages each; their items are the passages, by content.
        ratings: of single passages, from -1 to 1. rankings: of three or more.
        comparison_times, rating_times: seconds since 1970 (UTC).
        rater: [number of ratings], numbers of the comparisons' annotators.
        left_out: how many answers say nothing to learn from, by the reason.
    """

    passages: tuple[Passage, ...]
    comparisons: Comparisons
    ratings: Ratings
    rankings: tuple[Ranking, ...]
    comparison_times: FloatArray
    rating_times: FloatArray
    rater: IntArray
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.passages) != len(self.comparisons.items):
            raise ValueError(f"{len(self.passages)} passages do not fit {len(self.comparisons.items)} items of the comparisons")
        for name, number, array in (
            ("comparison_times", self.comparisons.num_comparisons, self.comparison_times),
            ("rating_times", len(self.ratings.item), self.rating_times),
            ("rater", len(self.ratings.item), self.rater),
        ):
            if array.shape != (number,):
                raise ValueError(f"{name} must have one number for each of {number} judgements, got the shape {array.shape}")

    @property
    def num_judgements(self) -> int:
        """Return how many answers there are; a ranking is one."""
        return self.comparisons.num_comparisons + len(self.ratings.item) + len(self.rankings)

    @property
    def last_time(self) -> float:
        """Return when the last judgement was given; 0 where there is none."""
        ranked = [ranking.time for ranking in self.rankings]
        return float(max([*self.comparison_times, *self.rating_times, *ranked], default=0.0))

    def pairs(self) -> tuple[Comparisons, FloatArray]:
        """Return the comparisons and every pair of the rankings, with their times.

        The k (k - 1) / 2 pairs of a ranking share the weight of one judgement.
        """
        rows = [
            (one, other, target, ranking.annotator, ranking.weight / comb(ranking.size, 2), ranking.time)
            for ranking in self.rankings
            for one, other, target in ranking.pairs()
        ]
        if not rows:
            return self.comparisons, self.comparison_times
        first, second, target, annotator, weight, time = (np.array(column) for column in zip(*rows, strict=True))
        said = self.comparisons
        joined = Comparisons(
            np.concatenate([said.first, first]),
            np.concatenate([said.second, second]),
            np.concatenate([said.target, target]),
            np.concatenate([said.annotator, annotator]),
            np.concatenate([said.weight, weight]),
            said.items,
            said.annotators,
            np.concatenate([said.shown_first, np.zeros(len(rows), dtype=np.int64)]),
        )
        return joined, np.concatenate([self.comparison_times, time])

    def aged(self, half_life: float, now: float | None = None) -> Evidence:
        """Return the judgements with weights that halve every `half_life` seconds of age.

        Args:
            now: seconds since 1970; None = the time of the last judgement, so that no clock decides a fit.
        """
        end = self.last_time if now is None else now
        return self._faded(lambda times: np.asarray(np.maximum(end - times, 0.0)), half_life, "seconds")

    def aged_by_answers(self, half_life: float) -> Evidence:
        """Return the judgements with weights that halve with every `half_life` judgements that were given later."""
        given = np.sort(np.concatenate([self.comparison_times, self.rating_times, [ranking.time for ranking in self.rankings]]))
        return self._faded(lambda times: np.asarray(len(given) - np.searchsorted(given, times, side="right")), half_life, "answers")

    def _faded(self, ages: Callable[[FloatArray], FloatArray], half_life: float, unit: str) -> Evidence:
        if not half_life > 0:
            raise ValueError(f"half_life must be above 0 {unit} (infinite: age does not count), got {half_life}")

        def faded(times: FloatArray) -> FloatArray:
            return np.asarray(0.5 ** (ages(times) / half_life))

        ranked = faded(np.array([ranking.time for ranking in self.rankings]))
        return replace(
            self,
            comparisons=replace(self.comparisons, weight=self.comparisons.weight * faded(self.comparison_times)),
            ratings=replace(self.ratings, weight=self.ratings.weight * faded(self.rating_times)),
            rankings=tuple(replace(each, weight=each.weight * float(by)) for each, by in zip(self.rankings, ranked, strict=True)),
        )

    def check_says_something(self) -> None:
        """Check that some judgement prefers something. Errors: NothingToLearnError that says what there is instead."""
        pairs, ratings = self.pairs()[0], self.ratings
        if not self.num_judgements:
            left = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items())) or "none"
            raise NothingToLearnError(
                f"there is nothing to learn from: no comparison, ranking or rating; answers that were left out: {left}"
            )
        prefers = bool(((pairs.target != TIE) & (pairs.weight > 0)).any())
        values = np.unique(ratings.value[ratings.weight > 0])
        if prefers or len(values) > 1:
            return
        if len(values) == 1:
            raise NothingToLearnError(
                f"all {len(ratings.item)} ratings are {values[0]:g} and nothing else was preferred: that tells no texts apart"
            )
        raise NothingToLearnError(f"all {pairs.num_comparisons} comparisons are ties: they do not say which texts are better")

    def split(self, share: float, seed: int) -> tuple[Evidence, Evidence]:
        """Return what to learn from and what to evaluate on: a random slice of the prompts, by the seed.

        All passages of a prompt are on one side, and so are prompts that were compared with each other. The slice is the smallest that has
        at least `share` of the judgements, while something is left to learn from; with a single prompt it is empty.
        """
        if not 0 <= share < 1:
            raise ValueError(f"share must be from 0 to below 1 of the judgements, got {share}")
        block = self._blocks()
        of_judgement = np.concatenate(
            [
                block[self.comparisons.first],
                block[self.ratings.item],
                np.array([block[ranking.groups[0][0]] for ranking in self.rankings], dtype=np.int64),
            ]
        )
        counts = np.bincount(of_judgement, minlength=int(block.max(initial=-1)) + 1)
        judged = np.flatnonzero(counts)
        order = np.random.default_rng(seed).permutation(judged)
        taken, held = 0, np.zeros(len(counts), dtype=np.bool_)
        for number in order[:-1]:
            if taken >= share * len(of_judgement):
                break
            held[number], taken = True, taken + int(counts[number])
        is_held = held[block] if len(block) else np.zeros(0, dtype=np.bool_)
        return self._part(~is_held), self._part(is_held)

    def _blocks(self) -> IntArray:
        """Return the number of each passage's block: [passages]; prompts that are judged together are one block."""
        numbers: dict[str, int] = {}
        prompt = [numbers.setdefault(passage.prompt, len(numbers)) for passage in self.passages]
        parent = list(range(len(numbers)))

        def root(number: int) -> int:
            while parent[number] != number:
                parent[number] = parent[parent[number]]
                number = parent[number]
            return number

        together = [(int(one), int(other)) for one, other in zip(self.comparisons.first, self.comparisons.second, strict=True)]
        for ranking in self.rankings:
            first = ranking.groups[0][0]
            together += [(first, item) for group in ranking.groups for item in group]
        for one, other in together:
            parent[root(prompt[one])] = root(prompt[other])
        return np.array([root(number) for number in prompt], dtype=np.int64)

    def _part(self, is_in: BoolArray) -> Evidence:
        """Return the judgements of some passages; all passages stay, so that numbers keep their meaning."""
        compared, rated = is_in[self.comparisons.first], is_in[self.ratings.item]
        return replace(
            self,
            comparisons=self.comparisons.take(compared),
            ratings=self.ratings.take(rated),
            rankings=tuple(ranking for ranking in self.rankings if is_in[ranking.groups[0][0]]),
            comparison_times=self.comparison_times[compared],
            rating_times=self.rating_times[rated],
            rater=self.rater[rated],
        )


class Gathering:
    """Gather judgements one by one, and make evidence of them."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._passages: dict[str, Passage] = {}
        self._number: dict[str, int] = {}
        self._people: dict[str, int] = {}
        self._compared: list[tuple[int, int, float, int, float, int, float]] = []
        self._rated: list[tuple[int, float, float, int, float]] = []
        self._ranked: list[Ranking] = []

    def compare(
        self, one: Passage, other: Passage, target: float, who: str, time: float = 0.0, weight: float = 1.0, shown_first: int = 0
    ) -> None:
        """Add that one passage was preferred to another as far as `target` says; equal texts are left out."""
        first, second = self._item(one), self._item(other)
        if first == second:
            self.left_out["equal texts"] += 1
        else:
            self._compared.append((first, second, target, self._person(who), weight, shown_first, time))

    def rate(self, passage: Passage, value: float, who: str, time: float = 0.0, weight: float = 1.0) -> None:
        """Add what a passage was called worth."""
        self._rated.append((self._item(passage), value, weight, self._person(who), time))

    def rank(self, groups: Sequence[Sequence[Passage]], who: str, time: float = 0.0, weight: float = 1.0) -> None:
        """Add a ranking; a passage that was there before under another id keeps its better place."""
        seen: set[int] = set()
        numbers: list[tuple[int, ...]] = []
        for group in groups:
            fresh = tuple(dict.fromkeys(item for item in map(self._item, group) if item not in seen))
            seen.update(fresh)
            numbers += [fresh] if fresh else []
        if len(seen) < 2:
            self.left_out["equal texts"] += 1
        else:
            self._ranked.append(Ranking(tuple(numbers), self._person(who), weight, time))

    def evidence(self) -> Evidence:
        """Return all that was gathered."""
        compared = np.array(self._compared, dtype=np.float64).reshape(-1, 7)
        rated = np.array(self._rated, dtype=np.float64).reshape(-1, 5)
        names = tuple(self._people) or ("nobody",)
        whole = compared.astype(np.int64)
        comparisons = Comparisons(
            whole[:, 0], whole[:, 1], compared[:, 2], whole[:, 3], compared[:, 4], tuple(self._number), names, whole[:, 5]
        )
        ratings = Ratings(rated[:, 0].astype(np.int64), rated[:, 1], rated[:, 2])
        who, passages = rated[:, 3].astype(np.int64), tuple(self._passages.values())
        return Evidence(passages, comparisons, ratings, tuple(self._ranked), compared[:, 6], rated[:, 4], who, dict(self.left_out))

    def _item(self, passage: Passage) -> int:
        name = passage.content
        known = self._passages.get(name)
        if known is None or (passage.ids and not known.ids):
            self._passages[name] = passage  # one whose tokens are known is better than one without
        return self._number.setdefault(name, len(self._number))

    def _person(self, who: str) -> int:
        return self._people.setdefault(who, len(self._people))
