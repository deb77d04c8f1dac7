"""List critiques with a rating each, on which encoders are tried: two thirds to write rules and train on, one third to test.

They were written for this project, before the rules, by the people who then wrote the rules: good figures on them show that the rules do
what was meant, not that the public writes so. What "typical" answers a lexicon misses is from a look at 22 of them; all of those are in
the training part. The test part is to be looked at only through its figures: a rule that is made for one of its rows spoils it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Label = Literal["good", "bad", "neutral"]
Row = tuple[str, float]
NEUTRAL = 0.05  # values within +-0.05 are neutral, as in Hutto & Gilbert 2014


@dataclass(frozen=True)
class Critique:
    """Hold a critique, the rating it should have, its category, and whether it belongs to the test part.

    Args:
        text: the critique.
        rating: -1 (bad) to 1 (good); 0 where it is neutral or says nothing about the text that is judged.
        category: what makes it hard or easy; a key of `CATEGORIES`.
    """

    text: str
    rating: float
    category: str
    is_test: bool

    @property
    def label(self) -> Label:
        """Return the polarity of the rating; "neutral" also stands for an abstention."""
        return label_of(self.rating)


def label_of(value: float | None) -> Label:
    """Return "good" above 0.05, "bad" below -0.05, else "neutral", an abstention (None) included."""
    if value is None or abs(value) <= NEUTRAL:
        return "neutral"
    return "good" if value > 0 else "bad"


# Of each category the rows for training, then those for testing.
CATEGORIES: dict[str, tuple[tuple[Row, ...], tuple[Row, ...]]] = {
    "short": (
        (
            ("Good.", 0.6),
            ("Bad.", -0.6),
            ("too long", -0.5),
            ("Perfect!", 1.0),
            ("meh", -0.3),
            ("ok", 0.0),
            ("Useless.", -0.9),
            ("Nice one", 0.6),
        ),
        (("Love it", 0.9), ("Nope.", -0.6), ("Spot on.", 0.9), ("Garbage", -0.9)),
    ),
    "hedged": (
        (
            ("could be better", -0.3),
            ("A bit repetitive.", -0.3),
            ("Somewhat helpful, I guess.", 0.3),
            ("Pretty good overall.", 0.6),
            ("It's okay but nothing special.", -0.2),
            ("I think it mostly works.", 0.4),
            ("Slightly confusing in places.", -0.3),
            ("Probably the right answer, though I am not sure.", 0.2),
        ),
        (
            ("Kind of boring, to be honest.", -0.4),
            ("Not sure this really answers it.", -0.4),
            ("Fairly clear for the most part.", 0.5),
            ("It might need a little more work.", -0.3),
        ),
    ),
    "negated": (
        (
            ("not bad", 0.4),
            ("Nothing wrong with it.", 0.4),
            ("This isn't good.", -0.6),
            ("no repetition", 0.4),
            ("I can't complain.", 0.4),
            ("Not helpful at all.", -0.8),
            ("It doesn't make sense.", -0.7),
            ("No mistakes that I could find.", 0.6),
        ),
        (
            ("Never boring.", 0.5),
            ("I wouldn't recommend this answer.", -0.7),
            ("Hardly a convincing argument.", -0.5),
            ("There is no reason to change anything here.", 0.6),
        ),
    ),
    "sarcastic": (
        (
            ("Great, just great. It ignored the question.", -0.8),
            ("Thanks for nothing.", -0.8),
            ("Oh wonderful, the same paragraph three times.", -0.7),
            ("Yeah, right, because Paris is in Germany.", -0.8),
            ("Nice job ignoring everything I asked.", -0.8),
            ("Wow, what a masterpiece of saying nothing.", -0.8),
            ("I just love how it never gets to the point. \N{FACE WITH ROLLING EYES}", -0.8),
            ("Brilliant. Two hundred words and not one answer.", -0.8),
        ),
        (
            ("Congratulations, you managed to miss the only thing I asked for.", -0.8),
            ("Exactly what I needed: another list of clichés.", -0.7),
            ("So helpful. I now know less than before.", -0.8),
            ("What a shock, it made the numbers up again.", -0.7),
        ),
    ),
    "comparative": (
        (
            ("Better than the last one.", 0.5),
            ("Worse than before.", -0.5),
            ("The previous answer was better.", -0.5),
            ("Much clearer than the first version.", 0.6),
            ("Less repetitive now.", 0.4),
            ("Not as good as the other one.", -0.5),
            ("An improvement, finally.", 0.5),
            ("I prefer the other response.", -0.5),
        ),
        (
            ("This one beats the first by a mile.", 0.8),
            ("A step backwards.", -0.6),
            ("It reads more naturally than the earlier draft.", 0.6),
            ("The original explained it better.", -0.5),
        ),
    ),
    "emoji": (
        (
            ("\N{THUMBS UP SIGN}", 0.8),
            ("\N{THUMBS DOWN SIGN}", -0.8),
            ("\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}", 0.9),
            ("\N{POUTING FACE}", -0.9),
            ("\N{THUMBS UP SIGN}\N{THUMBS UP SIGN}\N{THUMBS UP SIGN}", 0.9),
            ("\N{NEUTRAL FACE}", 0.0),
            ("\N{FIRE}\N{FIRE}", 0.8),
            ("Hmm \N{CONFUSED FACE}", -0.4),
        ),
        (
            ("\N{SMILING FACE WITH HEART-SHAPED EYES}", 0.9),
            ("\N{FACE WITH OPEN MOUTH VOMITING}", -0.9),
            ("\N{CLAPPING HANDS SIGN}\N{CLAPPING HANDS SIGN} well written", 0.8),
            (":(", -0.6),
        ),
    ),
    "rating": (
        (
            ("7/10", 0.4),
            ("+1", 0.8),
            ("-1", -0.8),
            ("3 out of 5", 0.0),
            ("4 stars", 0.5),
            ("10/10 would read again", 1.0),
            ("2/10, way too long", -0.6),
            ("I'd give this an A+.", 1.0),
        ),
        (
            ("\N{BLACK STAR}\N{BLACK STAR}\N{WHITE STAR}\N{WHITE STAR}\N{WHITE STAR}", -0.5),
            ("Solid 8 out of 10.", 0.6),
            ("One star.", -1.0),
            ("5/10", 0.0),
        ),
    ),
    "aspect": (
        (
            ("The grammar is terrible.", -0.7),
            ("It repeats itself over and over.", -0.7),
            ("Rude and condescending tone.", -0.7),
            ("It made up a quote that is not in the source.", -0.8),
            ("Stays on topic and answers the question.", 0.7),
            ("Full of typos.", -0.6),
            ("It reads smoothly.", 0.6),
            ("Contains dangerous medical advice.", -0.9),
        ),
        (
            ("The dates are all invented.", -0.8),
            ("Goes on forever without saying much.", -0.6),
            ("Polite and respectful throughout.", 0.7),
            ("Every sentence starts the same way.", -0.4),
        ),
    ),
    "off-topic": (
        (
            ("What time is it in Tokyo?", 0.0),
            ("My cat is sleeping on the keyboard.", 0.0),
            ("I had a great lunch today.", 0.0),
            ("asdf asdf", 0.0),
            ("Can you write a poem about rain?", 0.0),
            ("The train leaves at nine.", 0.0),
            ("   ", 0.0),
            ("Lorem ipsum dolor sit amet", 0.0),
        ),
        (
            ("Happy birthday to my brother!", 0.0),
            ("Remember to buy milk.", 0.0),
            ("Who won the match last night?", 0.0),
            ("1234567890", 0.0),
        ),
    ),
    "other language": (
        (
            ("Das ist eine sehr gute Antwort.", 0.0),
            ("Trop long et ennuyeux.", 0.0),
            ("La respuesta es muy buena.", 0.0),
            ("\u8fd9\u4e2a\u56de\u7b54\u5f88\u597d\u3002", 0.0),
            ("\u041e\u0442\u043b\u0438\u0447\u043d\u044b\u0439 \u043e\u0442\u0432\u0435\u0442!", 0.0),
            ("\u3068\u3066\u3082\u5f79\u306b\u7acb\u3061\u307e\u3057\u305f\u3002", 0.0),
            ("Die Antwort ist leider falsch.", 0.0),
            ("Non mi piace per niente.", 0.0),
        ),
        (
            ("Questo testo è perfetto.", 0.0),
            ("Geweldig antwoord, dank je wel.", 0.0),
            ("\ub2f5\ubcc0\uc774 \ub108\ubb34 \uae38\uc5b4\uc694.", 0.0),
            ("Cette réponse est fatale pour le sujet.", 0.0),
        ),
    ),
    "long": (
        (
            (
                "I liked the opening and the examples are useful. The middle part drags a little, but the ending pulls it together nicely.",
                0.5,
            ),
            (
                "The first paragraph is fine. After that it loses the thread, repeats two points and never says what to do. "
                "I stopped reading.",
                -0.7,
            ),
            ("Clear structure, correct facts, friendly tone. I would have added one more example, but that is a matter of taste.", 0.7),
            (
                "It starts well enough and the grammar is fine. However, half of the names are wrong, the summary leaves out the main "
                "event, and the last sentence contradicts the first.",
                -0.6,
            ),
            ("Everything I asked for is there. It is short, it is polite, and the steps work. Nothing to change.", 0.9),
            (
                "I asked for three bullet points. I got an essay. It is well written, I admit, but it is not what I wanted and I "
                "cannot use it.",
                -0.5,
            ),
            (
                "At first I thought it was too simple, but on a second reading it is exactly right: it explains the idea without "
                "jargon and does not talk down to the reader.",
                0.8,
            ),
            (
                "The story has a nice idea. Unfortunately the characters are flat, the dialogue is stiff, and the joke at the end is "
                "offensive. Please try again.",
                -0.6,
            ),
        ),
        (
            (
                "The translation keeps the meaning and sounds natural. One idiom is off, and I would pick another word for the title. "
                "Still, I would send it out as it is.",
                0.6,
            ),
            (
                "I can follow the reasoning up to step three. Then a number appears from nowhere and all that comes after it depends "
                "on it. The conclusion cannot be trusted.",
                -0.7,
            ),
            ("A pleasure to read from start to finish. It surprised me twice, it made me laugh once, and it never lost its way.", 0.9),
            (
                "It sounds confident and it is pleasantly written. That makes it worse, because two of the three sources do not exist and "
                "nobody would notice without checking.",
                -0.8,
            ),
        ),
    ),
}

CRITIQUES: tuple[Critique, ...] = tuple(
    Critique(text, rating, category, is_test)
    for category, (train, test) in CATEGORIES.items()
    for is_test, rows in ((False, train), (True, test))
    for text, rating in rows
)
