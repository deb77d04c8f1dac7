"""Make a language model so small that Stable-Baselines3 trains it in seconds, and the environment that it writes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents import TextGenVecEnv
from tests.exact_task import tokenizer
from tests.tiny_models import tiny_model

WORDS, END, HORIZON = 4, 3, 4  # a, b, c, and d, which ends


class ShareOfC:
    """Score the share of the budget that is filled with "c"."""

    low, high, unit = 0.0, 1.0, "share"

    def __call__(self, episodes):
        return [float((episode.ids == 2).sum()) / HORIZON for episode in episodes]


class OnlyWithC(ShareOfC):
    """The same, with no opinion on a response without any."""

    def __call__(self, episodes):
        return [score if score > 0 else None for score in super().__call__(episodes)]


def write_model(folder: Path, vocab_size: int = WORDS, **changes: Any) -> str:
    """Write a model with its tokenizer, as `save_pretrained` does, and return the folder."""
    model = tiny_model(vocab_size=vocab_size, pad_token_id=END, eos_token_id=END, bos_token_id=0, **changes)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = END
    model.save_pretrained(folder)
    tokenizer(vocab_size).save(str(folder / "tokenizer.json"))
    return str(folder)


def small_options(**options: Any) -> dict[str, Any]:
    return {
        "tokenizer": tokenizer(options.pop("words", WORDS)),
        "eos_ids": [END],
        "prompts": ["a b", "b c a"],
        "feedback": ShareOfC(),
        "max_new_tokens": HORIZON,
        **options,
    }


def small_env(num_envs: int = 8, **options: Any) -> TextGenVecEnv:
    return TextGenVecEnv("TextGen-v0", num_envs, **small_options(**options))
