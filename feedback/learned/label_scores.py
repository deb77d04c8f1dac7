"""Turn the outputs of a classifier's head into scores: of one label, of all labels by a number each, or of the only output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from feedback.aggregation.bradley_terry import sigmoid
from text_env.episode import FloatArray

Label = str | int | Mapping[str, float] | None
Scale = Literal["probability", "log odds"]
Kind = Literal["exclusive", "independent", "raw"]  # labels of which one holds, labels each for itself, plain numbers
MOST_SHOWN = 20  # labels in a message


@dataclass(frozen=True, eq=False)
class Head:
    """Say what the outputs of a head mean.

    Args:
        names: [K] of the outputs. kind: "exclusive" outputs go through a softmax, "independent" ones each through a sigmoid, "raw" ones are
            numbers. It is what the model's configuration says of its problem; one output is a number.
    """

    names: tuple[str, ...]
    kind: Kind

    @classmethod
    def of(cls, config: Any) -> Head:
        """Read a configuration of transformers."""
        names = tuple(str(config.id2label[number]) for number in range(int(config.num_labels)))
        if config.problem_type == "regression" or len(names) == 1:
            return cls(names, "raw")
        return cls(names, "independent" if config.problem_type == "multi_label_classification" else "exclusive")

    def values(self, outputs: FloatArray) -> FloatArray:
        """Return the probabilities of the labels, or the numbers themselves: [N, K]."""
        if self.kind == "raw":
            return outputs
        if self.kind == "independent":
            return sigmoid(outputs)
        return np.exp(outputs - _log_sum_exp(outputs)[:, None])

    def log_odds(self, outputs: FloatArray, number: int) -> FloatArray:
        """Return log(p / (1 - p)) of one label, from the outputs, so that it does not saturate: [N]. A raw output is taken for one."""
        if self.kind == "exclusive":
            return outputs[:, number] - _log_sum_exp(np.delete(outputs, number, axis=1))
        return outputs[:, number]

    def number(self, label: str | int | None) -> int:
        """Return which output a label is. Errors: ValueError that names the labels there are."""
        if label is None and self.kind == "raw" and len(self.names) == 1:
            return 0
        if isinstance(label, str) and label in self.names:
            return self.names.index(label)
        if isinstance(label, int) and 0 <= label < len(self.names):
            return label
        raise ValueError(f"label must be one of the classifier's, {self.shown}, or its number, got {label!r}")

    def weights(self, numbers: Mapping[str, float]) -> FloatArray:
        """Return what each label counts: [K]. Errors: ValueError unless every label of an exclusive head has a number, and no other."""
        if self.kind != "exclusive":
            raise ValueError(f"numbers for labels need a head of which one label holds, this one's are {self.kind}: name one label")
        if set(numbers) != set(self.names):
            raise ValueError(f"every label needs a number, and no other: the classifier's are {self.shown}, got {sorted(numbers)}")
        return np.array([float(numbers[name]) for name in self.names])

    @property
    def shown(self) -> str:
        """Return the labels for a message."""
        more = f" and {len(self.names) - MOST_SHOWN} more" if len(self.names) > MOST_SHOWN else ""
        return ", ".join(map(repr, self.names[:MOST_SHOWN])) + more


def scores_of(head: Head, outputs: FloatArray, label: Label, scale: Scale, bounds: tuple[float, float] | None) -> FloatArray:
    """Return one score per row of outputs: [N].

    Args:
        label: which output, or a number for each label. scale: of one label. bounds: of a raw output, which is clipped to them; None = it
            goes through a sigmoid, or is taken for log odds.

    Errors: ValueError for an unknown label, and for bounds of what has bounds already.
    """
    if isinstance(label, Mapping):
        return head.values(outputs) @ head.weights(label)
    number = head.number(label)
    if bounds is not None:
        if head.kind != "raw":
            raise ValueError(f"low and high belong to a head of plain numbers; the probability of {head.names[number]!r} has 0 and 1")
        return np.clip(outputs[:, number], bounds[0], bounds[1])
    if scale == "log odds":
        return head.log_odds(outputs, number)
    return sigmoid(outputs[:, number]) if head.kind == "raw" else head.values(outputs)[:, number]


def _log_sum_exp(values: FloatArray) -> FloatArray:
    return np.asarray(np.logaddexp.reduce(values, axis=1))
