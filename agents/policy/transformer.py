"""Hold what policies made of transformers language models share: choosing tokens, scoring them, reference, weights, state.

What differs between models that read one sequence and models that have an encoder is how hidden states are made of a prompt and a
response, step by step and whole: that is a `Reader`, which a policy is given.

Writing goes through a cache, in a lower precision where that is faster. Scoring, with gradient, goes through whole responses at once.
Both give the same distribution up to the precision; what differs is the learner's to measure and correct.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from agents.agent import BoolArray, Decision, Observation
from agents.policy.actions import ActionBatch, Bools, Ints
from agents.policy.architecture import num_logits, project, text_config
from agents.policy.decoding import check_mask
from agents.policy.draws import Draws
from agents.policy.evaluation import Evaluation
from agents.policy.logprobs import ActionMasks, Project, Scores, score_tokens
from agents.policy.models import ready_model
from agents.policy.precision import choose_compute_dtype
from agents.policy.reader import Reader
from agents.policy.reference import make_reference
from agents.policy.sampler import Sampler
from agents.policy.sampling import best_tokens, draw_tokens, mix_with_uniform
from agents.policy.slots import IntArray
from agents.policy.value_head import ValueHead
from text_env.devices import choose_device, choose_dtype
from text_env.tokens import Tokens, load_tokens

Reference = Literal["initial"] | str | PreTrainedModel | None


class TransformerPolicy:
    """Choose tokens by a transformers language model. `CausalPolicy` and `EncoderDecoderPolicy` say how theirs read.

    Args: as in `CausalPolicy`.
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        tokens: Tokens | None,
        device: str | torch.device,
        dtype: str | torch.dtype,
        compute_dtype: str | torch.dtype,
        temperature: float,
        value_head: bool,
        value_trains_trunk: bool,
        reference: Reference,
        seed: int,
    ) -> None:
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 (greedy) or positive, got {temperature}")
        self.name = model if isinstance(model, str) else type(model).__name__
        self.tokens = load_tokens(model) if tokens is None and isinstance(model, str) else tokens
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype)
        self.temperature = temperature
        self.seed = seed
        self.version = 0
        self.model = ready_model(model, self.dtype, self.device)
        self.config = text_config(self.model)
        self.width = num_logits(self.model)
        self.compute_dtype = choose_compute_dtype(compute_dtype, self.device, self.dtype, self.model.num_parameters())
        self._suppressed: torch.Tensor | None = None  # [k] ids that are never chosen
        self._reader = self._make_reader()
        self._sampler = Sampler(self.model, self.compute_dtype)
        self.value_head = ValueHead(self.config.hidden_size, seed).to(self.device) if value_head else None
        self.value_trains_trunk = value_trains_trunk
        self._reference = make_reference(self.model, reference, self.compute_dtype)
        named = self.name if reference == "initial" else reference
        self.reference_name = named if named is None or isinstance(named, str) else type(named).__name__
        self._weights = object()  # a new one whenever the weights change
        self._starts = 0

    def _make_reader(self) -> Reader:
        """Return what runs this policy's model.

        Raises:
            ValueError: the model would be stepped wrongly.
        """
        raise NotImplementedError

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return a memory for `num_rows` rows of a vector environment.

        Args:
            num_rows: rows of the environment.
            seed: decides every token that is drawn with this memory. None takes the policy's own next seed.
        """
        if num_rows < 1:
            raise ValueError(f"num_rows must be at least 1, got {num_rows}")
        if seed is None:
            seed = int(np.random.SeedSequence((self.seed, self._starts)).generate_state(1, np.uint64)[0] >> 1)
            self._starts += 1
        return self._reader.memory(num_rows, self._weights, Draws.of(seed))

    @torch.no_grad()
    def act(
        self,
        observation: Observation,
        memory: Any,
        fresh: BoolArray,
        active: BoolArray,
        action_mask: BoolArray | None = None,
        epsilon: float = 0.0,
    ) -> Decision:
        """Choose a token for each active row.

        Costs one forward pass over one token per active row, and one over the prompts of fresh rows.

        Args:
            observation: `input_ids` [N, L] and `attention_mask` [N, L], padded on the right.
            memory: from `start`, under the present weights.
            fresh: [N] rows whose episode has just begun.
            active: [N] rows that still write.
            action_mask: [N, V] tokens that may be chosen; None means all.
            epsilon: share of uniform tokens mixed into the distribution; log-probabilities are those of the mixture.

        Raises:
            ValueError: a memory of older weights, a row without a new token, a mask of another width than the logits.
        """
        if memory.weights is not self._weights:
            raise ValueError("this memory was started before the policy's weights changed: call start again after an update")
        self._reader.check_rows(memory, observation, active)
        check_mask(action_mask, active, self.width, self.tokens)
        tokens = np.zeros(len(active), dtype=np.int64)
        logprobs = np.zeros(len(active), dtype=np.float32)
        values = None if self.value_head is None else np.zeros(len(active), dtype=np.float32)
        if not active.any():
            return Decision(tokens, logprobs, values)
        hidden, rows = self._reader.last_hidden_states(self._sampler.model, memory, observation, fresh, active)
        mask = None if action_mask is None else torch.from_numpy(action_mask[rows]).to(self.device)
        chosen, their_logprobs = self._choose(hidden, mask, memory.draws, rows, epsilon)
        tokens[rows] = chosen.cpu().numpy()
        logprobs[rows] = their_logprobs.cpu().numpy()
        if self.value_head is not None and values is not None:
            values[rows] = self.value_head(hidden).cpu().numpy()
        return Decision(tokens, logprobs, values)

    def _choose(
        self, hidden: torch.Tensor, mask: torch.Tensor | None, draws: Draws, rows: IntArray, epsilon: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self._project(self._sampler.model, lowest=-torch.inf)(hidden)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        if epsilon > 0:
            logits = mix_with_uniform(logits, epsilon, is_greedy=self.temperature == 0)
        elif self.temperature == 0:
            return best_tokens(logits)
        precise = torch.float32 if self.device.type == "mps" else torch.float64
        uniforms = draws.uniforms(rows, precise).to(self.device)
        return draw_tokens(logits, uniforms)

    def evaluate(
        self,
        tokens: Ints,
        prompt_lengths: Ints,
        is_action: Bools,
        masks: ActionMasks | None = None,
        rows_per_chunk: int | None = None,
        exact_kl: bool = False,
    ) -> Evaluation:
        """Score actions that were taken, with gradient.

        The action of column t is tokens[b, prompt_lengths[b] + t]; its state is what comes before it.

        Args:
            tokens: [B, L] prompts and responses, padded on the right.
            prompt_lengths: [B] at least 1.
            is_action: [B, T] which response tokens the agent chose.
            masks: the masks that held when they were chosen.
            rows_per_chunk: rows that go through the model at once; None means all. It changes memory, not the result.
            exact_kl: also compute the divergence from the reference over the whole vocabulary, with its gradient.
        """
        batch = ActionBatch.of(tokens, prompt_lengths, is_action, masks, self.device)
        parts = [self._evaluate(part, exact_kl) for part in batch.split(rows_per_chunk)]
        logprobs, entropy, values, kl = zip(*parts, strict=True)
        return Evaluation(torch.cat(logprobs), torch.cat(entropy), _joined(values), _joined(kl))

    def _evaluate(self, batch: ActionBatch, exact_kl: bool) -> Evaluation:
        self.model.train(False)  # dropout would make the learner's distribution another one than the sampler's
        with self._autocast():
            hidden = self._reader.states(self.model, batch)
            scores = self._score(self.model, hidden, batch, exact_kl)
        values = None
        if self.value_head is not None:
            values = batch.spread(self.value_head(hidden if self.value_trains_trunk else hidden.detach()))
        kl = None if scores.kl is None else batch.spread(scores.kl)
        return Evaluation(batch.spread(scores.logprobs), batch.spread(scores.entropy), values, kl)

    @torch.no_grad()
    def reference_logprobs(
        self,
        tokens: Ints,
        prompt_lengths: Ints,
        is_action: Bools,
        masks: ActionMasks | None = None,
        rows_per_chunk: int | None = None,
    ) -> torch.Tensor:
        """Return the log-probability [B, T] of each action under the frozen reference; see `evaluate`."""
        reference = self._needs_reference()
        parts = []
        for part in ActionBatch.of(tokens, prompt_lengths, is_action, masks, self.device).split(rows_per_chunk):
            with self._autocast():
                scores = self._score(reference, self._reader.states(reference, part), part, exact_kl=False)
            parts.append(part.spread(scores.logprobs))
        return torch.cat(parts)

    def distributions(self, tokens: Ints, prompt_lengths: Ints, is_action: Bools, of_reference: bool = False) -> torch.Tensor:
        """Return the log-probabilities [B, T, V] of all tokens, with gradient, for vocabularies of a handful; zero off actions.

        Args:
            of_reference: of the frozen reference instead, without gradient. Others as in `evaluate`.
        """
        model = self._needs_reference() if of_reference else self.model
        batch = ActionBatch.of(tokens, prompt_lengths, is_action, None, self.device)
        self.model.train(False)
        with self._autocast(), torch.set_grad_enabled(torch.is_grad_enabled() and not of_reference):
            logits = self._project(model)(self._reader.states(model, batch))
            logprobs = torch.log_softmax(logits if self.dtype == torch.float64 else logits.float(), dim=-1)
        return batch.spread(logprobs)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the language model's parameters, in the precision that is trained."""
        return self.model.parameters()

    def value_parameters(self) -> Iterator[nn.Parameter]:
        """Return the value head's parameters; none without a value head."""
        return iter(()) if self.value_head is None else self.value_head.parameters()

    def updated(self) -> None:
        """Tell the policy that its parameters changed: the sampler's copy is refreshed and older memories are refused."""
        self._sampler.refresh()
        self.version += 1
        self._weights = object()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on: weights, version and the number of seeds used."""
        value_head = None if self.value_head is None else self.value_head.state_dict()
        return {"model": self.model.state_dict(), "value_head": value_head, "version": self.version, "starts": self._starts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over weights, version and the number of seeds used; the reference stays what it is.

        Raises:
            ValueError: the state has a value head and this policy has none, or the other way round.
        """
        if (state["value_head"] is None) != (self.value_head is None):
            stored, ours = ("a", "no") if self.value_head is None else ("no", "a")
            raise ValueError(
                f"the saved policy has {stored} value head and this one has {ours} value head: make it with the same value_head"
            )
        self.model.load_state_dict(state["model"])
        if self.value_head is not None:
            self.value_head.load_state_dict(state["value_head"])
        self.updated()
        self.version, self._starts = state["version"], state["starts"]

    def _needs_reference(self) -> PreTrainedModel:
        if self._reference is None:
            raise ValueError('this policy was made with reference=None: make it with reference="initial", a name or a model')
        return self._reference

    def _autocast(self) -> AbstractContextManager[object]:
        return nullcontext() if self.compute_dtype == self.dtype else torch.autocast(self.device.type, dtype=self.compute_dtype)

    def _project(self, model: PreTrainedModel, lowest: float | None = None) -> Project:
        """Return what makes logits; those of suppressed ids are `lowest`; by default the lowest number, which gives no NaN."""

        def to_logits(hidden: torch.Tensor) -> torch.Tensor:
            logits = project(model, hidden)
            logits = logits if self.temperature in (0, 1) else logits.float() / self.temperature
            if self._suppressed is None:
                return logits
            return logits.index_fill(-1, self._suppressed, torch.finfo(logits.dtype).min if lowest is None else lowest)

        return to_logits

    def _score(self, model: PreTrainedModel, hidden: torch.Tensor, batch: ActionBatch, exact_kl: bool) -> Scores:
        reference = None
        if exact_kl:
            frozen = self._needs_reference()
            with torch.no_grad():
                reference = (self._reader.states(frozen, batch), self._project(frozen))
        return score_tokens(
            hidden, batch.actions, self._project(model), self.width, None if batch.mask_index is None else batch.allowed, reference
        )


def _joined(parts: tuple[torch.Tensor | None, ...]) -> torch.Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None
