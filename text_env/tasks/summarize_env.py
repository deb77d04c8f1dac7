"""Write summaries: of short reviews what they say, and of docstrings of Python's standard library the first line."""

from __future__ import annotations

from functools import partial
from typing import Any

from text_env.env import TextGenEnv
from text_env.kept import unkeep
from text_env.material.docstrings import docstrings
from text_env.material.frames import Frame
from text_env.material.short_reviews import short_review
from text_env.prompts import SPLITS
from text_env.tokens import load_tokens
from text_env.vector import TextGenVectorEnv

KINDS = ("reviews", "docstrings")
FEEDBACK = {"reviews": "feedback.token_f1:TokenF1", "docstrings": "feedback.rouge:Rouge"}
PLAIN = Frame(after="\nSummary:", joint=" ")
CHAT = {
    "reviews": Frame('Say in two words what this is about, as in "good film", "bad film" or "mixed film".\n\n'),
    "docstrings": Frame("Summarise this documentation in one line.\n\n"),
}


class SummarizeEnv(TextGenEnv):
    """Write the summary of a text.

    ## Description
    `kind="reviews"`: a review of two or three short sentences, made by `text_env.material.short_reviews` without end; its exact summary is
    a mood and a subject, "good film". A model of a few million parameters learns it in a minute. `kind="docstrings"`: the body of a
    docstring of Python's standard library (`text_env.material.docstrings`), to be summarised by its first line, which is the reference.

    The prompt is the text and "Summary:", the reference follows after a space; with `chat_template` the prompt is a user's message that
    says what is asked, and the reference has no space in front.

    ## Action Space, Observation Space, Episode End, Information
    Those of `TextGenEnv`.

    ## Starting State
    "reviews": a new review. "docstrings": shuffled passes. In `split="held_out"` subjects are joined with other adjectives, and docstrings
    have other summaries, than in "train"; docstrings with equal summaries are on one side, and each body comes once.

    ## Rewards
    "reviews": the words shared with the summary, from 0 to 1 (`feedback.token_f1:TokenF1`). "docstrings": ROUGE-L, from 0 to 1
    (`feedback.rouge:Rouge`), which copying and length raise; what is wanted is said better by a sum, to be passed as `feedback`:
    `Rouge() - 0.2 * Copying() + 0.1 * LengthWindow(3, 16, fade=8)`.

    ## Arguments
    kind: "reviews" or "docstrings".
    max_prompt_tokens: 64 for reviews, where a longer one is an error; 160 for docstrings, of which a longer one keeps its beginning and
    loses its end, because the beginning says what the rest explains (`on_long_prompt="truncate_left"` would keep the end).
    max_new_tokens: the length budget of the summary; 8 for reviews, 48 for docstrings. Further those of `TextGenEnv`.

    ## Data
    Reviews: written here, Apache-2.0 as this package. Docstrings: the interpreter's own source files, read and not copied; PSF licence,
    version 2. Python 3.11.7 has 1,596 of them for "train" and 179 for "held_out", of which 1,593 and 178 summaries fit the budget; other
    versions have others, and each id names the version. Reading them takes about five seconds, once in a process.

    ## Floor and Ceiling
    Reviews, by `TokenF1` and by exact match, held out: tinylm as it is 0.00 and 0.00, after 61 updates on 32 references each 1.00 and 1.00,
    the reference 1.

    ## Version History
    v0: first version.
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(render_mode=render_mode, **summarize_options(**unkeep(options)))


class SummarizeVectorEnv(TextGenVectorEnv):
    """Write N summaries at once; arguments are those of `SummarizeEnv` and `TextGenVectorEnv`."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **summarize_options(**unkeep(options)))


def summarize_options(*, kind: str = "reviews", **options: Any) -> dict[str, Any]:
    """Return the arguments of the environment that a kind of summaries is written in; those given here win over the kind's own.

    Errors: ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    frame = CHAT[kind] if options.get("chat_template", False) is not False else PLAIN
    if kind == "reviews":
        prompts = {split: frame.around_made(partial(short_review, split=split)) for split in SPLITS}
        return {"prompts": prompts, "max_prompt_tokens": 64, "max_new_tokens": 8, "feedback": FEEDBACK[kind], **options}
    own = {"max_prompt_tokens": 160, "max_new_tokens": 48, "feedback": FEEDBACK[kind], **options}
    tokens = load_tokens(own.get("tokenizer", "tinylm"))
    template = own.get("chat_template", False)
    around = 0 if template is False else len(tokens.encode(tokens.chat_prompt("", template)))
    rows = [frame.around(frame.cut(row, tokens, own["max_prompt_tokens"] - around)) for row in docstrings()]
    # two that begin alike are one prompt once their ends are cut
    return {"prompts": list({row["prompt"]: row for row in reversed(rows)}.values())[::-1], **own}
