"""Define what an agent asks of a policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from agents.agent import BoolArray, Decision, Observation
from agents.policy.evaluation import Evaluation
from agents.policy.logprobs import ActionMasks


@runtime_checkable
class Policy(Protocol):
    """Write tokens, and score tokens that were written. `CausalPolicy` says what each part means."""

    width: int
    version: int

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return a memory for `num_rows` rows."""
        ...

    def act(
        self,
        observation: Observation,
        memory: Any,
        fresh: BoolArray,
        active: BoolArray,
        action_mask: BoolArray | None = None,
        epsilon: float = 0.0,
    ) -> Decision:
        """Choose a token for each active row; with probability epsilon any allowed one."""
        ...

    def evaluate(
        self,
        tokens: Any,
        prompt_lengths: Any,
        is_action: Any,
        masks: ActionMasks | None = None,
        rows_per_chunk: int | None = None,
        exact_kl: bool = False,
    ) -> Evaluation:
        """Score actions with gradient."""
        ...

    def reference_logprobs(
        self, tokens: Any, prompt_lengths: Any, is_action: Any, masks: ActionMasks | None = None, rows_per_chunk: int | None = None
    ) -> Tensor:
        """Score actions under the reference."""
        ...

    def distributions(self, tokens: Any, prompt_lengths: Any, is_action: Any, of_reference: bool = False) -> Tensor:
        """Return the log-probabilities of all tokens, for vocabularies of a handful."""
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return what is trained."""
        ...

    def value_parameters(self) -> Iterable[nn.Parameter]:
        """Return what only the value estimate uses."""
        ...

    def updated(self) -> None:
        """Note that parameters changed."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        ...
