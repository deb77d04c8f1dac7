"""Say the other side's lines in a dialogue: drawn from a list, or as a conversation of a corpus goes on. Partners of `text_env`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from text_env.episode import Episode
from text_env.prefixes import Partner


class DrawnLines:
    """Say the next line of the conversation where it is known how that goes on, else one drawn from a list.

    What is said is decided by the seed and by all that was said before, so the same conversation always goes on alike, whoever asks and
    whatever else is asked in the same call. A line that was said before is drawn only where no other is left.

    Args:
        lines: to draw from.
        scripts: opening line: the lines to say after it, in turn.
        seed: another one draws other lines.
    """

    def __init__(self, lines: Sequence[str], scripts: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> None:
        if not lines:
            raise ValueError("a partner needs at least one line to say, got none")
        self.lines = tuple(lines)
        self.scripts = dict(scripts or {})
        self.seed = seed

    def __call__(self, conversations: Sequence[Episode]) -> list[str]:
        """Return the next line of each conversation."""
        return [self._next(conversation) for conversation in conversations]

    def _next(self, conversation: Episode) -> str:
        opening, own = conversation.prompt.text, conversation.turns[1::2]
        script = self.scripts.get(opening, ())
        if len(own) < len(script):
            return script[len(own)]
        told = "\x1f".join([str(self.seed), opening, *conversation.turns])
        start = int.from_bytes(hashlib.sha256(told.encode()).digest()[:8]) % len(self.lines)
        around = self.lines[start:] + self.lines[:start]
        return next((line for line in around if line not in own and line not in opening), around[0])


class AtMost:
    """Let a partner answer until the agent has had a number of turns, and end the dialogue then.

    Args:
        partner: is asked only about dialogues that go on.
        num_turns: of the agent.
    """

    def __init__(self, partner: Partner, num_turns: int) -> None:
        if num_turns < 1:
            raise ValueError(f"the agent needs at least one turn, got num_turns={num_turns}")
        self.partner = partner
        self.num_turns = num_turns

    def __call__(self, conversations: Sequence[Episode]) -> list[str | None]:
        """Return what the partner says, or None where the agent has had its turns."""
        goes_on = [len(conversation.turns[::2]) < self.num_turns for conversation in conversations]
        asked = [conversation for conversation, goes in zip(conversations, goes_on, strict=True) if goes]
        replies = list(self.partner(asked)) if asked else []
        if len(replies) != len(asked):
            raise ValueError(f"partner must return one reply or None per conversation: asked about {len(asked)}, got {len(replies)}")
        left = iter(replies)
        return [next(left) if goes else None for goes in goes_on]
