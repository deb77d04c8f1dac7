"""Define how hidden states are made of prompts and responses: a token at a time while writing, and whole for the learner."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from agents.agent import BoolArray, Observation
from agents.policy.actions import ActionBatch
from agents.policy.draws import Draws
from agents.policy.slots import IntArray


class Reader(Protocol):
    """Run a model's trunk. Both ways give the same hidden states, up to rounding."""

    def memory(self, num_rows: int, weights: object, draws: Draws) -> Any:
        """Return an empty memory, which has at least the attributes `weights` and `draws`."""
        ...

    def check_rows(self, memory: Any, observation: Observation, active: BoolArray) -> None:
        """Raise where the observation does not fit the memory, or a row is longer than the model can read."""
        ...

    def last_hidden_states(
        self, model: PreTrainedModel, memory: Any, observation: Observation, fresh: BoolArray, active: BoolArray
    ) -> tuple[torch.Tensor, IntArray]:
        """Feed every active row its new tokens.

        Returns: [n, H] the hidden state that the next token of each active row is chosen from, and [n] which row each is of.
        """
        ...

    def states(self, model: PreTrainedModel, batch: ActionBatch) -> torch.Tensor:
        """Return the hidden states [n, H] from which the n actions of a batch were chosen, with gradient."""
        ...
