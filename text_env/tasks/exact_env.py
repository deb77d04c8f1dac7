"""Write responses to tasks so small that the optimum is known."""

from __future__ import annotations

from typing import Any

from text_env.env import TextGenEnv
from text_env.exact.enumerated import ExactScore, ExactTask
from text_env.vector import TextGenVectorEnv


class ExactEnv(TextGenEnv):
    """Write a response to an exact task.

    ## Description
    All responses can be listed, so that values, gradients and the optimum are known: `env.unwrapped.exact` is the task, which holds the
    scores of all of them. Everything else is as in `TextGenEnv`.

    ## Arguments
    rule: "count", "copy", "reverse", "sort", "brackets", "random", "sparse" or "deceptive" (`text_env.exact.RULES` says what they pay).
    vocab_size: 3 to 8, the end token included. max_new_tokens: 3 to 6, the horizon. num_prompts. task_seed: decides prompts and
    the table of "random". The held-out split has as many other prompts of the same rule. Further those of `TextGenEnv`.

    ## Version History
    v0: first version.
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        self.exact, options = exact_options(**options)
        super().__init__(render_mode=render_mode, **options)


class ExactVectorEnv(TextGenVectorEnv):
    """Write N responses to an exact task at once; arguments are those of `ExactEnv` and `TextGenVectorEnv`."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        self.exact, options = exact_options(**options)
        super().__init__(num_envs, **options)


def exact_options(
    *,
    rule: str = "count",
    vocab_size: int = 4,
    max_new_tokens: int = 4,
    num_prompts: int = 3,
    task_seed: int = 0,
    split: str = "train",
    **options: Any,
) -> tuple[ExactTask, dict[str, Any]]:
    """Return the task, and the arguments of the environment that it is written in; those given here win over the task's own."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    task = ExactTask(rule, vocab_size, max_new_tokens, num_prompts, task_seed, split)
    tokenizer = Tokenizer(models.WordLevel({word: token for token, word in enumerate(task.words)}, unk_token=task.words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    own = {
        "tokenizer": tokenizer,
        "eos_ids": [task.end],
        "prompts": task.texts,
        "feedback": ExactScore(task),
        "max_new_tokens": max_new_tokens,
    }
    return task, own | options
