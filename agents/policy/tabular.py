"""Serve a table with one row of logits per prefix as a policy: exact, in float64, for tasks small enough to list.

It does what `CausalPolicy` does through the same names, so that an agent's estimator can be compared with sums over all responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.agent import Decision, Observation
from agents.policy.evaluation import Evaluation
from agents.policy.logprobs import ActionMasks
from agents.policy.sampling import mix_with_uniform

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass
class TabularMemory:
    """Hold what a table needs between steps: its generator and the version that it was made for."""

    generator: np.random.Generator
    version: int


class TabularPolicy:
    """Keep one row of logits for each prompt and each prefix of at most `horizon` - 1 tokens.

    Args:
        vocab_size: V, a handful.
        horizon: most tokens of a response.
        prompts: ids of each prompt.
        logits: [num_prompts * num_prefixes, V] to begin with; None = uniform. Rows are numbered as `text_env.exact` numbers prefixes.
        value_head: whether there is a table of values too.
        temperature: logits are divided by it; 0 = greedy.
        seed: decides the memories that are made without a seed.
    """

    def __init__(
        self,
        vocab_size: int,
        horizon: int,
        prompts: Sequence[Sequence[int]] = ((0,),),
        logits: npt.ArrayLike | None = None,
        *,
        value_head: bool = False,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.width = vocab_size
        self.tokens = None
        self.horizon = horizon
        self.temperature = temperature
        self.version = 0
        self.num_prefixes = sum(vocab_size**length for length in range(horizon + 1))  # finished responses too, for values
        self._prompt_lengths = np.array([len(ids) for ids in prompts], dtype=np.int64)
        self._prompts = np.zeros((len(prompts), int(self._prompt_lengths.max())), dtype=np.int64)  # right-padded
        for number, ids in enumerate(prompts):
            self._prompts[number, : len(ids)] = ids
        shape = (len(prompts) * self.num_prefixes, vocab_size)
        start = torch.zeros(shape, dtype=torch.float64)
        if logits is not None:
            given = torch.as_tensor(np.asarray(logits), dtype=torch.float64).reshape(len(prompts), -1, vocab_size)
            start.view(len(prompts), -1, vocab_size)[:, : given.shape[1]] = given
        self.logits = torch.nn.Parameter(start)
        self.values = torch.nn.Parameter(torch.zeros(shape[0], dtype=torch.float64)) if value_head else None
        self.reference = self.logits.detach().clone()
        self._seeds = np.random.SeedSequence(seed)

    def start(self, num_rows: int, seed: int | None = None) -> TabularMemory:
        """Return a memory with a generator of its own; an explicit seed disturbs nothing else."""
        return TabularMemory(np.random.default_rng(self._seeds.spawn(1)[0] if seed is None else seed), self.version)

    def act(
        self,
        observation: Observation,
        memory: TabularMemory,
        fresh: BoolArray,
        active: BoolArray,
        action_mask: BoolArray | None = None,
        epsilon: float = 0.0,
    ) -> Decision:
        """Draw one token for each active row; see `CausalPolicy.act`."""
        if memory.version != self.version:
            raise ValueError(
                f"the memory is from version {memory.version} of the policy, which is now at {self.version}: call start() again"
            )
        rows = np.flatnonzero(active)
        lengths = observation["attention_mask"][rows].sum(axis=1, dtype=np.int64)
        prompt_lengths = lengths - observation["response_mask"][rows].sum(axis=1, dtype=np.int64)
        states = self._states(observation["input_ids"][rows], prompt_lengths)[np.arange(len(rows)), lengths - prompt_lengths]
        with torch.no_grad():
            mask = None if action_mask is None else torch.as_tensor(action_mask[rows])
            own = self._logprobs(self.logits, torch.as_tensor(states), mask)
            logprobs = (own if epsilon == 0 else mix_with_uniform(own, epsilon, is_greedy=self.temperature == 0)).numpy()
        ends = np.exp(logprobs).cumsum(axis=1)
        drawn = (memory.generator.random((len(rows), 1)) * ends[:, -1:] >= ends).sum(axis=1)
        chosen = logprobs.argmax(axis=1) if self.temperature == 0 and epsilon == 0 else drawn
        decision = Decision(
            np.zeros(len(active), dtype=np.int64), np.zeros(len(active), dtype=np.float32), self._row_values(rows, states, len(active))
        )
        decision.tokens[rows] = chosen
        decision.logprobs[rows] = logprobs[np.arange(len(rows)), chosen]
        return decision

    def evaluate(
        self,
        tokens: Any,
        prompt_lengths: Any,
        is_action: Any,
        masks: ActionMasks | None = None,
        rows_per_chunk: int | None = None,
        exact_kl: bool = False,
    ) -> Evaluation:
        """Score the actions, with gradient; see `CausalPolicy.evaluate`."""
        states, actions, is_action = self._columns(tokens, prompt_lengths, is_action)
        allowed = _allowed(masks)
        table = self._logprobs(self.logits, states, allowed)  # [B, T, V]
        logprobs = torch.where(is_action, table.gather(2, actions[..., None]).squeeze(2), 0.0)
        probabilities = table.exp()
        finite = table.clamp(min=-1e30)
        entropy = torch.where(is_action, -(probabilities * finite).sum(2), 0.0)
        values = None if self.values is None else torch.where(is_action, self.values[states], 0.0)
        kl = None
        if exact_kl:
            reference = self._logprobs(self.reference, states, allowed).clamp(min=-1e30)
            kl = torch.where(is_action, (probabilities * (finite - reference)).sum(2), 0.0)
        return Evaluation(logprobs, entropy, values, kl)

    def reference_logprobs(
        self, tokens: Any, prompt_lengths: Any, is_action: Any, masks: ActionMasks | None = None, rows_per_chunk: int | None = None
    ) -> Tensor:
        """Score the actions under the table as it was when the policy was made, [B, T], without gradient."""
        states, actions, is_action = self._columns(tokens, prompt_lengths, is_action)
        table = self._logprobs(self.reference, states, _allowed(masks))
        return torch.where(is_action, table.gather(2, actions[..., None]).squeeze(2), 0.0)

    def distributions(self, tokens: Any, prompt_lengths: Any, is_action: Any, of_reference: bool = False) -> Tensor:
        """Return the log-probabilities of all tokens, [B, T, V]; see `CausalPolicy.distributions`."""
        states, _, is_action = self._columns(tokens, prompt_lengths, is_action)
        table = self._logprobs(self.reference if of_reference else self.logits, states, None)
        return torch.where(is_action[..., None], table, 0.0)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the table of logits."""
        return [self.logits]

    def value_parameters(self) -> list[torch.nn.Parameter]:
        """Return the table of values, if there is one."""
        return [] if self.values is None else [self.values]

    def updated(self) -> None:
        """Note that the tables have changed: memories from before are refused."""
        self.version += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tables and the version."""
        values = {} if self.values is None else {"values": self.values.detach().clone()}
        return {"logits": self.logits.detach().clone(), "reference": self.reference.clone(), "version": torch.tensor(self.version)} | values

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the tables and the version from `state_dict`."""
        with torch.no_grad():
            self.logits.copy_(state["logits"])
            self.reference.copy_(state["reference"])
            if self.values is not None:
                self.values.copy_(state["values"])
        self.version = int(state["version"])

    def _logprobs(self, table: Tensor, states: Tensor, allowed: Tensor | None) -> Tensor:
        logits = table[states] / (self.temperature or 1.0)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, float("-inf"))
        return torch.log_softmax(logits, dim=-1)

    def _states(self, tokens: IntArray, prompt_lengths: IntArray) -> IntArray:
        """Return the row of the table for each prefix of each response: [B, horizon + 1]."""
        states = np.zeros((len(tokens), self.horizon + 1), dtype=np.int64)
        first = states[:, 0] = self._prompt_numbers(tokens, prompt_lengths) * self.num_prefixes
        for column in range(self.horizon):
            place = np.minimum(prompt_lengths + column, tokens.shape[1] - 1)
            token = np.minimum(tokens[np.arange(len(tokens)), place], self.width - 1)
            states[:, column + 1] = np.minimum(1 + (states[:, column] - first) * self.width + token, self.num_prefixes - 1) + first
        return states

    def _prompt_numbers(self, tokens: IntArray, prompt_lengths: IntArray) -> IntArray:
        """Return which prompt each row begins with, [B]; one that the table does not have is a KeyError."""
        width = min(tokens.shape[1], self._prompts.shape[1])
        beyond = np.arange(width) >= self._prompt_lengths[:, None]  # [P, width]
        equal = ((tokens[:, None, :width] == self._prompts[:, :width]) | beyond).all(axis=2)  # [B, P]
        equal &= prompt_lengths[:, None] == self._prompt_lengths
        if not equal.any(axis=1).all():
            row = int(np.flatnonzero(~equal.any(axis=1))[0])
            raise KeyError(f"the table has no prompt {tokens[row, : prompt_lengths[row]].tolist()}: make it with this among its prompts")
        return equal.argmax(axis=1)

    def _columns(self, tokens: Any, prompt_lengths: Any, is_action: Any) -> tuple[Tensor, Tensor, Tensor]:
        tokens, prompt_lengths, is_action = np.asarray(tokens), np.asarray(prompt_lengths), np.asarray(is_action)
        width = is_action.shape[1]
        places = np.minimum(prompt_lengths[:, None] + np.arange(width), tokens.shape[1] - 1)
        actions = np.where(is_action, np.take_along_axis(tokens, places, axis=1), 0)
        states = self._states(tokens, prompt_lengths)
        states = np.pad(states, ((0, 0), (0, max(0, width - states.shape[1]))), mode="edge")[:, :width]  # padding has any state
        return torch.as_tensor(states), torch.as_tensor(actions), torch.as_tensor(is_action)

    def _row_values(self, rows: IntArray, states: IntArray, num_rows: int) -> npt.NDArray[np.float32] | None:
        if self.values is None:
            return None
        values = np.zeros(num_rows, dtype=np.float32)
        values[rows] = self.values.detach().numpy()[states]
        return values


def _allowed(masks: ActionMasks | None) -> Tensor | None:
    """Return the masks of all positions: [B, T, V]."""
    return None if masks is None else torch.as_tensor(masks.table)[torch.as_tensor(masks.index)]
