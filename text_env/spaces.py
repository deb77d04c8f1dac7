"""Make the spaces of a text environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from text_env.prefixes import Prefixes


def observation_space(prefixes: Prefixes) -> spaces.Space[Any]:
    """Return the space of one row: what a transformers model's `forward` takes, and which tokens the agent wrote."""
    # Box and not MultiDiscrete, which Stable-Baselines3 would turn into one-hot vectors.
    shape = (prefixes.width,)
    return spaces.Dict(
        attention_mask=spaces.Box(0, 1, shape, np.int8),
        input_ids=spaces.Box(0, prefixes.tokens.vocab_size - 1, shape, np.int64),
        response_mask=spaces.Box(0, 1, shape, np.int8),
    )


def action_space(prefixes: Prefixes) -> spaces.Discrete:
    """Return the space of tokens; where tokens are masked, `sample()` draws from those that row 0 may choose next."""
    size = prefixes.tokens.vocab_size
    return AllowedTokens(size, prefixes) if prefixes.masks.restricts else spaces.Discrete(size)


def action_spaces(prefixes: Prefixes) -> spaces.MultiDiscrete:
    """Return the space of one token for each row; where tokens are masked, `sample()` draws from those that each row may choose next."""
    sizes = np.full(prefixes.num_rows, prefixes.tokens.vocab_size, dtype=np.int64)
    return AllowedTokensOfRows(sizes, prefixes) if prefixes.masks.restricts else spaces.MultiDiscrete(sizes)


class AllowedTokens(spaces.Discrete):
    """Draw from the tokens that may come next, so that a random walk, as checkers take it, keeps the rules.

    It holds all tokens, the masked ones too. A copy is a plain `Discrete`: it knows of no row. The first draw after `seed()` is of tokens
    that may begin an episode: Gymnasium's checker seeds, draws and only then resets.
    """

    def __init__(self, size: int, prefixes: Prefixes) -> None:
        self._prefixes = prefixes
        self._begins = False
        super().__init__(size)

    def seed(self, seed: int | None = None) -> Any:
        """Seed what is drawn; the next draw is of tokens that may begin an episode."""
        self._begins = True
        return super().seed(seed)

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """Return a token: of those that may come next, unless a mask or probabilities are given."""
        if mask is None and probability is None:
            masks = self._prefixes.masks.of(self._prefixes.masks.start(1)) if self._begins else self._prefixes.drawable()
            mask = masks[0].astype(np.int8)
        drawn = super().sample(mask, probability)
        self._begins = False  # last: the first draw of all seeds the space itself
        return drawn

    def __reduce__(self) -> tuple[Any, ...]:
        return spaces.Discrete, (int(self.n),)


class AllowedTokensOfRows(spaces.MultiDiscrete):
    """Draw for each row from the tokens that it may choose next; otherwise as `AllowedTokens`."""

    def __init__(self, sizes: Any, prefixes: Prefixes) -> None:
        super().__init__(sizes)
        self._prefixes = prefixes

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """Return one token for each row: of those that may come next, unless masks or probabilities are given."""
        if mask is None and probability is None:
            mask = tuple(self._prefixes.drawable().astype(np.int8))
        return super().sample(mask, probability)

    def __reduce__(self) -> tuple[Any, ...]:
        return spaces.MultiDiscrete, (self.nvec,)
