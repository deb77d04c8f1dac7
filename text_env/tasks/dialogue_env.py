"""Answer in a dialogue of one turn or several."""

from __future__ import annotations

from typing import Any

from text_env.env import TextGenEnv
from text_env.kept import unkeep
from text_env.material.exchanges import corpus, corpus_continuations, replies_by_line, sayings
from text_env.material.frames import Frame
from text_env.material.partners import AtMost, DrawnLines
from text_env.vector import TextGenVectorEnv

KINDS = ("sayings", "corpus")
PLAIN = Frame("A: ", "\nB:", joint=" ")
PARTNER_FORMAT = "\nA: {}\nB:"
BUDGETS = {"sayings": (16, 24), "corpus": (48, 80)}  # tokens of a turn of the agent, and of one of the partner with what is around it
FEEDBACK = {"sayings": "feedback.token_f1:TokenF1", "corpus": "feedback.dialogue_score:DialogueScore"}


class DialogueEnv(TextGenEnv):
    r"""Answer in a dialogue.

    ## Description
    Somebody says a line, the agent answers. `kind="sayings"`: a small language of twelve sayings ("Do you like tea?") with one fitting
    reply each ("Yes, I love tea."), which a model of a few million parameters learns in a minute. `kind="corpus"`: opening lines of the
    corpus of ChatterBot, in 28 languages; references are all replies that a line got.

    With `turns=K` the partner answers K - 1 times and the agent has K turns in one episode. The partner's tokens are part of the
    observation and never actions: `response_mask` is 0 there, and no loss, divergence or statistic counts them. By default it goes on as
    the corpus does, or says another line of the same split, decided by the conversation (`text_env.material.partners.DrawnLines`).
    Another agent may be the partner: `partner=agents.AgentPartner(...)`.

    The prompt is "A: ...\nB:", and a partner's line is written "\nA: ...\nB:"; with `chat_template` both are user messages, with what the
    template puts around them.

    ## Action Space, Observation Space, Information
    Those of `TextGenEnv`. A finished episode's `turns` holds what was said in turn.

    ## Starting State
    Shuffled passes over the lines of the split. "sayings": 96 in "train" and 24 in "held_out", where sayings are joined with other words.
    "corpus": about a tenth of the lines is held out; lines that differ in case and punctuation alone are on one side.

    ## Rewards
    "sayings": the words shared with the right reply, from 0 to 1 (`feedback.token_f1:TokenF1`). "corpus":
    `feedback.dialogue_score:DialogueScore`, a weighted sum of embedding similarity to the references, politeness, repetition and unsafe
    words. Of several turns it is the mean (`feedback.turns:EachTurn`). A judge model is `feedback="feedback.judge_model:JudgeModel"`.

    ## Episode End
    An end token, or a stop string, ends a turn, and after the last turn the episode; so does the budget of tokens, the partner's included.

    ## Arguments
    kind: "sayings" or "corpus". language: of the corpus, "english" by default (`text_env.material.exchanges.corpus_languages()`).
    turns: of the agent, 1 by default. partner: who answers, given conversations; None = as above. partner_seed: which lines it draws.
    max_new_tokens: by default 16 for a turn of "sayings" and 24 for a partner's, 48 and 80 for those of "corpus".
    Further those of `TextGenEnv`.

    ## Data
    Sayings: written here, Apache-2.0 as this package. Corpus: the package chatterbot-corpus (1.3.3), BSD licence, read and not copied.
    English has 585 lines with 722 replies in "train" and 67 with 77 in "held_out"; Hindi, Hinglish and a few others are too small to have
    many held out, or any.

    ## Floor and Ceiling
    Sayings, by `TokenF1` and by exact match: tinylm as it is 0.02 and 0.00; after 77 updates on 32 references each 1.00 and 1.00 on lines
    that it learned from, and 0.87 and 0.50 on held-out ones, where words of other lines are mixed up; the reference 1.

    ## Version History
    v0: first version.
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(render_mode=render_mode, **dialogue_options(**unkeep(options)))


class DialogueVectorEnv(TextGenVectorEnv):
    """Answer in N dialogues at once; arguments are those of `DialogueEnv` and `TextGenVectorEnv`."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **dialogue_options(**unkeep(options)))


def dialogue_options(
    *,
    kind: str = "sayings",
    language: str = "english",
    turns: int = 1,
    partner: Any = None,
    partner_seed: int = 0,
    split: str = "train",
    **options: Any,
) -> dict[str, Any]:
    """Return the arguments of the environment that a kind of dialogue is written in; those given here win over the kind's own.

    Errors: ValueError for an unknown kind or language, for no turns, and for a partner where there is one turn.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    if partner is not None and turns == 1:
        raise ValueError("a dialogue of one turn has no partner's turn: pass turns=2 or more, or leave the partner out")
    is_chat = options.get("chat_template", False) is not False
    frame = Frame() if is_chat else PLAIN
    rows = sayings() if kind == "sayings" else corpus(language)
    own_tokens, partner_tokens = BUDGETS[kind]
    own: dict[str, Any] = {
        "prompts": [frame.around(row) for row in rows],
        "split": split,
        "max_new_tokens": own_tokens * turns + partner_tokens * (turns - 1),
        "feedback": FEEDBACK[kind],
    }
    if turns > 1:
        lines = [row["prompt"] for row in rows if row["split"] == split]
        scripts = {} if kind == "sayings" else corpus_continuations(language)
        framed = {frame.around({"prompt": line})["prompt"]: later for line, later in scripts.items()}
        answers = replies_by_line(None if kind == "sayings" else language)
        own |= {
            "partner": AtMost(partner or DrawnLines(lines, framed, partner_seed), turns),
            "partner_format": None if is_chat else PARTNER_FORMAT,
            "feedback": "feedback.turns:EachTurn",
            "feedback_kwargs": {"source": FEEDBACK[kind], "answers": answers},
        }
        if "feedback" in options:
            del own["feedback_kwargs"]
    return {**own, **options}
