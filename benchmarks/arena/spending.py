"""Count what a run spends, and say when its budget is used up.

tokens: chosen by the agent, or given to it to imitate; a partner's and the prompts' are none.
queries: responses that the feedback was asked about. Imitation asks about none.
forwards: tokens that went through the trunk of any language model that the agent holds: the policy's, the copy that it writes with, the
    reference's, a target's. One call on n rows of t tokens counts n * t, padding included, since it is computed; a cached step counts 1 a
    row. A pass with gradient counts as one without, though it takes about three times the arithmetic. Tables have no trunk: they count 0.
seconds: of collecting and learning, or of evaluating.

Left out: what the feedback computes; a source states its own cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.arena.suite import Budget

DEPTH = 6  # attributes of attributes that are looked through for models


@dataclass
class Spent:
    """Hold what was spent, counted separately."""

    updates: int = 0
    tokens: int = 0
    queries: int = 0
    forwards: int = 0
    seconds: float = 0.0


def used_up(budget: Budget, spent: Spent) -> str | None:
    """Return which part of a budget is used up, or None."""
    so_far = asdict(spent)
    return next((name for name, limit in asdict(budget).items() if limit is not None and so_far[name] >= limit), None)


class ForwardCounter:
    """Count the tokens that go through the language models that an agent holds now, and through copies that it makes of them later."""

    def __init__(self, agent: object) -> None:
        self.tokens = 0

        def count(module: torch.nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            self.tokens += _num_tokens(arguments, named)

        for model in language_models(agent):
            for trunk in _trunks(model):
                trunk.register_forward_pre_hook(count, with_kwargs=True)

    @contextmanager
    def charged_to(self, spent: Spent) -> Iterator[None]:
        """Add the time and the forwards of what is done inside."""
        began, before = time.monotonic(), self.tokens
        yield
        spent.seconds += time.monotonic() - began
        spent.forwards += self.tokens - before


def language_models(holder: object) -> list[PreTrainedModel]:
    """Return every language model that an object holds, itself or in what it holds; none twice."""
    found: dict[int, PreTrainedModel] = {}
    seen: set[int] = set()
    level: list[object] = [holder]
    for _ in range(DEPTH):
        below: list[object] = []
        for each in level:
            if id(each) in seen or isinstance(each, str | bytes | torch.Tensor):
                continue
            seen.add(id(each))
            if isinstance(each, PreTrainedModel):
                found[id(each)] = each
            else:
                below += _held_by(each)
        level = below
    return list(found.values())


def _held_by(thing: object) -> Iterable[object]:
    if isinstance(thing, Mapping):
        return list(thing.values())
    if isinstance(thing, list | tuple | set):
        return list(thing)
    return [] if isinstance(thing, type) else list(getattr(thing, "__dict__", {}).values())


def _trunks(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Return what tokens go through: the trunk below the head, or encoder and decoder, which may be called one without the other."""
    if getattr(model.config, "is_encoder_decoder", False):
        return [model.get_encoder(), model.get_decoder()]  # type: ignore[no-untyped-call]
    return [model.base_model]


def _num_tokens(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    ids = named.get("input_ids", arguments[0] if arguments else None)
    if ids is not None:
        return int(ids.numel())
    vectors = named["inputs_embeds"]
    return int(vectors.shape[0] * vectors.shape[1])
