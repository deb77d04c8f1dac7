"""State what a text environment is made of, once, for the single and the vector environment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

from text_env.automaton import automaton_of, rust_syntax, schema_expression, word_list_pattern
from text_env.constraint import Constraint
from text_env.kept import HoldsObjects
from text_env.masks import Masks
from text_env.prefixes import AsTurn, Partner, Prefixes
from text_env.prompts import OnLongPrompt, Prompts, Split
from text_env.scoring import Judge, OnError
from text_env.tokens import Tokens, load_tokens

OnAbstain = Literal["zero", "truncate"]
CONSTRAINTS = ("pattern", "json_schema", "word_list")


@dataclass(frozen=True, kw_only=True)
class Task(HoldsObjects):
    """Hold the arguments of `gym.make("TextGen-v0", ...)`.

    Errors: ValueError that names the argument, its value and what was expected, when the parts are made.
    """

    held: ClassVar[tuple[str, ...]] = ("tokenizer", "prompts", "feedback", "feedback_kwargs", "partner")

    tokenizer: Any = "tinylm"  # "tinylm", "smollm2", "bytes", folder, hub id, or a tokenizer object
    prompts: Any = None  # list, .txt, .jsonl, folder, {"train": ..., "held_out": ...}, data set, function; None = bundled openings
    feedback: Any = "feedback.sentiment:Sentiment"  # a source, or its import path
    feedback_kwargs: dict[str, Any] = field(default_factory=dict)  # arguments for a class given by its import path
    split: Split = "train"  # which prompts: "train" or "held_out"
    held_out_fraction: float = 0.0  # share of prompts kept for "held_out" where the source is not split itself
    max_new_tokens: int = 32  # tokens a response may have; the budget is part of the task
    max_prompt_tokens: int | None = None  # tokens; None = the longest prompt
    on_long_prompt: OnLongPrompt = "error"  # or "truncate_left": keep the last tokens
    chat_template: bool | str = False  # True = the tokenizer's template; a text = the same with this system message
    stop: Sequence[str] = ()  # texts that end a response
    eos_ids: Sequence[int] | None = None  # end tokens; None = the model's own
    vocab_size: int | None = None  # width of the action space; None = the model's
    min_new_tokens: int = 0  # tokens before an end token may be chosen
    banned_tokens: Collection[int] = ()  # ids that are never allowed
    allowed_tokens: Collection[int] | None = None  # the only ids allowed besides end tokens; None = all
    choices: Sequence[str] | None = None  # the only responses allowed; None = any
    pattern: str | None = None  # regular expression that the whole response must match (Python's, under re.ASCII); None = any
    json_schema: dict[str, Any] | str | None = None  # the response must be JSON of this schema; None = any
    word_list: Sequence[str] | None = None  # the only words allowed, one space between two; None = any
    group_size: int = 1  # episodes in a row of starts that share a prompt
    on_abstain: OnAbstain = "zero"  # reward 0.0 and info["scored"] False; "truncate": end the episode as truncated
    on_error: OnError = "raise"  # "abstain": ask again one by one, let only the failing episode abstain
    partner: Partner | None = None  # writes the other turns of a dialogue
    partner_format: str | None = None  # what the model reads of a partner's words, {} in it; None = the template's user turn, or they alone

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.group_size < 1:
            raise ValueError(f"group_size must be at least 1, got {self.group_size}")
        if self.on_abstain not in ("zero", "truncate"):
            raise ValueError(f'on_abstain must be "zero" or "truncate", got {self.on_abstain!r}')
        if isinstance(self.stop, str):
            raise ValueError(f"stop must be a list of texts, got the text {self.stop!r}: write stop=[{self.stop!r}]")
        if any(not isinstance(text, str) or not text for text in self.stop):
            raise ValueError(f"a stop string must be a text that is not empty, got {list(self.stop)!r}")
        if self.partner_format is not None and "{}" not in self.partner_format:
            raise ValueError(f"partner_format must hold {{}} where the partner's words go, got {self.partner_format!r}")
        if self.partner_format is not None and self.chat_template is not False:
            raise ValueError("chat_template writes a partner's words as a user's turn: drop partner_format, or the template")
        cut = [choice for choice in self.choices or () if any(text in choice for text in self.stop)]
        if cut:
            raise ValueError(f"choice {cut[0]!r} contains one of the stop strings {list(self.stop)!r}, so it could never be written whole")

    def prefixes(self, num_rows: int) -> Prefixes:
        """Make the rows of text and everything they need."""
        if isinstance(self.eos_ids, int):
            raise ValueError(f"eos_ids must be a list of ids, got {self.eos_ids}: write eos_ids=[{self.eos_ids}]")
        tokens = load_tokens(self.tokenizer, vocab_size=self.vocab_size, eos_ids=self.eos_ids)
        outside = [id for id in tokens.eos_ids if not 0 <= id < tokens.vocab_size]
        if outside:
            raise ValueError(f"eos_ids must be ids between 0 and {tokens.vocab_size - 1}, got {outside}")
        prompts = Prompts(
            self.prompts,
            tokens,
            split=self.split,
            held_out_fraction=self.held_out_fraction,
            max_prompt_tokens=self.max_prompt_tokens,
            on_long_prompt=self.on_long_prompt,
            chat_template=self.chat_template,
        )
        return Prefixes(
            num_rows,
            tokens,
            prompts,
            self._masks(tokens),
            max_new_tokens=self.max_new_tokens,
            stop=self.stop,
            group_size=self.group_size,
            partner=self.partner,
            as_turn=self._as_turn(tokens),
        )

    def _as_turn(self, tokens: Tokens) -> AsTurn:
        """Return what writes a partner's words as the model is to read them."""
        if self.chat_template is not False:
            return tokens.chat_turn
        return partial(_formatted, self.partner_format or "{}")

    def _masks(self, tokens: Tokens) -> Masks | Constraint:
        """Make what restricts the next token: a constraint on the text, or a table of masks."""
        limits: dict[str, Any] = {
            "min_new_tokens": self.min_new_tokens,
            "banned_tokens": self.banned_tokens,
            "allowed_tokens": self.allowed_tokens,
            "max_new_tokens": self.max_new_tokens,
        }
        found = self._expression()
        return (
            Masks(tokens, choices=self.choices, **limits) if found is None else Constraint(automaton_of(*found), found[1], tokens, **limits)
        )

    def _expression(self) -> tuple[str, str] | None:
        """Return the expression that a response must match, and what to call it; None where there is none."""
        given = [name for name in (*CONSTRAINTS, "choices") if getattr(self, name) is not None]
        if not set(given) & set(CONSTRAINTS):
            return None
        if len(given) > 1:
            raise ValueError(f"a response can be held to one of {', '.join((*CONSTRAINTS, 'choices'))}, got {' and '.join(given)}")
        name = given[0]
        if self.stop:
            raise ValueError(f"{name} cannot be combined with stop={list(self.stop)!r}: a stop string would cut the text that must match")
        if self.partner is not None and self.min_new_tokens:
            raise ValueError(f"{name}, min_new_tokens and a partner cannot be combined: put the least length of a turn into the constraint")
        if self.pattern is not None:
            return rust_syntax(self.pattern), f"pattern {self.pattern!r}"
        if self.json_schema is not None:
            return schema_expression(self.json_schema), "json_schema"
        assert self.word_list is not None
        return rust_syntax(word_list_pattern(self.word_list)), "word_list"

    def judge(self) -> Judge:
        """Make the part that asks the feedback source; a name is resolved here, when the environment is made."""
        return Judge(self.feedback, self.feedback_kwargs, self.on_error)


def _formatted(frame: str, words: str, has_ended: bool) -> str:
    return frame.replace("{}", words)
