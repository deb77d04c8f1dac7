"""Build a task so small that all its responses are listed, and write them through the environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

import text_env  # noqa: F401  (registers the environments)
from agents import Decision, Rollout, TabularPolicy, collect
from text_env.exact import Responses, list_responses

VOCAB_SIZE, HORIZON, END = 3, 3, 2
PROMPT = (0, 1)
DISABLED = gym.vector.AutoresetMode.DISABLED


class Table:
    """Score responses by a table over their ids."""

    low, high, unit = -10.0, 10.0, "points"

    def __init__(self, scores: dict[tuple[int, ...], Any]) -> None:
        self.scores = scores

    def __call__(self, episodes):
        return [self.scores[tuple(episode.ids.tolist())] for episode in episodes]


class Script:
    """Write given responses, one per episode, whatever the state."""

    def __init__(self, responses: Sequence[Sequence[int]]) -> None:
        self.responses = list(responses)

    def start(self, num_rows, seed=None):
        return {"row": [None] * num_rows, "next": 0}

    def act(self, observation, memory, fresh, active, action_mask=None):
        written = observation["response_mask"].sum(axis=1)
        tokens = np.zeros(len(active), dtype=np.int64)
        for row in np.flatnonzero(active):
            if fresh[row]:
                memory["row"][row] = self.responses[memory["next"]]
                memory["next"] += 1
            tokens[row] = memory["row"][row][written[row]]
        return Decision(tokens, np.zeros(len(active), dtype=np.float32))

    def update(self, rollout):
        return {}


def tokenizer(vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Return a tokenizer whose words are a, b, c, ... in the order of their ids."""
    made = Tokenizer(models.WordLevel({chr(ord("a") + token): token for token in range(vocab_size)}, unk_token="a"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def make_env(feedback: Any, num_envs: int = 4, *, vocab_size: int = VOCAB_SIZE, horizon: int = HORIZON, end: int = END, **options: Any):
    """Make the vector environment of a tiny task with one prompt, "a b"."""
    return gym.make_vec(
        "TextGen-v0",
        num_envs=num_envs,
        autoreset_mode=DISABLED,
        tokenizer=tokenizer(vocab_size),
        eos_ids=[end],
        max_new_tokens=horizon,
        feedback=feedback,
        **{"prompts": ["a b"], **options},
    )


def all_responses() -> Responses:
    return list_responses(VOCAB_SIZE, HORIZON, end_ids=(END,))


def random_scores(responses: Responses, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=len(responses))


def random_logits(seed: int, vocab_size: int = VOCAB_SIZE, horizon: int = HORIZON) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows = sum(vocab_size**length for length in range(horizon + 1))
    return np.random.default_rng(seed).normal(size=(rows, vocab_size))


def write_all(responses: Responses, judgements: Sequence[Any], policy: Any = None, **options: Any) -> Rollout:
    """Write every response once, through the environment, and give it the log-probabilities of a policy."""
    texts = [responses.ids(number) for number in range(len(responses))]
    env = make_env(Table(dict(zip(texts, judgements, strict=True))), **options)
    rollout = collect(env, Script(texts), len(texts), seed=0)
    return rollout if policy is None else with_logprobs(rollout, policy)


def with_logprobs(rollout: Rollout, policy: Any) -> Rollout:
    with torch.no_grad():
        now = policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
    return replace(rollout, logprobs=now.logprobs.numpy().astype(np.float64))


def table_policy(logits: Any, reference: Any = None, **options: Any) -> TabularPolicy:
    """Return a tabular policy for the prompt "a b" with these logits, and those of its reference."""
    policy = TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[PROMPT], logits=logits, **options)
    if reference is not None:
        policy.reference = torch.as_tensor(reference, dtype=torch.float64)
    return policy
