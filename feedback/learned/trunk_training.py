"""Train a trunk and its heads on evidence, in small steps.

Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features": it starts from heads that were fitted to the untrained trunk. Members
share the trunk and differ by their bootstrap. Left out: several devices, and a validation that stops early.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from feedback.aggregation.opinions import Comparisons
from feedback.learned.evidence import Evidence, Ranking
from feedback.learned.heads import VALUE_LOG_ODDS, Heads
from feedback.learned.reward_losses import (
    Choices,
    bradley_terry_loss,
    centring_penalty,
    huber_loss,
    lapse_loss,
    plackett_luce_loss,
    smoothed_loss,
    unbiased_loss,
)
from feedback.learned.reward_network import RewardNetwork
from feedback.learned.reward_settings import RewardConfig

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def train_trunk(network: RewardNetwork, heads: Heads, rows: Sequence[IntArray], evidence: Evidence, config: RewardConfig) -> Heads:
    """Train a network in place, from heads that fit it, and return the heads that belong to it then.

    Args:
        rows: ids of the evidence's passages.
    """
    settings = config.training
    weights = torch.nn.Parameter(torch.tensor(heads.weights, dtype=torch.float32))
    offsets = torch.nn.Parameter(torch.tensor(heads.offsets, dtype=torch.float32))
    weights.data, offsets.data = weights.data.to(_device(network)), offsets.data.to(_device(network))
    trunk = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate = settings.learning_rate * (10 if config.trained == "lora" else 1)
    groups = [{"params": trunk, "lr": rate}, {"params": [weights, offsets], "lr": settings.head_learning_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    judgements = Judgements.of(evidence, config)
    for _, chosen in _steps(len(judgements.kind), settings.epochs, settings.judgements_per_step, config.seed):
        optimizer.zero_grad()
        judgements.loss(network, weights, offsets, rows, chosen, config).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*trunk, weights, offsets], settings.max_grad_norm)
        optimizer.step()
    numbers = weights.detach().double().cpu().numpy(), offsets.detach().double().cpu().numpy()
    return Heads(*numbers, np.zeros(len(numbers[0]), dtype=np.int64))


class Judgements:
    """Hold comparisons, ratings and rankings in one list, so that a step draws from all of them alike.

    Args:
        kind: [J], 0 = a comparison, 1 = a rating, 2 = a ranking. number: [J], its place among its kind.
        counts: [K, J], how often each member's bootstrap drew it.
    """

    def __init__(self, comparisons: Comparisons, evidence: Evidence, rankings: tuple[Ranking, ...], counts: FloatArray) -> None:
        sizes = (comparisons.num_comparisons, len(evidence.ratings.item), len(rankings))
        self.kind = np.repeat([0, 1, 2], sizes)
        self.number = np.concatenate([np.arange(size) for size in sizes])
        self.comparisons, self.ratings, self.rankings, self.counts = comparisons, evidence.ratings, rankings, counts

    @classmethod
    def of(cls, evidence: Evidence, config: RewardConfig) -> Judgements:
        """Make the list; rankings are pairs or wholes, as the settings say."""
        whole = config.training.rankings == "plackett_luce"
        comparisons = evidence.comparisons if whole else evidence.pairs()[0]
        rankings = evidence.rankings if whole else ()
        number = comparisons.num_comparisons + len(evidence.ratings.item) + len(rankings)
        counts = np.ones((config.num_heads, number))
        if config.num_heads > 1:
            for head in range(config.num_heads):
                drawn = np.random.default_rng((config.seed, head)).integers(number, size=number)
                counts[head] = np.bincount(drawn, minlength=number)
        return cls(comparisons, evidence, rankings, counts)

    def loss(
        self, network: RewardNetwork, weights: Tensor, offsets: Tensor, rows: Sequence[IntArray], chosen: IntArray, config: RewardConfig
    ) -> Tensor:
        """Return the mean loss of some judgements over members and judgements."""
        items, place = self._items(chosen)
        features = network([rows[item] for item in items]).float()
        scores = features @ weights.T + offsets  # [items, K]
        total = scores.new_zeros(())
        for kind, loss in enumerate((self._compared, self._rated, self._ranked)):
            of_kind = chosen[self.kind[chosen] == kind]
            if len(of_kind):
                counts = torch.as_tensor(self.counts[:, of_kind].T, dtype=scores.dtype, device=scores.device)
                total = total + (counts * loss(scores, self.number[of_kind], place, config)).sum()
        return total / (len(chosen) * weights.shape[0])

    def _compared(self, scores: Tensor, numbers: IntArray, place: IntArray, config: RewardConfig) -> Tensor:
        said = self.comparisons
        first, second = scores[place[said.first[numbers]]], scores[place[said.second[numbers]]]
        target = torch.as_tensor(said.target[numbers], dtype=scores.dtype, device=scores.device)[:, None].expand_as(first)
        weight = torch.as_tensor(said.weight[numbers], dtype=scores.dtype, device=scores.device)[:, None]
        loss = _noisy_loss(first - second, target, config)
        return weight * (loss + config.training.centring * centring_penalty(first, second))

    def _rated(self, scores: Tensor, numbers: IntArray, place: IntArray, config: RewardConfig) -> Tensor:
        said = self.ratings
        guess = scores[place[said.item[numbers]]] / VALUE_LOG_ODDS
        value = torch.as_tensor(said.value[numbers], dtype=scores.dtype, device=scores.device)[:, None].expand_as(guess)
        weight = torch.as_tensor(said.weight[numbers], dtype=scores.dtype, device=scores.device)[:, None]
        return weight * huber_loss(guess, value)

    def _ranked(self, scores: Tensor, numbers: IntArray, place: IntArray, config: RewardConfig) -> Tensor:
        rankings = [self.rankings[number] for number in numbers]
        choices = Choices.of([[[int(place[item]) for item in group] for group in ranking.groups] for ranking in rankings])
        weight = torch.tensor([ranking.weight for ranking in rankings], dtype=scores.dtype, device=scores.device)
        losses = [weight * plackett_luce_loss(scores[:, head], choices) for head in range(scores.shape[1])]
        return torch.stack(losses, dim=1)

    def _items(self, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """Return the passages of some judgements, each once, and where each passage then is."""
        met = []
        for kind, number in zip(self.kind[chosen], self.number[chosen], strict=True):
            if kind == 0:
                met += [self.comparisons.first[number], self.comparisons.second[number]]
            elif kind == 1:
                met.append(self.ratings.item[number])
            else:
                met += [item for group in self.rankings[number].groups for item in group]
        items = np.unique(np.array(met, dtype=np.int64))
        place = np.full(len(self.comparisons.items), -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        return items, place


def _noisy_loss(difference: Tensor, target: Tensor, config: RewardConfig) -> Tensor:
    if config.noise == "lapse":
        return lapse_loss(difference, target, config.noise_share)
    if config.noise == "smoothing":
        return smoothed_loss(difference, target, config.noise_share)
    if config.noise == "flips":
        return unbiased_loss(difference, target, config.noise_share)
    return bradley_terry_loss(difference, target)


def _steps(number: int, epochs: int, size: int, seed: int) -> Iterator[tuple[int, IntArray]]:
    """Give the epoch and the judgements of each step: all of them once an epoch, in an order by the seed."""
    generator = np.random.default_rng((seed, 1_000_003))  # another stream than the members' bootstraps
    for epoch in range(epochs):
        order = generator.permutation(number)
        for start in range(0, number, size):
            yield epoch, order[start : start + size]


def _device(network: RewardNetwork) -> torch.device:
    return next(network.parameters()).device
