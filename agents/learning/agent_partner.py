"""Let an agent speak the other side's turns in a dialogue.

Left out: learning by the partner from what it says; train it in an environment of its own, and make a partner of it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.agent import Agent
from agents.learning.checkpoint import load
from agents.policy.draws import DrawingMemory
from text_env.episode import Episode
from text_env.tokens import Tokens

IntArray = npt.NDArray[np.int64]


class AgentPartner:
    """Answer in a dialogue by an agent: a `text_env` partner, to be passed as `partner=`.

    All conversations of a call are answered as one batch, through a memory of their own, without gradient, so that an agent may be its own
    partner in the middle of a rollout. The seed and what was said decide the reply, whatever else is asked in the same call (up to the
    rounding of a batch). The other agent sees the reply as tokens that it did not choose.

    Args:
        agent: any agent, or the folder of a checkpoint that `save` wrote.
        tokens: the partner's tokenizer, which may differ from the environment's; by default that of the agent's policy.
        max_new_tokens: most tokens of a reply, which is cut there.
        seed: another one gives other replies. A policy of temperature 0 gives the same whatever the seed.
        cue: what the partner reads after the text so far, where there is no chat template: the beginning of its own turn.
        is_one_line: end a reply at its first line end, as the end token ends it.
        chat_template: True reads the conversation by the template of the partner's tokenizer, in which the prompt and the partner's turns
            are the assistant's and the agent's turns are the user's; a text is the system message. False continues the plain text.
        max_prompt_tokens: the partner reads no more than the last this many tokens; None = as many as its model has positions for.

    A reply of nothing but white space ends the dialogue.
    Errors: ValueError for an agent without a tokenizer, and for a budget below 1.
    """

    def __init__(
        self,
        agent: Agent | str | Path,
        *,
        tokens: Tokens | None = None,
        max_new_tokens: int = 24,
        seed: int = 0,
        cue: str = "\nA:",
        is_one_line: bool = True,
        chat_template: bool | str = False,
        max_prompt_tokens: int | None = None,
    ) -> None:
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        self.agent: Any = load(agent) if isinstance(agent, (str, Path)) else agent
        policy = getattr(self.agent, "policy", None)
        found = tokens or getattr(policy, "tokens", None)
        if found is None:
            raise ValueError('the partner\'s policy has no tokenizer: pass tokens=text_env.load_tokens("...")')
        self.tokens: Tokens = found
        self.max_new_tokens = max_new_tokens
        self.seed = seed
        self.cue = cue
        self.is_one_line = is_one_line
        self.chat_template = chat_template
        longest = getattr(getattr(policy, "config", None), "max_position_embeddings", None)
        self.max_prompt_tokens = max_prompt_tokens or (None if longest is None else int(longest) - max_new_tokens)
        if self.max_prompt_tokens is not None and self.max_prompt_tokens < 1:
            raise ValueError(f"max_new_tokens={max_new_tokens} leaves no token of {longest} to read")
        self._ends, self._allowed = _ends_of(found, is_one_line)

    def __call__(self, conversations: Sequence[Episode]) -> list[str | None]:
        """Return the partner's next turn in each conversation."""
        if not conversations:
            return []
        told = [self._read(conversation) for conversation in conversations]
        written = self._write(told, [self._seed_of(conversation) for conversation in conversations])
        texts = self.tokens.decode_rows(written)
        return [(text.partition("\n")[0] if self.is_one_line else text).strip() or None for text in texts]

    def _read(self, conversation: Episode) -> IntArray:
        """Return the tokens that the partner continues."""
        if self.chat_template is False:
            ids = self.tokens.encode_prompt(conversation.text + self.cue)
        else:
            system = [] if self.chat_template is True else [{"role": "system", "content": str(self.chat_template)}]
            lines = [conversation.prompt.text, *conversation.turns]
            messages = [{"role": ("assistant", "user")[place % 2], "content": line} for place, line in enumerate(lines)]
            ids = self.tokens.encode(self.tokens.chat([*system, *messages]))
        return ids if self.max_prompt_tokens is None else ids[-self.max_prompt_tokens :]

    def _seed_of(self, conversation: Episode) -> int:
        said = "\x1f".join([str(self.seed), conversation.prompt.text, *conversation.turns])
        return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8]) >> 1

    def _write(self, prompts: Sequence[IntArray], seeds: Sequence[int]) -> list[IntArray]:
        """Return the tokens of a reply to each prompt, without end token."""
        memory = self.agent.start(len(prompts), self.seed)
        if isinstance(memory, DrawingMemory):
            return self._written(prompts, memory.drawing_by_row(seeds))
        # another memory draws for all rows together, so that each conversation needs one for itself
        return [self._written([prompt], self.agent.start(1, seed))[0] for prompt, seed in zip(prompts, seeds, strict=True)]

    def _written(self, prompts: Sequence[IntArray], memory: Any) -> list[IntArray]:
        starts = np.array([len(ids) for ids in prompts], dtype=np.int64)
        columns = np.arange(int(starts.max()) + self.max_new_tokens)
        ids = np.full((len(prompts), len(columns)), self.tokens.pad_id, dtype=np.int64)
        ids[columns < starts[:, None]] = np.concatenate(prompts)
        lengths, active, fresh = starts.copy(), np.ones(len(prompts), dtype=bool), np.ones(len(prompts), dtype=bool)
        mask = None if self._allowed.all() else np.repeat(self._allowed[None], len(prompts), axis=0)
        has_end = np.zeros(len(prompts), dtype=bool)
        while active.any():
            is_token = columns < lengths[:, None]
            observation = {
                "input_ids": ids,
                "attention_mask": is_token.astype(np.int8),
                "response_mask": (is_token & (columns >= starts[:, None])).astype(np.int8),
            }
            chosen = self.agent.act(observation, memory, fresh, active, mask).tokens
            rows = np.flatnonzero(active)
            ids[rows, lengths[rows]] = chosen[rows]
            lengths[rows] += 1
            has_end[rows] = np.isin(chosen[rows], self.tokens.eos_ids)
            active = active & ~self._ends[chosen] & (lengths < starts + self.max_new_tokens)
            fresh = np.zeros_like(fresh)
        ends = (lengths - has_end).tolist()
        return [row[start:end] for row, start, end in zip(ids, starts.tolist(), ends, strict=True)]


def _ends_of(tokens: Tokens, is_one_line: bool) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which tokens [V] end a reply, and which may be written at all."""
    pieces = list(tokens.pieces)
    ends, allowed = np.zeros(tokens.vocab_size, dtype=bool), np.zeros(tokens.vocab_size, dtype=bool)
    allowed[pieces] = True
    if is_one_line:
        ends[pieces] = ["\n" in text for text in tokens.decode_rows([[id] for id in pieces])]
    ends[list(tokens.eos_ids)] = True
    return ends, allowed
