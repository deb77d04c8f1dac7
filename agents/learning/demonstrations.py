"""Make episodes of the references of an environment's prompts, to be imitated.

The references are written through the environment, token by token, as if an agent had chosen them: prompts are drawn, masks hold and
responses end as in any other episode. So a demonstration holds the very ids that a policy would have to choose to write that text, behind
the ids that it would see before them. Nothing is tokenised together with the prompt, and the feedback is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from agents.agent import BoolArray, Decision, Observation
from agents.learning.collect import Env, collect
from agents.learning.rollout import Rollout
from agents.learning.step import as_array, describe
from agents.policy.protocol import Policy
from text_env.episode import Ending, Episode, Prompt
from text_env.scoring import Judge

LongReferences = Literal["error", "leave_out"]
IntArray = npt.NDArray[np.int64]


@dataclass
class Dictation:
    """Hold what each row is still to write.

    Args:
        ids: [N, W], the tokens of each row's reference, its end token included. num_written: [N], how many of them are written.
        names: [N], what to call the reference in messages.
    """

    ids: IntArray
    num_written: IntArray
    names: list[str]
    generator: np.random.Generator


class References:
    """Write the references of an environment's prompts. What they score is what a perfect imitator would.

    Args:
        env: the environment that it writes in; no other.
        long_references: what to do with one that does not fit the budget with its end token: "error", or "leave_out" to write its first
            tokens, so that its episode ends by length and can be told apart.
        policy: what is to imitate them, if anything is; `collect` refuses one whose tokens are others than the environment's.

    Where a prompt has several references, the seed of `start` decides which one is written.

    Raises ValueError for an environment with a partner, whose turns no reference answers; and while it writes, for a prompt without
    references, and for a reference that is empty, does not fit, holds a stop string, is masked, or that the tokenizer does not give back.
    """

    def __init__(self, env: Env, long_references: LongReferences = "error", policy: Policy | None = None) -> None:
        if long_references not in ("error", "leave_out"):
            raise ValueError(f'long_references must be "error" or "leave_out", got {long_references!r}')
        if not hasattr(env.unwrapped, "writing"):
            raise ValueError(f"references need a TextGen environment, of gym.make or gym.make_vec, got {type(env.unwrapped).__name__}")
        self._prefixes: Any = env.unwrapped.writing.prefixes
        self.long_references = long_references
        self.policy = policy
        if self._prefixes.partner is not None:
            raise ValueError("a reference is one response, and this environment has a partner who answers: make it with partner=None")

    def start(self, num_rows: int, seed: int | None = None) -> Dictation:
        """Return the memory of `num_rows` rows that are to write nothing yet."""
        ids = np.zeros((num_rows, self._prefixes.max_new_tokens), dtype=np.int64)
        return Dictation(ids, np.zeros(num_rows, dtype=np.int64), [""] * num_rows, np.random.default_rng(seed))

    def act(
        self, observation: Observation, memory: Dictation, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Give each active row the next token of its reference, with probability 1."""
        for row in np.flatnonzero(fresh & active).tolist():  # one pass per episode, not per step
            prompt = self._prefixes.prompt(row)
            reference, memory.names[row] = _drawn(prompt, memory.generator)
            ids = self._ids(reference, memory.names[row])
            memory.ids[row, : len(ids)] = ids
            memory.num_written[row] = 0
        rows = np.flatnonzero(active)
        tokens = np.zeros(len(active), dtype=np.int64)
        tokens[rows] = memory.ids[rows, memory.num_written[rows]]
        if action_mask is not None:
            self._check_mask(tokens, rows, action_mask, memory)
        memory.num_written[rows] += 1
        return Decision(tokens, np.zeros(len(active), dtype=np.float32))

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Change nothing; return what the rollout shows."""
        return describe(rollout)

    def _ids(self, reference: str, name: str) -> IntArray:
        """Return the tokens of a reference, its end token included; of one that is too long and to be left out, the first."""
        tokens, budget = self._prefixes.tokens, int(self._prefixes.max_new_tokens)
        if not reference:
            raise ValueError(f"{name} is empty: there is nothing to imitate, so leave it out of the prompt's references")
        found = [text for text in self._prefixes.stop if text in reference]
        if found:
            raise ValueError(f"{name} contains the stop string {found[0]!r}, so it could never be written whole: leave it out or cut it")
        ids = tokens.encode(reference)
        given_back = tokens.decode(ids)
        if given_back != reference or np.isin(ids, tokens.eos_ids).any():
            raise ValueError(
                f"{name} cannot be written with the tokenizer {tokens.name!r}, which makes {given_back!r} of it: "
                "write it as the tokenizer gives it back"
            )
        if len(ids) >= budget and self.long_references == "error":
            raise ValueError(
                f"{name} needs {len(ids) + 1} tokens with its end token, more than max_new_tokens={budget}: "
                'raise max_new_tokens, or leave such references out with long_references="leave_out"'
            )
        return np.append(ids, tokens.eos_ids[0])[:budget]

    def _check_mask(self, tokens: IntArray, rows: IntArray, action_mask: BoolArray, memory: Dictation) -> None:
        masked = rows[~action_mask[rows, tokens[rows]]]
        if len(masked):
            row = int(masked[0])
            piece = self._prefixes.tokens.pieces.get(int(tokens[row]), "no token")
            raise ValueError(
                f"{memory.names[row]} is not allowed in this environment: its token number {int(memory.num_written[row])} ({piece!r}) is "
                "masked by choices, allowed_tokens, banned_tokens or min_new_tokens"
            )


def demonstrations(
    env: Env, num_episodes: int, seed: int | None = None, long_references: LongReferences = "error", policy: Policy | None = None
) -> Rollout:
    """Return finished episodes in which the references of the environment's prompts were written.

    Nobody is asked what they are worth: no episode is scored. Log-probabilities are those of the one who dictates, 0.

    Args:
        env: as for `collect`. Its prompts have references; endless ones made by a function work too.
        num_episodes: a multiple of the environment's group size.
        seed: decides the prompts, and which of several references is written.
        long_references: "error", or "leave_out" to return fewer episodes, without those that do not fit the budget of tokens.
        policy: see `References`.

    Raises ValueError as `References` and `collect` do, and where no reference fits.
    """
    dictating = References(env, long_references, policy)
    with _unasked(env):
        rollout = collect(env, dictating, num_episodes, seed=seed)
    is_whole = np.array([ending == Ending.EOS for ending in rollout.endings])
    if not is_whole.all() and long_references == "error":
        raise ValueError("a time limit around the environment cut a reference off: take it away, or raise its max_episode_steps")
    if not is_whole.any():
        raise ValueError(f"none of {num_episodes} references fits the budget with its end token: raise max_new_tokens")
    # on_abstain="truncate" calls an episode that nobody judged cut, but each of these came to its end
    return replace(rollout, is_truncated=~is_whole).take(np.flatnonzero(is_whole))


def reference_nll(
    policy: Policy,
    env: Env,
    num_episodes: int,
    seed: int = 0,
    rows_per_chunk: int = 16,
    long_references: LongReferences = "error",
) -> dict[str, float]:
    """Measure how unlikely a policy finds the references of an environment's prompts, such as held-out ones.

        nll = -1/N sum over the tokens of all references, end tokens included, of log pi(token | prompt, tokens before)

    Args:
        num_episodes: how many references. seed: decides which; the prompts are those of `evaluate` with the same seed.
        rows_per_chunk: references that go through the model at a time.

    Returns: nll_nats_per_token, and perplexity, which is its exponential. Under masks, they are those of the masked distribution.
    """
    return nll_of(policy, demonstrations(env, num_episodes, seed, long_references, policy), rows_per_chunk)


def nll_of(policy: Policy, rollout: Rollout, rows_per_chunk: int = 16) -> dict[str, float]:
    """Return what `reference_nll` does, of episodes at hand."""
    with torch.no_grad():
        now = policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks, rows_per_chunk=rows_per_chunk)
    return surprise(as_array(now.logprobs)[rollout.is_action])


def surprise(logprobs: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the mean negative log-probability of tokens [n], in nats, and the perplexity."""
    nll = -float(logprobs.mean())
    return {"nll_nats_per_token": nll, "perplexity": float(np.exp(nll))}


def _drawn(prompt: Prompt, generator: np.random.Generator) -> tuple[str, str]:
    """Return one of a prompt's references, and what to call it in messages."""
    if not prompt.references:
        raise ValueError(
            f"prompt {prompt.id} ({prompt.text[:60]!r}) has no references, and they are what is learned from: "
            'give prompts as {"prompt": ..., "references": [...]}'
        )
    reference = prompt.references[generator.integers(len(prompt.references)) if len(prompt.references) > 1 else 0]
    return reference, f"reference {reference[:60]!r} of prompt {prompt.id} ({prompt.text[:60]!r})"


@contextmanager
def _unasked(env: Env) -> Iterator[None]:
    """Let the environment ask nobody what responses are worth."""
    writing: Any = getattr(env.unwrapped, "writing", None)
    judge = writing.judge
    writing.judge = Judge(_no_opinion)
    try:
        yield
    finally:
        writing.judge = judge


def _no_opinion(episodes: list[Episode]) -> list[None]:
    return [None] * len(episodes)
