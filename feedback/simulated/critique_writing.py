"""Put a judgement into words: (aspect, sign, strength) becomes a critique, with hedges, sarcasm, digressions and typing errors.

Left out: anything about the text that is judged beyond the aspect; these are critiques to try a channel on, not to learn a language from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feedback.simulated.keyed_noise import Draws, FloatArray
from feedback.simulated.slips import check_shares

# Of each aspect: blame, from strong to mild, then praise, from mild to strong; several ways of each.
PHRASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "overall": (
        ("This is terrible.", "Awful, really."),
        ("Bad.", "Not good."),
        ("Rather weak.", "A bit disappointing."),
        ("Fairly good.", "Quite nice."),
        ("Good.", "A good answer."),
        ("Excellent!", "This is wonderful."),
    ),
    "length": (
        ("Far too long, and full of padding.", "Much too long."),
        ("Too long.", "It is too wordy."),
        ("A bit too long.", "It drags a little."),
        ("Long enough.", "The length is fairly good."),
        ("Concise.", "It gets to the point."),
        ("Perfect length, very concise!", "Very succinct and to the point!"),
    ),
    "fluency": (
        ("Complete gibberish.", "This makes no sense."),
        ("Confusing and hard to follow.", "Awkward."),
        ("Slightly clunky.", "A bit awkward in places."),
        ("Mostly clear.", "Fairly readable."),
        ("Clear and easy to follow.", "It reads well."),
        ("Very well written, extremely clear!", "Beautifully fluent and clear!"),
    ),
    "faithfulness": (
        ("It is completely made up.", "Totally wrong and misleading."),
        ("This is inaccurate.", "Factually wrong."),
        ("A small mistake or two.", "Slightly inaccurate."),
        ("Mostly correct.", "Fairly accurate."),
        ("Accurate.", "The facts are correct."),
        ("Very accurate, exactly right!", "Extremely precise and reliable!"),
    ),
    "relevance": (
        ("It ignored the question completely.", "Totally irrelevant."),
        ("Off topic.", "It does not answer the question."),
        ("It goes off on a tangent.", "Somewhat generic."),
        ("Mostly relevant.", "Fairly on topic."),
        ("Relevant.", "It answers the question."),
        ("Very relevant, exactly what I asked for!", "Extremely relevant, it covers everything!"),
    ),
    "repetition": (
        ("Terribly repetitive.", "It repeats itself over and over."),
        ("Repetitive.", "It repeats itself."),
        ("A bit repetitive.", "Slightly repetitive."),
        ("Fairly varied.", "Not too repetitive."),
        ("Varied.", "Good variety."),
        ("Very varied, great variety!", "Wonderfully diverse and varied!"),
    ),
}
NEITHER = ("It is okay.", "So so.")
HEDGES = ("I think: ", "Not sure, but: ", "Maybe it is just me. ")
DIGRESSIONS = ("What is the weather like today?", "I had pancakes for breakfast.", "My train is late again.")
SARCASM = ("Great, just great. ", "Oh wow, brilliant. ", "Well done, really. ")
EDGES = (-0.7, -0.4, -0.1, 0.1, 0.4, 0.7)  # values between which one strength gives way to the next; the middle is neither


@dataclass(frozen=True)
class CritiqueWriting:
    """Write critiques of values from -1 (worst) to 1 (best).

    Args:
        aspects: which a critique can be about, names of `PHRASES`, drawn alike.
        hedged, sarcastic, digressing, mistyped: shares of the critiques that are so. Sarcasm is for blame alone. A digression says nothing
            of the text. Who mistypes swaps two letters of a word.
    """

    aspects: tuple[str, ...] = ("overall",)
    hedged: float = 0.0
    sarcastic: float = 0.0
    digressing: float = 0.0
    mistyped: float = 0.0

    def __post_init__(self) -> None:
        check_shares(hedged=self.hedged, sarcastic=self.sarcastic, digressing=self.digressing, mistyped=self.mistyped)
        if not self.aspects or (unknown := set(self.aspects) - set(PHRASES)):
            shown = sorted(unknown)[0] if self.aspects else "none"
            raise ValueError(f"aspects must be among {', '.join(PHRASES)}, got {shown}")

    def write(self, values: FloatArray, draws: Draws) -> list[str]:
        """Return a critique for each value.

        Args:
            values: [N], from -1 to 1. draws: [N, 1], of the contents that are judged.
        """
        parts = ("aspect", "phrase", "hedged", "hedge", "sarcastic", "irony", "digressing", "digression", "mistyped", "letters")
        drawn = {part: draws.uniform(f"critique, {part}").tolist() for part in parts}
        return [self._written(float(value), {part: drawn[part][row] for part in parts}) for row, value in enumerate(values)]

    def _written(self, value: float, drawn: dict[str, float]) -> str:
        if drawn["digressing"] < self.digressing:
            return _one_of(DIGRESSIONS, drawn["digression"])
        place = int(np.digitize(value, EDGES))
        phrases = PHRASES[_one_of(self.aspects, drawn["aspect"])]
        text = _one_of(NEITHER if place == 3 else phrases[place - (place > 3)], drawn["phrase"])
        if value < 0 and drawn["sarcastic"] < self.sarcastic:
            text = _one_of(SARCASM, drawn["irony"]) + text
        elif drawn["hedged"] < self.hedged:
            text = _one_of(HEDGES, drawn["hedge"]) + text
        return _mistyped(text, drawn["letters"]) if drawn["mistyped"] < self.mistyped else text


def _one_of(choices: tuple[str, ...], drawn: float) -> str:
    return choices[int(drawn * len(choices))]


def _mistyped(text: str, drawn: float) -> str:
    """Return the text with two neighbouring letters inside a word swapped, if one word has four letters."""
    places = [at for at in range(1, len(text) - 2) if text[at - 1 : at + 3].isalpha() and text[at] != text[at + 1]]
    if not places:
        return text
    at = places[int(drawn * len(places))]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
