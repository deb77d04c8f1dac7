"""Write responses by hand, token by token, and see what the feedback says of them."""

from __future__ import annotations

import sys
from typing import Any, cast

import gymnasium as gym

from text_env.env import TextGenEnv
from text_env.rendering import harmless, render_ansi, terminal_colour, terminal_width, write_safely

HELP = """Type text to append it (begin with a space where a new word begins), or
  /end           choose the end token
  /next          leave this prompt and take the next one
  /prompt TEXT   continue this text instead
  /quit          stop (so does the end of the input)"""
INTERRUPTED = 130  # the shell's exit status after Ctrl-C


def play(
    prompt: str | None = None,
    feedback: str = "feedback.sentiment:Sentiment",
    tokenizer: str = "tinylm",
    seed: int | None = None,
    max_new_tokens: int = 32,
    stop: tuple[str, ...] = (),
) -> int:
    """Write token by token in this terminal, and see the score at the end.

    Args:
        prompt: what to continue; without it, the bundled openings of reviews one after the other.
        feedback: import path of the source that judges.
        tokenizer: what cuts the text into tokens: tinylm, smollm2, bytes, a hub id or a path.
        seed: decides the order of the prompts.
        max_new_tokens: tokens a response may have.
        stop: texts that end a response.
    """
    options = {"feedback": feedback, "tokenizer": tokenizer, "max_new_tokens": max_new_tokens, "stop": list(stop)}
    table = Table(options, prompt, seed)
    _say(HELP)
    try:
        while table.turn():
            pass
    except EOFError:
        pass
    except KeyboardInterrupt:
        _say("")
        return INTERRUPTED
    if table.num_scored == 0:
        print("nothing was scored: a response ends with /end, a stop string, or the last token of its budget", file=sys.stderr)
        return 1
    return 0


class Table:
    """Hold one environment and the person in front of it.

    Args:
        options: of `gym.make("TextGen-v0")`, without prompts.
        prompt: what to continue; None = the bundled openings.
        seed: decides the order of the prompts.
    """

    def __init__(self, options: dict[str, Any], prompt: str | None, seed: int | None) -> None:
        self.options = options
        self.seed = seed
        self.num_scored = 0
        self.sit_down(prompt)

    def sit_down(self, prompt: str | None) -> None:
        """Begin with this prompt, or with the first of the bundled ones."""
        prompts = None if prompt is None else [prompt]
        self.env = cast(TextGenEnv, gym.make("TextGen-v0", prompts=prompts, **self.options).unwrapped)
        self.env.reset(seed=self.seed)
        self.show()

    def turn(self) -> bool:
        """Read one line and do what it says; return whether to go on. Errors: EOFError at the end of the input."""
        line = input("> " if sys.stdin.isatty() and sys.stdout.isatty() else "")
        command, _, rest = line.partition(" ")
        if command == "/quit":
            return False
        if command == "/next":
            self.env.reset()
            self.show()
        elif command == "/prompt" and rest.strip():
            self.sit_down(rest)
        elif command == "/end":
            self.write([self.env.tokens.eos_ids[0]])
        elif line.startswith("/") or not line:
            _say(HELP)
        else:
            self.write(self.env.tokens.encode(line).tolist())
        return True

    def write(self, ids: list[int]) -> None:
        """Append tokens one by one until the response ends, and begin the next one then."""
        for place, token in enumerate(ids):
            _, _, terminated, _, _ = self.env.step(cast(Any, token))
            if terminated:
                self.show()
                self.num_scored += 1
                if place + 1 < len(ids):
                    _say(f"the last {len(ids) - place - 1} tokens of what you typed came after the end")
                self.env.reset()
                break
        self.show()

    def show(self) -> None:
        """Show the prompt, the response so far, what its newest tokens are, and what is left of the budget."""
        episode = self.env.unfinished()
        judgement = self.env.judgements[0] if episode.ending is not None else None
        write_safely(render_ansi(episode, judgement, width=terminal_width(), has_colour=terminal_colour()), sys.stdout)
        if episode.ending is None:
            pieces = self.env.tokens.decode_rows([[token] for token in episode.ids[-8:].tolist()])
            shown = "|".join(harmless(piece).replace("\n", "␊") for piece in pieces)
            left = self.options["max_new_tokens"] - len(episode.ids)
            _say(f"{left} tokens left{f', the last ones: |{shown}|' if pieces else ''}")
        else:
            _say("")


def _say(text: str) -> None:
    write_safely(text + "\n", sys.stdout)
