"""Answer short questions: about a passage that holds the answer, or about the world."""

from __future__ import annotations

from typing import Any

from text_env.env import TextGenEnv
from text_env.material.frames import Frame
from text_env.material.told_passages import ToldPassages
from text_env.material.world_facts import WorldFacts
from text_env.tasks.material_options import framed_prompts, make_material
from text_env.vector import TextGenVectorEnv

KINDS = {"passage": ToldPassages, "facts": WorldFacts}
FEEDBACK = "feedback.token_f1:TokenF1"
PLAIN = Frame(after="\nA:", joint=" ")
CHAT = Frame(before="Answer with the answer only.\n\n")
# the most tokens in the bundled tokenizer
QUESTION_TOKENS, FACT_TOKENS = 14, 10  # a question with "A:", and a sentence of a passage
ANSWER_TOKENS = {"passage": 5, "facts": 30}  # a reference, with its end token
CHAT_TOKENS = 96  # what is asked in words, and what a chat template puts around it


class AnswerEnv(TextGenEnv):
    """Write the answer to a short question.

    ## Description
    `kind="passage"`: a passage of a few made-up facts and a question about one, "Anna likes tea. Tom is in Paris. Where is Tom?", whose
    answer is a word of the passage: it can be copied, and nothing else has to be known. `kind="facts"`: currencies and official languages
    of countries, and names of countries and languages in other languages; it has to be known beforehand, and is made for models
    that were trained on much text. The prompt goes on with a line "A:", and the answer follows after a space, so that it is the same
    tokens as in the passage. With `chat_template` the prompt says in words what is asked, and no space is expected.

    ## Action Space, Observation Space, Information
    Those of `TextGenEnv`.

    ## Starting State
    "passage": a new passage. "facts": shuffled passes over all questions. In `split="held_out"`, a fifth, the facts of the passages, and
    the countries and languages asked about, are others than in "train".

    ## Rewards
    At the end the words shared with the best reference (`feedback.token_f1:TokenF1`), from 0 to 1. Others by their path:
    `feedback="feedback.exact_match:ExactMatch"`. Where several answers are right, each is a reference: the names and the code of a
    currency, and all official languages.

    Floor and ceiling on 100 held-out passages, by `python -m benchmarks.task_bounds TextGen/Answer-v0 --episodes 100` (mean token F1):
    random tokens 0.00, the untrained bundled model 0.00, the copied prompt 0.13, the reference 1.

    ## Episode End
    That of `TextGenEnv`, and the end of a line (`stop`).

    ## Arguments
    kind: "passage" or "facts". passage: `num_facts` (3). facts: `language` in which it is asked ("en", "fr", "de", "es"), and
    `questions`, some of "currency", "official_language", "place_name", "language_name". See `text_env.material`.
    max_new_tokens, max_prompt_tokens: as many as the longest needs in the bundled tokenizer. Further those of `TextGenEnv`, but `prompts`.

    ## Data
    Passages are written here (Apache-2.0). Facts: Babel (BSD; its data the Unicode CLDR's, Unicode licence), the extra "tasks".

    ## Version History
    v0: first version.
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(render_mode=render_mode, **answer_options(**options))


class AnswerVectorEnv(TextGenVectorEnv):
    """Write N answers at once; arguments are those of `AnswerEnv` and `TextGenVectorEnv`."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **answer_options(**options))


def answer_options(*, kind: str = "passage", split: str = "train", **options: Any) -> dict[str, Any]:
    """Return the arguments of the environment that a kind of questions is asked in; those given here win over the kind's own.

    Errors: ValueError for an unknown kind, language, question, number of facts or split; ModuleNotFoundError that says what to install.
    """
    material, options = make_material(KINDS, kind, split, options)
    is_chat = options.get("chat_template", False) is not False
    own: dict[str, Any] = {"feedback": FEEDBACK, "stop": ["\n"], "split": split, "max_new_tokens": ANSWER_TOKENS[kind]}
    if isinstance(material, ToldPassages):
        own["max_prompt_tokens"] = FACT_TOKENS * material.num_facts + QUESTION_TOKENS + (CHAT_TOKENS if is_chat else 0)
    return {"prompts": framed_prompts(material, CHAT if is_chat else PLAIN, split), **own, **options}
