"""Translate English into French, German or Spanish."""

from __future__ import annotations

from typing import Any

from text_env.env import TextGenEnv
from text_env.material.frames import Frame
from text_env.material.interface_strings import InterfaceStrings
from text_env.material.number_words import NumberWords
from text_env.material.written_dates import WrittenDates
from text_env.tasks.material_options import framed_prompts, make_material
from text_env.tokens import load_tokens
from text_env.vector import TextGenVectorEnv

KINDS = {"numbers": NumberWords, "dates": WrittenDates, "interface": InterfaceStrings}
FEEDBACK = "feedback.chrf:Chrf"
NAMES = {"fr": "French", "de": "German", "es": "Spanish"}
# the most tokens of a prompt, and of a reference with its end token, in the bundled tokenizer
NUMBER_TOKENS = {1: (8, 6), 2: (12, 14), 3: (18, 23), 4: (24, 31), 5: (32, 40), 6: (40, 49)}  # by digits of the highest number
DATE_TOKENS = {"long": (17, 16), "full": (23, 25), "medium": (15, 14)}
CHAT_PROMPT_TOKENS = 128  # a question in words, and what a chat template puts around it


class TranslateEnv(TextGenEnv):
    """Write the translation of a number, a date, or a string of a user interface.

    ## Description
    `kind="numbers"`: numbers in words. `kind="dates"`: dates. Both are drawn without end and have exact references.
    `kind="interface"`: what JupyterLab and Django say to their users, as people translated it; too hard for the bundled model.

    The prompt is a line with the language and the text, "fr: forty-two", and the response is what stands on the next line,
    "quarante-deux"; no token reaches over the end of a line, so references are the same tokens after a prompt as alone. With
    `chat_template` the prompt says in words what is asked.

    ## Action Space, Observation Space, Information
    Those of `TextGenEnv`.

    ## Starting State
    A new number or date, or shuffled passes over the strings. Those of `split="held_out"`, a fifth, are never in "train", in whatever
    language and form: what is measured on them is whether a policy has learned to translate, and not which translations it has seen.

    ## Rewards
    At the end chrF against the references (`feedback.chrf:Chrf`), from 0 to 1; 1 is a right translation. Others by their path:
    `feedback="feedback.bleu:Bleu"`, `"feedback.exact_match:ExactMatch"`. One that pays as the prefix grows, and the same in all:

        gym.make("TextGen/Translate-v0", feedback=Shaped("feedback.chrf:Chrf", potential="feedback.chrf:Chrf"))   # feedback.shaping

    Floor and ceiling on 100 held-out numbers, by `python -m benchmarks.task_bounds TextGen/Translate-v0 --episodes 100` (mean chrF, 95 %
    interval): random tokens 0.11 (0.10 to 0.11), the untrained bundled model 0.11 (0.10 to 0.11), the copied prompt 0.13 (0.12 to 0.14),
    the reference 1.

    ## Episode End
    That of `TextGenEnv`, and the end of a line (`stop`).

    ## Arguments
    kind: "numbers", "dates" or "interface". language: "fr", "de" or "es".
    numbers: `low` and `high` (0 to 999; at most 999,999). dates: `first_year` and `last_year` (1900 to 2099), `date_format` "long", "full"
    or "medium". interface: `fewest_words` and `most_words` of the English string (4 to 10), `catalogues` ("jupyterlab", "django").
    See `text_env.material`.
    max_new_tokens, max_prompt_tokens: as many as the longest needs: in the bundled tokenizer (numbers up to 999: 22 and an
    end token; SmolLM2's needs 14), for interface strings in the environment's own (102 for French; SmolLM2's needs 60). For numbers and
    dates a tokenizer that needs more, such as "bytes", must be given more. Further those of `TextGenEnv`, but `prompts`.

    ## Data
    num2words (LGPL), Babel (BSD; its data the Unicode CLDR's, Unicode licence), jupyterlab-language-pack-* and Django (both BSD): the extra
    "tasks". Strings of 4 to 10 words, train and held out: French 1,016 and 278, German 316 and 96, Spanish 343 and 87.

    ## Version History
    v0: first version.
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(render_mode=render_mode, **translate_options(**options))


class TranslateVectorEnv(TextGenVectorEnv):
    """Write N translations at once; arguments are those of `TranslateEnv` and `TextGenVectorEnv`."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **translate_options(**options))


def translate_options(*, kind: str = "numbers", split: str = "train", **options: Any) -> dict[str, Any]:
    """Return the arguments of the environment that a kind of translations is written in; those given here win over the kind's own.

    Errors: ValueError for an unknown kind, language, range or split; ModuleNotFoundError that says what to install.
    """
    material, options = make_material(KINDS, kind, split, options)
    is_chat = options.get("chat_template", False) is not False
    asked = f"Translate into {NAMES[material.language]}. Answer with the translation only.\n\n"
    frame = Frame(before=asked) if is_chat else Frame(before=f"{material.language}: ", after="\n")
    own: dict[str, Any] = {"feedback": FEEDBACK, "stop": ["\n"], "split": split}
    own["max_prompt_tokens"], own["max_new_tokens"] = _budget(material, frame, options.get("tokenizer", "tinylm"))
    if is_chat:
        own["max_prompt_tokens"] = None if isinstance(material, InterfaceStrings) else CHAT_PROMPT_TOKENS
    return {"prompts": framed_prompts(material, frame, split), **own, **options}


def _budget(material: NumberWords | WrittenDates | InterfaceStrings, frame: Frame, tokenizer: Any) -> tuple[int, int]:
    """Return the most tokens of a prompt, and of a reference with its end token; the same for both splits."""
    if isinstance(material, NumberWords):
        return NUMBER_TOKENS[len(str(material.high))]
    if isinstance(material, WrittenDates):
        return DATE_TOKENS[material.date_format]
    tokens, pairs = load_tokens(tokenizer), material.pairs()
    longest_prompt = max(len(tokens.encode_prompt(f"{frame.before}{source}{frame.after}")) for source in pairs)
    return longest_prompt, max(len(tokens.encode(text)) for texts in pairs.values() for text in texts) + 1
