"""Find emoji and emoticons in a critique and say how good or bad they are."""

from __future__ import annotations

import re
from typing import NamedTuple

EMOJI: dict[float, str] = {
    0.9: "😍🥰❤♥💖💗💙💚💛🧡💜🖤🤍🤩😻💕💞😘",
    0.8: "👍👏💯🏆🥇🎉🙌🔥👌✅✔💪🤗🌟🎯",
    0.6: "🙂😀😃😄😁😊☺😎🤓😇😋😌🙏😺",
    0.0: "😐😶🤷",
    -0.3: "🤔🤨😬😑🥱😴",
    -0.4: "😕🙁☹😒😟🙄😓😩😫😣😖",
    -0.6: "😞😔😢😥😦😧😠😤🤦😿💔",
    -0.8: "👎❌🚫⛔🤢🤮😡🤬💩🗑🖕😾",
}
SARCASTIC_EMOJI = "🙄🙃"
EMOTICONS: dict[float, str] = {
    0.8: "<3",
    0.6: ":) :-) :] =) :d :-d =d ;) ;-) ^^ :')",
    0.0: ":| :-|",
    -0.4: ":/ :-/ :\\ :-\\ :s",
    -0.6: ":( :-( :[ =( :'( d: >:( </3",
}

_VALUES = {sign: value for value, signs in EMOJI.items() for sign in signs}
_EMOTICON_VALUES = {sign: value for value, signs in EMOTICONS.items() for sign in signs.split()}
_RUN = re.compile(f"([{''.join(_VALUES)}])(?:[\ufe0f\U0001f3fb-\U0001f3ff\u200d\u2640\u2642]|\\1)*")  # repeated, in any colour of skin
_EMOTICON = re.compile(
    r"(?:(?<=\s)|^)(" + "|".join(re.escape(sign) for sign in sorted(_EMOTICON_VALUES, key=len, reverse=True)) + r")\1*(?=[\s.,!?)]|$)", re.I
)
MORE = 0.4  # each repetition of a sign adds this much to the power by which it is strengthened, up to 2.2


class Sign(NamedTuple):
    """Hold a sign, or a run of the same, that stands at a character of the text: how it reads, and its value from -1 to 1."""

    text: str
    start: int
    value: float


def find_signs(text: str) -> list[Sign]:
    """Return the emoji and emoticons of a text in its order; a run of one counts once and is stronger than one."""
    found = []
    for match in _RUN.finditer(text):
        found.append(Sign(match[1], match.start(), _repeated(_VALUES[match[1]], match[0].count(match[1]))))
    for match in _EMOTICON.finditer(text):
        found.append(Sign(match[1], match.start(), _repeated(_EMOTICON_VALUES[match[1].casefold()], len(match[0]) // len(match[1]))))
    return sorted(found, key=lambda sign: sign.start)


def find_sarcastic_sign(text: str) -> str:
    """Return the first sign that turns praise round, "" where there is none."""
    return next((sign for sign in SARCASTIC_EMOJI if sign in text), "")


def _repeated(value: float, count: int) -> float:
    strength = 1 - (1 - abs(value)) ** min(1 + MORE * (count - 1), 2.2)
    return strength if value > 0 else -strength if value < 0 else 0.0
