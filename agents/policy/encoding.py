"""Give the prompt to the encoder and take the response from the decoder: a token at a time while writing, and whole for the learner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from agents.agent import BoolArray, Observation
from agents.policy.actions import ActionBatch
from agents.policy.attention import VisibleTokens, same_with_gradient
from agents.policy.cohorts import Cohort, CohortMemory, PromptCache, ResponseCache
from agents.policy.decoding import token_counts
from agents.policy.draws import Draws
from agents.policy.slots import Feed, IntArray, by_length, on_device


class EncoderDecoderReader:
    """Run the trunk of a model with an encoder and a decoder; see `Reader`.

    Args:
        config: the model's.
        dtype: precision of the attention scores while writing.
        device: where the model is.
        opening: what the decoder reads before the response, at least one id.
        closing: what the encoder reads behind the prompt.
    """

    def __init__(
        self, config: PretrainedConfig, dtype: torch.dtype, device: torch.device, opening: Sequence[int], closing: Sequence[int]
    ) -> None:
        self.config, self.dtype, self.device = config, dtype, device
        self.opening = np.asarray(opening, dtype=np.int64)
        self.closing = np.asarray(closing, dtype=np.int64)
        self.visible = VisibleTokens(config, dtype)
        self._longest = getattr(config, "max_position_embeddings", None) or np.inf

    def memory(self, num_rows: int, weights: object, draws: Draws) -> CohortMemory:
        """Return an empty memory."""
        return CohortMemory(weights, num_rows, draws)

    def check_rows(self, memory: CohortMemory, observation: Observation, active: BoolArray) -> None:
        """Raise where the observation does not fit the memory, or a prompt or response is longer than the model can read."""
        lengths = token_counts(observation)
        if len(lengths) != memory.num_rows:
            raise ValueError(f"the memory was started for {memory.num_rows} rows and the observation has {len(lengths)}")
        prompts = prompt_counts(observation, lengths)
        for what, option, counts in (
            ("prompt", "max_prompt_tokens", prompts + len(self.closing)),
            ("response", "max_new_tokens", lengths - prompts + len(self.opening)),
        ):
            too_long = active & (counts > self._longest)
            if too_long.any():
                row = int(np.argmax(too_long))
                raise ValueError(
                    f"the {what} of row {row} has {counts[row]} tokens, special ones included, and the model reads at most "
                    f"{self._longest}: lower {option}"
                )

    @torch.no_grad()
    def last_hidden_states(
        self, model: PreTrainedModel, memory: CohortMemory, observation: Observation, fresh: BoolArray, active: BoolArray
    ) -> tuple[torch.Tensor, IntArray]:
        """Feed every active row its new tokens and return the hidden state of its last one, and which row each is of."""
        ids = np.asarray(observation["input_ids"], dtype=np.int64)
        lengths = token_counts(observation)
        prompts = prompt_counts(observation, lengths)
        counts = lengths - prompts + len(self.opening)  # decoder tokens of each row
        is_new = active.copy()
        is_new[memory.keep(active & ~fresh)] = False
        limit = ids.shape[1] + len(self.opening)
        cohorts, parts = [], []
        for cohort in memory.cohorts:
            _check_new_tokens(cohort, counts, len(self.opening))
            cohorts += cohort.split(counts[cohort.rows])
        for cohort in cohorts:
            new = self._decoder_ids(ids, prompts, cohort.rows, cohort.held, int(counts[cohort.rows[0]]))
            parts.append(self._decode(model, cohort, new, limit))
        for count in np.unique(counts[is_new]):
            rows = np.flatnonzero(is_new & (counts == count))
            cohort, hidden = self._begin(model, ids, prompts, rows, int(count), limit)
            cohorts.append(cohort)
            parts.append(hidden)
        memory.cohorts = cohorts
        return torch.cat(parts), np.concatenate([cohort.rows for cohort in cohorts])

    def _begin(
        self, model: PreTrainedModel, ids: IntArray, prompts: IntArray, rows: IntArray, count: int, limit: int
    ) -> tuple[Cohort, torch.Tensor]:
        """Make a cohort of rows that nothing is known of. What several rows have in common goes through the model once."""
        columns = np.arange(prompts[rows].max() + count - len(self.opening))
        is_real = columns < (prompts[rows] + count - len(self.opening))[:, None]
        whole = np.column_stack([prompts[rows], np.where(is_real, ids[rows][:, : len(columns)], -1)])
        _, first, inverse = np.unique(whole, axis=0, return_index=True, return_inverse=True)
        distinct, inverse = rows[first], inverse.reshape(-1)
        states, hides = self._encode_apart(model, ids[distinct], prompts[distinct])
        cohort = Cohort(distinct, 0, ResponseCache(len(distinct)), PromptCache(), hides)
        hidden = self._decode(model, cohort, self._decoder_ids(ids, prompts, distinct, 0, count), limit, states)
        return cohort.take(inverse, rows), hidden[on_device(inverse, self.device)]

    def _encode_apart(self, model: PreTrainedModel, ids: IntArray, prompts: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the encoder over prompts [n, L], those of very different lengths apart.

        Returns: states [n, S, H] and what hides padding [n, 1, 1, S].
        """
        encoder_ids, is_read = self.encoder_input(ids, prompts)
        visible = on_device(is_read, self.device)
        hides = torch.zeros(visible.shape, dtype=self.dtype, device=self.device)
        hides = hides.masked_fill_(~visible, torch.finfo(self.dtype).min)[:, None, None]
        states: torch.Tensor | None = None
        for group in by_length(np.arange(len(ids)), prompts):
            width = int(is_read[group].sum(1).max())
            places = on_device(group, self.device)
            mask = hides[places, :, :, :width].expand(-1, -1, width, -1)
            part = _run(model.get_encoder(), on_device(encoder_ids[group, :width], self.device), attention_mask=mask)
            if states is None:
                states = part.new_zeros(len(ids), is_read.shape[1], part.shape[-1])
            states[places, :width] = part
        assert states is not None
        return states, hides

    def encoder_input(self, ids: IntArray, prompts: IntArray) -> tuple[IntArray, BoolArray]:
        """Return prompts with what closes them [n, S], and which of it is read. Padding repeats the row's last id."""
        lengths = prompts + len(self.closing)
        columns = np.arange(lengths.max())
        behind = np.clip(columns - prompts[:, None], 0, max(0, len(self.closing) - 1))
        closing = self.closing[behind] if len(self.closing) else np.take_along_axis(ids, prompts[:, None] - 1, 1)
        inside = ids[:, np.minimum(columns, ids.shape[1] - 1)]
        return np.where(columns < prompts[:, None], inside, closing), columns < lengths[:, None]

    def _decoder_ids(self, ids: IntArray, prompts: IntArray, rows: IntArray, start: int, end: int) -> IntArray:
        """Return columns start to end of what the decoder reads of some rows: the opening and the response."""
        columns = np.arange(start, end) - len(self.opening)
        response = np.take_along_axis(ids[rows], prompts[rows, None] + np.maximum(columns, 0), 1) if end > len(self.opening) else 0
        return np.where(columns < 0, self.opening[np.minimum(columns, -1)], response) + np.zeros((len(rows), 1), dtype=np.int64)

    def _decode(
        self, model: PreTrainedModel, cohort: Cohort, new: IntArray, limit: int, states: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run the decoder over new tokens [n, width] of a cohort and return the hidden states of the last ones [n, H]."""
        num_rows, width = new.shape
        positions = torch.arange(cohort.held, cohort.held + width, device=self.device)[None]
        feed = Feed(np.arange(num_rows), np.full(num_rows, cohort.held), np.full(num_rows, width))
        cohort.responses.aim(feed, positions.expand(num_rows, -1), limit)
        cohort.held += width
        hidden = _run(
            model.get_decoder(),  # type: ignore[no-untyped-call]
            on_device(new, self.device),
            attention_mask=self.visible.mask(positions, cohort.held),
            # once keys and values of the prompts are kept, states only say that there is an encoder
            encoder_hidden_states=cohort.hides if states is None else states,
            encoder_attention_mask=cohort.hides.expand(-1, -1, width, -1),
            past_key_values=cohort.cache(),
            use_cache=True,
        )
        return hidden[:, -1]

    def states(self, model: PreTrainedModel, batch: ActionBatch) -> torch.Tensor:
        """Return the hidden states from which actions were chosen. Every prompt goes through the encoder once, positions begin at 0."""
        rows, columns = np.nonzero(batch.is_action)
        with same_with_gradient(self.config, self.device):
            hidden = self._decode_whole(model, batch, int(columns.max(initial=0)))
        return hidden[on_device(rows, self.device), on_device(columns + len(self.opening) - 1, self.device)]

    def _decode_whole(self, model: PreTrainedModel, batch: ActionBatch, length: int) -> torch.Tensor:
        """Return the decoder's hidden states behind the opening and the first `length` tokens of each response."""
        encoder_ids, is_read = self.encoder_input(batch.tokens, batch.prompt_lengths)
        whole = np.where(is_read, encoder_ids, -1)
        _, first, inverse = np.unique(whole, axis=0, return_index=True, return_inverse=True)
        visible = on_device(is_read.astype(np.int64), self.device)
        states = _run(
            model.get_encoder(), on_device(encoder_ids[first], self.device), attention_mask=visible[on_device(first, self.device)]
        )
        places = np.minimum(batch.prompt_lengths[:, None] + np.arange(length), batch.tokens.shape[1] - 1)
        opening = np.broadcast_to(self.opening, (len(batch.tokens), len(self.opening)))
        decoder_ids = np.concatenate([opening, np.take_along_axis(batch.tokens, places, 1)], axis=1)
        return _run(
            model.get_decoder(),  # type: ignore[no-untyped-call]
            on_device(decoder_ids, self.device),
            encoder_hidden_states=states[on_device(inverse.reshape(-1), self.device)],
            encoder_attention_mask=visible,
            use_cache=False,
        )


def prompt_counts(observation: Observation, lengths: IntArray) -> IntArray:
    """Return how many tokens of each row come before the first that the agent wrote: [N]."""
    is_response = np.asarray(observation["response_mask"]) != 0
    return np.where(is_response.any(1), is_response.argmax(1), lengths)


def _run(part: torch.nn.Module, ids: torch.Tensor, **named: object) -> torch.Tensor:
    """Run an encoder or a decoder."""
    states = part(input_ids=ids, return_dict=True, **named).last_hidden_state
    assert isinstance(states, torch.Tensor)
    return states


def _check_new_tokens(cohort: Cohort, counts: IntArray, num_opening: int) -> None:
    """Raise where a row has no new token, or has lost some."""
    stuck = counts[cohort.rows] <= cohort.held
    if stuck.any():
        row = int(cohort.rows[np.argmax(stuck)])
        raise ValueError(
            f"the response of row {row} has {counts[row] - num_opening} tokens, and the policy has already seen "
            f"{cohort.held - num_opening}: step the environment between two calls of act, and mark rows whose episode began as fresh"
        )
