"""Put the parts of a simulated annotator together, in an order that is fixed.

utility -> tie, skip, all bad -> choice or rating -> slips -> channel

so that a threshold is applied once, a flip keeps ties, and a silence is never turned round. All is done on arrays, and no state is kept:
what depends on time gets it as an argument. An annotator's noise is keyed, see `keyed_noise`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from feedback.simulated.answer_channels import Channel, Confusion
from feedback.simulated.choices import Choice, Oracle
from feedback.simulated.keyed_noise import Draws, KeyArray, fold, text_key
from feedback.simulated.misheard import Misheard
from feedback.simulated.rating_models import RatingModel, Severity, anchored
from feedback.simulated.replies_table import ABSTAIN, ANSWERED, TIE, CodeArray, Replies
from feedback.simulated.shown_sets import Features, FloatArray, Shown, as_column, per_set, places_of, ranks_of
from feedback.simulated.slips import Slip
from feedback.simulated.utility_parts import UtilityPart
from feedback.simulated.withheld_answers import Equal, WithholdingPart

LARGEST_SEED = 2**63 - 1
MOST_STEPS = 101
ORACLE, NEUTRAL = Oracle(), Severity()


@dataclass(frozen=True)
class Annotator:
    """Compare, rate, thumb and rank contents as a person would whom its parts describe.

    Args:
        name: whose noise it is: two annotators with the same parts and other names err apart.
        utility: what changes the worth of a content. withholding: when no preference is given. choice: how it chooses.
        rating: how it rates. anchor: how far a rating is drawn towards the one before, see `anchored`.
        slips: what goes wrong after the choice. confusion: of the classes that are said. channel: what happens to answers on their way.
        speech: what is heard of answers that are spoken; None = they are not.
        cutoff: utility above which a content gets a thumb up.
        points: utility at the ends of a bounded taste: one from `low` to `high` is turned into -points to points.
        seed: of the noise.

    Contents are given as whole numbers that are equal where the contents are, such as `content_keys`. A utility of NaN is no opinion: the
    annotator abstains. Two equal contents are a tie.
    """

    name: str = "annotator"
    utility: tuple[UtilityPart, ...] = ()
    withholding: tuple[WithholdingPart, ...] = ()
    choice: Choice = ORACLE
    rating: RatingModel = NEUTRAL
    anchor: float = 0.0
    slips: tuple[Slip, ...] = ()
    confusion: Confusion | None = None
    channel: tuple[Channel, ...] = ()
    speech: Misheard | None = None
    cutoff: float = 0.0
    points: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed must be from 0 to {LARGEST_SEED}, got {self.seed}")
        if not 0 <= self.anchor < 1:
            raise ValueError(f"anchor must be at least 0 and below 1, got {self.anchor}")
        if not (self.points > 0 and np.isfinite([self.points, self.cutoff]).all()):
            raise ValueError(f"points must be above 0 and finite, cutoff finite; got {self.points} and {self.cutoff}")

    def named(self, name: str) -> Annotator:
        """Return the same with another name."""
        return replace(self, name=name)

    def compare(
        self,
        utilities: npt.ArrayLike,
        contents: npt.ArrayLike,
        features: Features | None = None,
        *,
        shown_first: npt.ArrayLike | None = None,
        repetition: npt.ArrayLike = 0,
        time: npt.ArrayLike = 0,
    ) -> Replies:
        """Compare pairs.

        Args:
            utilities, contents: [N, 2]. shown_first: [N], 1 where the first was shown first, -1 where the second was; None = not known.
            repetition: [] or [N], how often it was asked before. time: [] or [N], answers that it gave before.

        Returns: values 1 (the first), 0 (the second), 0.5 (a tie) or NaN.
        """
        places = None if shown_first is None else places_of(np.asarray(shown_first))
        shown, is_known = self._shown(utilities, contents, features, places, repetition, time)
        if shown.size != 2:
            raise ValueError(f"a comparison is of two contents: utilities must be [N, 2], got [N, {shown.size}]")
        codes, felt, seconds = self._ordered(shown, is_known)
        value = np.where(codes == TIE, 0.5, np.where(codes == ANSWERED, (felt[:, 0] > felt[:, 1]).astype(np.float64), np.nan))
        return self._heard(Replies(codes, value, felt, seconds), np.array([0.0, 0.5, 1.0]), shown)

    def rank(
        self,
        utilities: npt.ArrayLike,
        contents: npt.ArrayLike,
        features: Features | None = None,
        *,
        places: npt.ArrayLike | None = None,
        repetition: npt.ArrayLike = 0,
        time: npt.ArrayLike = 0,
    ) -> Replies:
        """Rank M contents each: values [N, M] are places, 0 = the best.

        Args:
            places: [N, M], of the display, 0 = first. The others as for `compare`.
        """
        shown, is_known = self._shown(
            utilities, contents, features, None if places is None else np.asarray(places, float), repetition, time
        )
        if shown.size < 2:
            raise ValueError(f"a ranking is of at least two contents, got {shown.size}")
        if self.speech is not None:
            raise ValueError("rankings are not spoken: compare, rate or thumb, or leave out speech")
        codes, felt, seconds = self._ordered(shown, is_known)
        within = max((part.within for part in self.withholding if isinstance(part, Equal)), default=0.0)
        value = np.where(np.isin(codes, (ANSWERED, TIE))[:, None], ranks_of(felt, within), np.nan)
        value[codes == TIE] = 0.0
        is_level = (codes == ANSWERED) & (value.max(axis=1, initial=0.0) == 0.0)
        return Replies(np.where(is_level, TIE, codes).astype(np.int8), value, felt, seconds)

    def thumb(
        self,
        utilities: npt.ArrayLike,
        contents: npt.ArrayLike,
        features: Features | None = None,
        *,
        repetition: npt.ArrayLike = 0,
        time: npt.ArrayLike = 0,
    ) -> Replies:
        """Say of each content [N] whether it is good (1) or bad (0): whether it is better than one of utility `cutoff`."""
        shown, is_known = self._shown(as_column(utilities), as_column(contents), features, None, repetition, time)
        worth, codes = self._worth(shown, is_known)
        felt = self._slipped(self.choice.margin(worth - self.cutoff, shown), shown)
        felt = np.where(felt == 0.0, shown.draws.uniforms("neither") - 0.5, felt)
        said = (felt[:, 0] > 0.0).astype(np.int64)
        if self.confusion is not None:
            said = self.confusion.say(said, shown.draws.uniform("confusion"))
        return self._heard(self._brought(codes, said.astype(np.float64), felt, worth, shown), np.array([0.0, 1.0]), shown)

    def rate(
        self,
        utilities: npt.ArrayLike,
        contents: npt.ArrayLike,
        features: Features | None = None,
        *,
        steps: tuple[int, int] = (1, 5),
        repetition: npt.ArrayLike = 0,
        time: npt.ArrayLike = 0,
        before: float | None = None,
    ) -> Replies:
        """Rate each content [N]: step = clip(round(middle + half * felt), lowest, highest), where felt is what the rating model says.

        Args:
            steps: the lowest and the highest. before: what was felt last (`Replies.felt`), towards which an anchor draws.
        """
        low, high = steps
        if not low < high < low + MOST_STEPS:
            raise ValueError(f"a scale has 2 to {MOST_STEPS} steps from the lowest to the highest, got {low} to {high}")
        shown, is_known = self._shown(as_column(utilities), as_column(contents), features, None, repetition, time)
        shown = replace(shown, reach=1.0 + 1.0 / (high - low))  # so that each step is as wide as another
        worth, codes = self._worth(shown, is_known)
        felt = self._slipped(self.rating.rate(worth, shown), shown)
        felt = anchored(felt[:, 0], self.anchor, before)[:, None]
        said = np.clip(np.rint((low + high) / 2.0 + (high - low) / 2.0 * felt[:, 0]), low, high).astype(np.int64)
        if self.confusion is not None:
            said = self.confusion.say(said - low, shown.draws.uniform("confusion")) + low
        return self._heard(self._brought(codes, said.astype(np.float64), felt, worth, shown), np.arange(low, high + 1.0), shown)

    @cached_property
    def key(self) -> KeyArray:
        """Return the word that stands for seed and name in the noise: []."""
        return fold(self.seed, text_key(self.name))

    def _shown(
        self,
        utilities: npt.ArrayLike,
        contents: npt.ArrayLike,
        features: Features | None,
        places: FloatArray | None,
        repetition: npt.ArrayLike,
        time: npt.ArrayLike,
    ) -> tuple[Shown, npt.NDArray[np.bool_]]:
        """Return what is shown, and of which sets the annotator knows what they are worth: [N]."""
        worth, keys = np.asarray(utilities, dtype=np.float64), np.asarray(contents)
        if worth.ndim != 2 or worth.shape != keys.shape:
            raise ValueError(f"utilities and contents must have one shape of two axes, got {worth.shape} and {keys.shape}")
        if keys.dtype.kind not in "iu" and keys.size:
            raise ValueError(f"contents must be whole numbers, such as content_keys(texts) gives, got {keys.dtype}")
        if np.isinf(worth).any():
            raise ValueError("utilities must be finite, or NaN for no opinion; got an infinite one: clip it")
        if places is not None and places.shape != worth.shape:
            raise ValueError(f"places must be given for each of {worth.shape} contents, got {places.shape}")
        is_known = np.asarray(~np.isnan(worth).any(axis=1))
        moment, again = (per_set(name, value, len(worth)) for name, value in (("time", time), ("repetition", repetition)))
        draws = Draws(self.key, keys.astype(np.uint64), again.astype(np.uint64))
        return Shown(np.where(is_known[:, None], worth, 0.0), draws, places, features or Features(), moment), is_known

    def _worth(self, shown: Shown, is_known: npt.NDArray[np.bool_]) -> tuple[FloatArray, CodeArray]:
        """Return what the contents are worth to this annotator, and where it withholds an answer."""
        worth = shown.utilities
        for part in sorted(self.utility, key=lambda each: each.turn):
            worth = part.change(worth, shown)
        codes = np.zeros(shown.num_sets, dtype=np.int8)
        for decision in sorted(self.withholding, key=lambda each: each.turn):
            codes = decision.withhold(codes, worth, shown)
        return worth, np.where(is_known, codes, ABSTAIN).astype(np.int8)

    def _ordered(self, shown: Shown, is_known: npt.NDArray[np.bool_]) -> tuple[CodeArray, FloatArray, FloatArray]:
        """Return the codes, what is felt, and the seconds, where contents are put in order."""
        worth, codes = self._worth(shown, is_known)
        felt = self.choice.order(worth, shown)
        is_level = (felt == felt[:, :1]).all(axis=1)
        if shown.size == 2:
            is_level |= shown.draws.contents[:, 0] == shown.draws.contents[:, 1]
        codes = np.where((codes == ANSWERED) & is_level, TIE, codes).astype(np.int8)
        felt = self._slipped(felt, shown)
        brought = self._brought(codes, np.zeros(shown.num_sets), felt, worth, shown)
        return brought.codes, felt, brought.seconds

    def _slipped(self, felt: FloatArray, shown: Shown) -> FloatArray:
        for part in sorted(self.slips, key=lambda each: each.turn):
            felt = part.slip(felt, shown)
        return felt

    def _brought(self, codes: CodeArray, value: FloatArray, felt: FloatArray, worth: FloatArray, shown: Shown) -> Replies:
        seconds = np.full(shown.num_sets, np.nan)
        for part in sorted(self.channel, key=lambda each: each.turn):
            codes, seconds = part.bring(codes, seconds, worth, shown)
        return Replies(codes, np.where(codes == ANSWERED, value, np.nan), felt, seconds)

    def _heard(self, said: Replies, answers: FloatArray, shown: Shown) -> Replies:
        return said if self.speech is None else self.speech.hear(said, answers, shown.draws.uniform("speech"))
