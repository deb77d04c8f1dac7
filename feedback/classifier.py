"""Judge by a classifier, or by a reward model with one output, of the transformers library: any that reads a whole text.

Ziegler et al. 2019 (a classifier's log-probability as the reward of a language model). Left out: heads for single tokens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from feedback.learned.label_scores import Head, Label, Scale, scores_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from feedback.learned.classifier_network import ClassifierNetwork
    from feedback.learned.classifier_rows import ClassifierRows, Of
    from text_env.episode import Episode, FloatArray

BOUND = 10.0  # log odds: 22,000 to 1
KINDS_OF_TEXT = ("response", "text", "pair", "chat")


class Classifier(Source):
    """Score by what a classifier says of a text: BERT, RoBERTa, XLNet, DistilBERT, and GPT-2, Llama and others with a head.

    P(label) = softmax(z)_label                        from 0 to 1; sigma(z_label) where a text may have several labels
    log odds = log(P(label) / (1 - P(label)))          clipped to -10 and 10 (`scale="log odds"`)
    sum_l number_l * P(l)                              from the least to the greatest number (`label={"negative": -1, "positive": 1}`)
    sigma(z)                                           of a single output z, as reward models have it: the chance to be preferred to a
                                                       text of reward 0. `scale="log odds"` is z clipped to -10 and 10; with low and high,
                                                       z clipped to them.

    A judgement's `parts` are the probabilities of all labels, or z; and "tokens cut", where a text was too long.

    Args:
        model: a folder, a hub id, or a model object of transformers, which is put into evaluation mode. A model whose files lack the head
            is refused, since transformers would draw one at random.
        label: a name or a number, or a number for each label; None for a single output.
        of: "response" judges what the agent wrote, "text" prompt and response run on, "pair" the prompt as the first segment and the
            response as the second, "chat" the prompt as a user's turn and the response as the answer, by the tokenizer's chat template.
        scale: of one label, "probability" or "log odds".
        low, high: of a head whose outputs are plain numbers.
        tokenizer: the model's, where the model is an object; it need not be the environment's.
        device: "auto" takes CUDA, then MPS, then the CPU, and leaves a model object where it is.
        dtype: of a model that is named; float32, bfloat16 or float16.
        max_tokens: of one text, where the model allows as many. A longer one loses its beginning, a pair or a chat its prompt first.
        tokens_at_once: read together, what fills up included.

    The model is loaded when it is first asked. Whether a text was finished is not seen: no end token is added but the tokenizer's own.
    Control tokens that a text spells out ("[SEP]") are broken up by a space. A decoder that names no pad id gets one (`ClassifierNetwork`).
    An empty response is judged as any other; without a prompt, what is read is the tokenizer's control tokens, or one end token.
    Cost: one pass of the model over each text: for 24 tokens and the 67 million parameters of DistilBERT about 0.07 s of one core.
    Gamed by: words that went with the label in training, repeated without sense, and texts unlike all that the classifier was trained on.

    >>> judge = Classifier.example()  # random weights: its scores mean nothing
    >>> judge.low, judge.high, judge.unit
    (0.0, 1.0, 'probability')
    >>> from feedback.example_episodes import example_episodes
    >>> sorted(judge(example_episodes())[0].parts)
    ['negative', 'positive']

    On the command line: `python -m feedback try feedback.classifier:Classifier --text " good" --option model=FOLDER label=positive`.
    """

    def __init__(
        self,
        model: Any,
        label: Label = None,
        of: Of = "response",
        scale: Scale = "probability",
        *,
        low: float | None = None,
        high: float | None = None,
        tokenizer: Any = None,
        device: str = "auto",
        dtype: str = "float32",
        max_tokens: int = 1024,
        tokens_at_once: int = 8192,
    ) -> None:
        if of not in KINDS_OF_TEXT:
            raise ValueError(f"of must be one of {', '.join(KINDS_OF_TEXT)}, got {of!r}")
        if scale not in get_args(Scale):
            raise ValueError(f"scale must be one of {', '.join(get_args(Scale))}, got {scale!r}")
        if max_tokens < 1 or tokens_at_once < 1:
            raise ValueError(f"max_tokens and tokens_at_once must be at least 1, got {max_tokens} and {tokens_at_once}")
        if not isinstance(model, str) and tokenizer is None:
            raise ValueError(f"a model object has no tokenizer: give tokenizer, a name or an object, with {type(model).__name__}")
        self.model, self.label, self.of, self.scale = model, label, of, scale
        self._bounds = _bounds(label, scale, low, high)
        self.tokenizer, self.device, self.dtype = tokenizer, device, dtype
        self.max_tokens, self.tokens_at_once = max_tokens, tokens_at_once
        self.low, self.high, self.unit = _stated(label, scale, self._bounds)

    @classmethod
    def example(cls) -> Classifier:
        """Return one with random weights, which reads the bundled tokenizer's tokens."""
        from feedback.learned.classifier_network import load_classifier_tokenizer, random_classifier

        tokenizer = load_classifier_tokenizer("tinylm")
        return cls(random_classifier(len(tokenizer), ("negative", "positive")), "positive", tokenizer=tokenizer)

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the score of each episode. Errors: ValueError for a model that cannot be loaded, and for a label that it has not."""
        if not len(episodes):
            return []
        began = time.perf_counter()
        rows = self._rows.rows(episodes)
        outputs = self._network.outputs(rows)
        scores, values = self._scores(outputs), self._head.values(outputs)
        seconds = (time.perf_counter() - began) / len(rows)
        parts = [
            dict(zip(self._head.names, map(float, said), strict=True)) | ({"tokens cut": float(row.num_cut)} if row.num_cut else {})
            for said, row in zip(values, rows, strict=True)
        ]
        return [
            Judgement(float(score), rater=self._rater, seconds=seconds, parts=named) for score, named in zip(scores, parts, strict=True)
        ]

    def _scores(self, outputs: FloatArray) -> FloatArray:
        if not np.isfinite(outputs).all():
            raise ValueError(f'{self._rater} gave an output that is not finite: give dtype="float32"')
        return np.clip(scores_of(self._head, outputs, self.label, self.scale, self._bounds), self.low, self.high)

    @property
    def _rater(self) -> str:
        return f"classifier {self.model if isinstance(self.model, str) else type(self.model).__name__}"

    @cached_property
    def _loaded(self) -> PreTrainedModel:
        from feedback.learned.classifier_network import load_classifier
        from text_env.devices import choose_device, choose_dtype

        is_named = isinstance(self.model, str)
        model: Any = load_classifier(self.model, choose_dtype(self.dtype)) if is_named else self.model
        if is_named or self.device != "auto":
            model.to(choose_device(self.device))
        found: PreTrainedModel = model
        return found

    @cached_property
    def _tokens(self) -> Any:
        from feedback.learned.classifier_network import load_classifier_tokenizer

        named = self.model if self.tokenizer is None else self.tokenizer
        return load_classifier_tokenizer(named) if isinstance(named, str) else named

    @cached_property
    def _rows(self) -> ClassifierRows:
        from feedback.learned.classifier_network import longest_row
        from feedback.learned.classifier_rows import ClassifierRows

        model = self._loaded  # before the tokenizer, whose absence says less
        return ClassifierRows(self._tokens, self.of, longest_row(model, self._tokens, self.max_tokens))

    @cached_property
    def _network(self) -> ClassifierNetwork:
        from feedback.learned.classifier_network import ClassifierNetwork

        return ClassifierNetwork(self._loaded, self._tokens, self._rows.last_id, self.tokens_at_once)

    @cached_property
    def _head(self) -> Head:
        return Head.of(self._loaded.config)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle the arguments, not what is loaded by them."""
        loaded = ("_loaded", "_tokens", "_rows", "_network", "_head")
        return {name: value for name, value in vars(self).items() if name not in loaded}


def _bounds(label: Label, scale: Scale, low: float | None, high: float | None) -> tuple[float, float] | None:
    """Return low and high where both are given."""
    if low is None and high is None:
        return None
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low and high go together, two finite numbers with low < high, got {low} and {high}")
    if isinstance(label, Mapping) or scale == "log odds":
        raise ValueError("low and high belong to a head of plain numbers, with neither numbers for labels nor log odds: leave one out")
    return float(low), float(high)


def _stated(label: Label, scale: Scale, bounds: tuple[float, float] | None) -> tuple[float, float, str]:
    """Return low, high and unit."""
    if isinstance(label, Mapping):
        numbers = [float(number) for number in label.values()]
        if scale == "log odds":
            raise ValueError("an expected value has no log odds: name one label, or leave scale out")
        if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or min(numbers) == max(numbers):
            raise ValueError(f"numbers for labels must be finite, and at least two of them different, got {dict(label)}")
        return min(numbers), max(numbers), "expected value"
    if bounds is not None:
        return *bounds, "reward"
    return (-BOUND, BOUND, "log odds") if scale == "log odds" else (0.0, 1.0, "probability")
