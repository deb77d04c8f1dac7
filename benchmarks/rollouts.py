"""Let the same model write the same number of tokens twice: through the vector environment, and by transformers' `generate`.

Both write after the same prompts and draw from the whole distribution at temperature 1. Lengths are fixed beforehand, so that both write
equally many tokens whatever they draw. Ours does more: it steps the environment, decodes, asks for a score and records log-probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from agents.agent import BoolArray, Decision, Observation
from agents.learning.collect import collect
from agents.learning.rollout import Rollout
from agents.policy.causal import CausalPolicy
from agents.policy.models import load_model
from benchmarks.stepping import TEXT_ENV, constant
from text_env.tokens import Tokens

IntArray = npt.NDArray[np.int64]


@dataclass
class ScriptedMemory:
    """Hold the policy's memory, how many tokens each row still writes [N], and the next response's number."""

    policy: Any
    left: IntArray
    next: int = 0


class Scripted:
    """Write with a policy, but end every response at a length fixed beforehand.

    Args:
        policy: what writes.
        lengths: tokens of each response, its end token included, in the order in which responses start.
        tokens: the tokenizer; its first end token ends a response, and an end token drawn earlier is replaced by another token.
    """

    def __init__(self, policy: CausalPolicy, lengths: IntArray, tokens: Tokens) -> None:
        self.policy = policy
        self.lengths = lengths
        self.is_end = np.zeros(tokens.vocab_size, dtype=np.bool_)
        self.is_end[list(tokens.eos_ids)] = True
        self.end = tokens.eos_ids[0]
        self.other = next(id for id in tokens.pieces if not self.is_end[id])

    def start(self, num_rows: int, seed: int | None = None) -> ScriptedMemory:
        """Return a memory; the lengths begin anew."""
        return ScriptedMemory(self.policy.start(num_rows, seed), np.zeros(num_rows, dtype=np.int64))

    def act(
        self, observation: Observation, memory: ScriptedMemory, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose, and end the rows whose length is reached."""
        decision = self.policy.act(observation, memory.policy, fresh, active, action_mask)
        num_fresh = int(fresh.sum())
        memory.left[fresh] = self.lengths[memory.next : memory.next + num_fresh]
        memory.next += num_fresh
        memory.left[active] -= 1
        tokens = np.where(self.is_end[decision.tokens], self.other, decision.tokens)
        return decision._replace(tokens=np.where(memory.left == 0, self.end, tokens))

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn nothing."""
        return {}


class FixedLengths(StoppingCriteria):
    """Tell `generate` that a row is finished once it has its number of tokens.

    Args:
        width: columns of the padded prompts.
        lengths: tokens of each row.
    """

    def __init__(self, width: int, lengths: IntArray) -> None:
        self.width = width
        self.lengths = torch.from_numpy(lengths)

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs: Any) -> torch.BoolTensor:
        """Return which rows are finished: [rows]."""
        return torch.BoolTensor(input_ids.shape[1] - self.width >= self.lengths)


class Writer:
    """Write responses of given lengths through the vector environment.

    Args:
        model: name of the model and tokenizer. dtype: precision in which it writes.
        rows: rows of the environment. new_tokens: the budget.
        lengths: tokens of each response.
        seed: decides prompts and tokens.
    """

    def __init__(self, model: str, dtype: str, rows: int, new_tokens: int, lengths: IntArray, seed: int) -> None:
        policy = CausalPolicy(model, compute_dtype=dtype, device="cpu", reference=None)
        self.env = _text_env(model, rows, new_tokens)
        assert policy.tokens is not None
        self.agent = Scripted(policy, lengths, policy.tokens)
        self.lengths = lengths
        self.seed = seed

    def write(self) -> Rollout:
        """Write all responses; every call begins with the same prompts."""
        rollout = collect(self.env, self.agent, len(self.lengths), seed=self.seed)
        if not np.array_equal(rollout.lengths, self.lengths):
            raise RuntimeError(f"responses have {rollout.lengths.tolist()} tokens, planned were {self.lengths.tolist()}")
        return rollout


class Generator:
    """Write responses of given lengths by `generate`, in batches of `rows`, each until its longest response ends.

    Args:
        model: name of the model. dtype: precision in which it writes.
        rows: rows of a batch.
        lengths: tokens of each response.
        seed: decides the prompts.
    """

    def __init__(self, model: str, dtype: str, rows: int, lengths: IntArray, seed: int) -> None:
        self.model: Any = load_model(model, getattr(torch, dtype))
        self.model.generation_config.eos_token_id = None  # nothing but the planned length ends a response
        prompts = opening_prompts(model, len(lengths), seed)
        self.batches = [
            (*padded_left(prompts[begin : begin + rows]), lengths[begin : begin + rows]) for begin in range(0, len(prompts), rows)
        ]

    def write(self) -> list[torch.Tensor]:
        """Write all responses, and return each batch with its prompts: [rows, width]."""
        written = []
        for ids, mask, lengths in self.batches:
            longest = int(lengths.max())
            criteria = StoppingCriteriaList([FixedLengths(ids.shape[1], lengths)] if (lengths < longest).any() else [])
            with torch.random.fork_rng(devices=[]):  # generate draws from torch's global generator
                output = self.model.generate(
                    ids,
                    attention_mask=mask,
                    do_sample=True,
                    top_k=0,
                    top_p=1.0,
                    temperature=1.0,
                    max_new_tokens=longest,
                    pad_token_id=0,
                    stopping_criteria=criteria,
                )
            if output.shape[1] != ids.shape[1] + longest:
                raise RuntimeError(f"generate wrote {output.shape[1] - ids.shape[1]} tokens, planned were {longest}")
            written.append(output)
        return written


def padded_left(prompts: list[IntArray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask [rows, width] with padding before the prompts, as `generate` needs them."""
    width = max(len(prompt) for prompt in prompts)
    ids, mask = np.zeros((2, len(prompts), width), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def opening_prompts(model: str, count: int, seed: int) -> list[IntArray]:
    """Return the tokens of the first prompts that the environment draws: those that a `Writer`'s responses continue."""
    env = _text_env(model, rows=count, new_tokens=1)
    observation, _ = env.reset(seed=seed)
    lengths = observation["attention_mask"].sum(axis=1)
    return [ids[:length] for ids, length in zip(observation["input_ids"], lengths.tolist(), strict=True)]


def equal_lengths(rows: int, new_tokens: int) -> IntArray:
    """Return the same length for one response per row."""
    return np.full(rows, new_tokens, dtype=np.int64)


def mixed_lengths(rows: int, new_tokens: int, seed: int) -> IntArray:
    """Return lengths between an eighth of the budget and all of it, each as likely, for four responses per row."""
    shortest = max(1, new_tokens // 8)
    return np.random.default_rng(seed).integers(shortest, new_tokens + 1, size=4 * rows)


def _text_env(model: str, rows: int, new_tokens: int) -> Any:
    return gym.make_vec(
        TEXT_ENV,
        num_envs=rows,
        tokenizer=model,
        feedback=constant,
        max_new_tokens=new_tokens,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
    )
