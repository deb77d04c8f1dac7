"""Tell whether a critique is in English and about a text at all, so that the rules abstain where it is not."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Everyday matters: a sentence about one of them judges no text.
EVERYDAY = _words("""
    lunch dinner breakfast weather cat dog train bus weekend holiday football keyboard traffic meeting coffee sleeping bed
    shopping rain sunny
""")
# Words that are frequent in one language and are no English words. They tell that a text is not English.
FOREIGN = _words("""
    der das und nicht ist ein eine einen sehr ich aber auch für mit auf zu schlecht gut ganz leider antwort warum keine mehr
    le la les des est une très pas trop et mais pour dans avec c'est ce cette je il elle ne plus bien bon mauvais réponse
    pourquoi merci el los las es una muy pero por para con que no está esto este respuesta más bueno malo gracias de en il
    lo gli non è una molto ma per con che questo questa più bene perché grazie mi piace um uma não muito mas com isso esta
    resposta obrigado het een niet en maar ook voor met dat zeer goed slecht wel je geen dank erg van och inte är det som
    mycket bra ett på nie jest bardzo ale się to dobrze
""") - _words("no to as it is do die of or an on in so me he we by my at be the a mi con el")
ENGLISH = _words("""
    the a an and is are was were it this that of to in for with not but very i you my your on as at be so too has have had
    no good bad just than more all there would could should does did do what how why
""")
ASKING = _words("""
    what who whom whose when where which how can could would will do does did is are has have am may shall
""")
FOREIGN_SHARE = 0.1  # of all words: a name alone makes no text foreign
LATIN_END = 0x250  # the letters of the Latin alphabet, with their accents, stand before it; a few more do further on


def is_foreign(text: str, words: Sequence[str]) -> bool:
    """Return whether a text is in another language than English.

    It is if half of its letters or more are of another alphabet, or if it has more of the frequent words of eight other languages than of
    English ones and they are more than a tenth of it. Not seen: a text in another language that has none of these words ("Perfekt!").

    Args:
        words: the words of the text in lower case.
    """
    letters = [letter for letter in text if letter.isalpha()]
    if 2 * sum(_is_other_alphabet(letter) for letter in letters) >= max(len(letters), 1):
        return True
    foreign = sum(word in FOREIGN for word in words)
    return foreign > max(sum(word in ENGLISH for word in words), FOREIGN_SHARE * len(words))


def is_question(words: Sequence[str], ending: str) -> bool:
    """Return whether words that end with some signs ask for something; "why is it so bad?" does not, it blames."""
    return "?" in ending and bool(words) and words[0] in ASKING


def _is_other_alphabet(letter: str) -> bool:
    return ord(letter) >= LATIN_END and not unicodedata.name(letter, "").startswith(("LATIN", "MATHEMATICAL"))
