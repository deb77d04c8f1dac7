"""Judge how polite English sounds, by the strategies that people were found to hear as polite or not (Danescu-Niculescu-Mizil et al. 2013).

Left out: the paper's strategies that need a parse or that hardly move its figures (first and second person inside a sentence, plurals), its
lists of positive and negative words (`Sentiment` has one), and its classifier. The patterns are this project's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode


@dataclass(frozen=True)
class Strategy:
    """Hold one way of being polite or impolite.

    Args:
        name: what it is called in `parts`.
        weight: mean politeness of requests that use it, as a standard score, from the paper's table 3.
        pattern: finds it in lower case; `^` stands for the beginning of a sentence.
    """

    name: str
    weight: float
    pattern: re.Pattern[str]


def _strategy(name: str, weight: float, pattern: str) -> Strategy:
    return Strategy(name, weight, re.compile(pattern, re.MULTILINE))


ORDERS = "stop|shut|go|get|give|tell|do|don't|fix|make|send|show|look|read|write|answer|explain|leave|move|remove|change|be|come|hurry|wait"
QUESTIONS = "what|why|who|how|where|when|which"
STRATEGIES = (
    _strategy("gratitude", 0.87, r"\b(?:thanks|thank you|thankful|grateful|(?:i|we)(?: really| do)? appreciate|much appreciated)\b"),
    _strategy(
        "deference", 0.78, r"\b(?:great|good|nice|excellent|wonderful|impressive) (?:work|job|point|question|idea|catch)\b|\bwell done\b"
    ),
    _strategy("by the way", 0.63, r"\b(?:by the way|btw)\b"),
    _strategy("please", 0.49, r"(?<!^)(?<!\w)please\b"),
    _strategy("could you", 0.47, r"\b(?:could|would) you\b"),
    _strategy("greeting", 0.43, r"^(?:hi|hello|hey|good (?:morning|afternoon|evening)|dear)\b"),
    _strategy("apology", 0.36, r"\b(?:sorry|apologies|i apologi[sz]e|excuse me|forgive me|pardon me|my bad|oops)\b"),
    _strategy("hedge", 0.14, r"\b(?:perhaps|maybe|possibly|(?:i|we) (?:think|guess|suppose|believe|wonder)|seems?|might)\b"),
    _strategy("can you", 0.09, r"\b(?:can|will) you\b"),
    _strategy("direct question", -0.27, rf"^(?:{QUESTIONS})\b"),
    _strategy("please first", -0.30, r"^please\b"),
    _strategy("you first", -0.30, r"^(?:you|your|yours|yourself)\b"),
    _strategy("factuality", -0.38, r"\b(?:in fact|the fact is|the truth is|actually|honestly|obviously|clearly|surely)\b"),
    _strategy("direct start", -0.43, r"^(?:so|then|and|but|or)\b"),
    # the next two are not in the paper's table; an order weighs as a direct start, an insult as gratitude does, with the other sign
    _strategy("order", -0.43, rf"^(?:{ORDERS})\b"),
    _strategy(
        "insult", -0.87, r"\b(?:idiots?|stupid|dumb|morons?|fools?|foolish|losers?|shut up|useless|pathetic|nonsense|rubbish|hate you)\b"
    ),
)
SENTENCES = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+|\n+")


class Politeness(Source):
    """Score how polite a response sounds, from -1 (rude) to 1 (polite), by which strategies occur in it.

    score = tanh(sum of the weights of the strategies that occur)

    A strategy counts once, however often it occurs. Weights are the mean politeness that people heard in requests with a strategy, as
    standard scores: thanks 0.87, praise of work 0.78, "by the way" 0.63, please inside a sentence 0.49, could or would you 0.47, a
    greeting 0.43, an apology 0.36, hedges 0.14, can or will you 0.09; a question that begins with its question word -0.27, please at the
    beginning -0.30, you at the beginning -0.30, "actually" and its like -0.38, so, and or but at the beginning -0.43. Orders (-0.43) and
    insults (-0.87) are added here. `parts` holds the weights of those that were found.
    Source: Danescu-Niculescu-Mizil et al. 2013, "A computational approach to politeness with application to social factors", table 3.

    A response without any of them, the empty one too, scores 0. English only.
    Cost: about 0.1 ms for 24 words.
    Gamed by: one phrase of each kind and nothing else: "Hello, thank you, great work, sorry, could you please" scores 0.99. It knows
    nothing of irony.
    """

    low: float = -1.0
    high: float = 1.0
    unit: str = "politeness"

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the politeness of each response with the weights of what was found."""
        return [self._judged(episode.response) for episode in episodes]

    def _judged(self, response: str) -> Judgement:
        plain = SENTENCES.sub("\n", response.casefold().replace("\u2019", "'").strip())
        found = {strategy.name: strategy.weight for strategy in STRATEGIES if strategy.pattern.search(plain)}
        return Judgement(math.tanh(math.fsum(found.values())), rater="Politeness", parts=found)
