"""Score by what was learned from people: a reward model on a language model's features, fitted to comparisons, rankings and ratings.

Christiano et al. 2017; Stiennon et al. 2020; Ouyang et al. 2022 (the last token's state, one head). Left out: rewards for single tokens.
"""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from feedback.learned.evidence import Evidence
    from feedback.learned.fit_report import FitReport
    from feedback.learned.heads import Heads
    from feedback.learned.reward_network import Read, RewardNetwork
    from feedback.learned.reward_settings import RewardConfig
    from feedback.learned.reward_tokens import RowMaker
    from text_env.episode import Episode, FloatArray, IntArray

MOST_KEPT = 20_000  # rows of features


class RewardModel(Source):
    """Score by a reward model: P(a preferred to b) = sigma(score(a) - score(b)).

    score = clip((combine_k(w_k . h + b_k) - centre) / temperature, -bound, bound)

    h is the mean of the trunk's states over prompt and response, or its state at their last token (`feedback.learned.reward_network`),
    without an end token: whether a text was finished is not seen. The centre is the mean over the passages that were fitted, so that 0 is
    an ordinary text of them; the temperature is fitted to answers that were held out. Scores are log odds, which have no bound; beyond
    `bound` (10: 22,000 to 1) they are clipped. With several members (`num_heads`) a judgement's `parts` say their mean and their variance.

    Args:
        trunk: "tinylm", "smollm2", a folder, a hub id, or a transformers model object: any encoder or decoder.
        config: how it is fitted; None = `RewardConfig()`.
        tokenizer: the trunk's; None = the one that belongs to its name.
        written_with: the environment's tokenizer; where it is the trunk's, episodes' ids are read as they are, and not encoded again.
        read: "mean" or "last". Heads on tinylm as it is, fitted to 1,000 noisy comparisons, told apart 69 % of new pairs by the mean and
            60 % by the last token; a trunk that is trained can bring to the last token what it needs.
        device: where the trunk computes.
        folder: one that `save` wrote; then only tokenizer, written_with and device may be given beside it.

    An empty response is scored as any other: what is read is the prompt. Long texts lose their beginning.
    Gamed by: texts unlike those that people judged; compare with `feedback.learned.conservative`.
    """

    unit = "log odds"

    def __init__(
        self,
        trunk: Any = "tinylm",
        config: RewardConfig | None = None,
        *,
        tokenizer: Any = None,
        written_with: Any = None,
        read: Read = "mean",
        device: str = "cpu",
        folder: str | Path | None = None,
    ) -> None:
        from feedback.learned.reward_settings import RewardConfig

        self.trunk, self.tokenizer, self.written_with, self.read, self.device = trunk, tokenizer, written_with, read, device
        self.config = RewardConfig() if config is None else config
        self._heads: Heads | None = None
        self._trained: RewardNetwork | None = None  # a trunk that a fit has changed
        self._centre, self._temperature = 0.0, 1.0
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        if folder is not None:
            if trunk != "tinylm" or config is not None or read != "mean":
                raise ValueError("a folder says what its trunk, config and read are: leave them out")
            from feedback.learned.reward_folder import read_into

            read_into(self, Path(folder))
        elif not isinstance(trunk, str) and tokenizer is None:
            raise ValueError("a model object has no tokenizer: give tokenizer, a name or an object")
        self.low, self.high = -self.config.bound, self.config.bound

    @classmethod
    def example(cls) -> RewardModel:
        """Return one that is fitted to a few comparisons of films."""
        from feedback.learned.evidence import Gathering
        from feedback.study.records import Passage

        good, bad = (" wonderful", " a great joy", " good and clever", " superb"), (" awful", " a dull mess", " bad and silly", " boring")
        gathering = Gathering()
        for prompt in ("The film was", "The book is", "I found it"):
            for one, other in zip(good, bad, strict=True):
                gathering.compare(Passage(prompt, one), Passage(prompt, other), 1.0, "example")
        model = cls()
        model.fit(gathering.evidence(), replace(model.config, num_heads=3, held_out=0.0, calibrating=0.0))
        return model

    @classmethod
    def load(cls, folder: str | Path, **settings: Any) -> Self:
        """Return a model that `save` wrote. Errors: ValueError for another folder, or one that names a model which is not bundled."""
        return cls(folder=folder, **settings)

    def save(self, folder: str | Path) -> Path:
        """Write the model to a folder, made or replaced as a whole: safetensors and JSON, no programs. Errors: ValueError if not fitted."""
        from feedback.learned.reward_folder import write_from

        self._need_heads()
        return write_from(self, Path(folder))

    @property
    def is_fitted(self) -> bool:
        """Return whether it can score."""
        return self._heads is not None

    def fit(self, evidence: Evidence, config: RewardConfig | None = None) -> FitReport:
        """Learn from evidence, from the start; the same evidence and config give the same model.

        Args:
            config: None = the model's own; another one becomes its own.

        Errors: NothingToLearnError (a ValueError) where there is no judgement, or none that prefers anything.
        """
        from feedback.learned.calibration import agreement_ceiling, calibration_of, fitted_temperature
        from feedback.learned.fit_report import FitReport, remarks_on

        began, settings = time.perf_counter(), self.config if config is None else config
        evidence.check_says_something()
        said = evidence.aged(settings.half_life_seconds) if np.isfinite(settings.half_life_seconds) else evidence
        rest, held_out = said.split(settings.held_out, settings.seed)
        learned, calibrating = rest.split(settings.calibrating / (1.0 - settings.held_out), settings.seed + 1)
        learned.check_says_something()
        heads, network, raw = self._fitted(evidence, learned, settings)
        pairs = calibrating.pairs()[0]
        temperature = fitted_temperature(raw[pairs.first] - raw[pairs.second], pairs.target, pairs.weight)
        judged = _judged(learned)
        self.config, self._heads, self._trained = settings, heads, network
        self._centre, self._temperature = float(raw[judged].mean()), temperature
        self.low, self.high = -settings.bound, settings.bound
        lengths = np.array([len(passage.text) for passage in evidence.passages], dtype=np.float64)
        calibration, ceiling = calibration_of(raw, lengths, held_out.pairs()[0], temperature), agreement_ceiling(evidence.pairs()[0])
        spread = float(raw[judged].std()) / temperature
        return FitReport(
            num_comparisons=evidence.comparisons.num_comparisons,
            num_ratings=len(evidence.ratings.item),
            num_rankings=len(evidence.rankings),
            num_passages=len(evidence.passages),
            left_out=dict(evidence.left_out),
            num_fitted=learned.num_judgements,
            num_calibrating=calibrating.num_judgements,
            num_held_out=held_out.num_judgements,
            calibration=calibration,
            ceiling=ceiling,
            temperature=temperature,
            spread=spread,
            seconds=time.perf_counter() - began,
            remarks=remarks_on(calibration, ceiling, spread),
        )

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the score of each episode, in log odds against an ordinary text. Errors: ValueError before the first fit."""
        from feedback.learned.conservative import spread_variance

        self._need_heads()
        if not len(episodes):
            return []
        members = self.members(self._rows.rows(episodes))
        scores = np.clip((self._combined(members) - self._centre) / self._temperature, self.low, self.high)
        if len(members) == 1:
            return [Judgement(float(score), rater="reward model") for score in scores]
        means = (members.mean(axis=0) - self._centre) / self._temperature
        variances = spread_variance(members) / self._temperature**2
        return [
            Judgement(float(score), rater="reward model", parts={"members' mean": float(mean), "members' variance": float(variance)})
            for score, mean, variance in zip(scores, means, variances, strict=True)
        ]

    def members(self, rows: Sequence[IntArray]) -> FloatArray:
        """Return what each member says of rows of ids, before temperature and centre: [K, N]."""
        return self._need_heads().scores(self._features(rows))

    def _combined(self, members: FloatArray) -> FloatArray:
        from feedback.learned.conservative import combine

        return combine(members, self.config.combination, self.config.variance_weight)

    def _fitted(self, evidence: Evidence, learned: Evidence, settings: RewardConfig) -> tuple[Heads, RewardNetwork | None, FloatArray]:
        """Return heads, the trunk where it was trained, and the combined score of all passages."""
        from feedback.learned.conservative import combine
        from feedback.learned.heads import fit_heads
        from feedback.learned.trunk_training import train_trunk

        same = self._rows.written_by == self._rows.tokens.fingerprint
        rows = [
            self._rows.row(each.prompt, each.text, each.ids if same and each.ids and each.ending != "stop" else None)
            for each in evidence.passages
        ]
        self._trained, trained = None, None
        features = self._features(rows)
        noise = {} if settings.noise == "none" else {settings.noise: settings.noise_share}
        heads = fit_heads(
            features,
            learned.pairs()[0],
            settings.num_heads,
            settings.seed,
            settings.penalty,
            ratings=learned.ratings,
            prior_noise=settings.prior_noise,
            **noise,
        )
        if settings.trained != "heads":
            trained = self._fresh_network(settings)
            heads = train_trunk(trained, heads, rows, learned, settings)
            features = np.asarray(trained.features(rows), dtype=np.float64)
        return heads, trained, combine(heads.scores(features), settings.combination, settings.variance_weight)

    def _fresh_network(self, settings: RewardConfig) -> RewardNetwork:
        """Return a network whose trunk may be changed."""
        from feedback.learned.reward_network import RewardNetwork, with_lora

        trunk = copy.deepcopy(self._network.trunk)
        changed = with_lora(trunk, settings.training.lora_rank, settings.seed) if settings.trained == "lora" else trunk
        return RewardNetwork(changed, self.read)

    def _features(self, rows: Sequence[IntArray]) -> FloatArray:
        """Return the features of rows; those of an untrained trunk are kept, since a row's never change."""
        if self._trained is not None:
            return np.asarray(self._trained.features(rows), dtype=np.float64)
        keys = [row.tobytes() for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._kept}
        found = dict(zip(new, self._network.features(list(new.values())), strict=True)) if new else {}
        features = np.stack([found[key] if key in found else self._kept[key] for key in keys]).astype(np.float64)
        self._kept.update(found)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return features

    @cached_property
    def _network(self) -> RewardNetwork:
        """Return the trunk as it was before any fit."""
        from feedback.learned.reward_network import RewardNetwork, load_trunk

        return RewardNetwork(load_trunk(self.trunk), self.read).to(self.device)

    @cached_property
    def _rows(self) -> RowMaker:
        from feedback.learned.reward_tokens import RowMaker, reward_tokenizer
        from text_env.tokens import load_tokens

        network = self._trained or self._network
        tokens = reward_tokenizer(self.trunk if self.tokenizer is None else self.tokenizer, int(network.config.vocab_size))
        written_by = "" if self.written_with is None else load_tokens(self.written_with).fingerprint
        return RowMaker.of(tokens, network.longest, written_by)

    def _need_heads(self) -> Heads:
        if self._heads is None:
            raise ValueError('this reward model is not fitted: call fit(evidence), or give folder="..." of one that was saved')
        return self._heads

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle what was learned; a trunk that a name stands for is loaded anew, and features are computed anew."""
        left_out = {"_kept"} | ({"_network", "_rows"} if isinstance(self.trunk, str) else set())
        return {name: value for name, value in vars(self).items() if name not in left_out} | {"_kept": OrderedDict()}


def _judged(evidence: Evidence) -> IntArray:
    pairs = evidence.pairs()[0]
    return np.unique(np.concatenate([pairs.first, pairs.second, evidence.ratings.item]))
