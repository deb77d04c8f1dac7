"""Clean short texts that a small language model wrote: repair what can be repaired, say why the rest is dropped.

Every step is a function of one text: a repair returns the text, a rejection returns True. `clean_text` applies them in order
and names the first reason that fails.
Left out: judging sense. A text that is grammatical nonsense stays, because no rule here can tell.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

REPLACEMENTS = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "“": '"',
        "”": '"',
        "\u2013": "-",
        "\u2014": " - ",
        "…": "...",
        "\u00a0": " ",
        "\u200b": None,
        "ß": "ss",
        "ø": "o",
        "æ": "ae",
    }
)
SENTENCE_END = re.compile(r"(?:[.!?]|\.\.\.)[\"')]*(?=\s|$)")
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|etc|[A-Z])\.$")
LIST_MARK = re.compile(r"^\s*(?:[-*•#>]+|\d{1,2}[.)])\s+", re.MULTILINE)
HEADING = re.compile(r"^\s*(?:Title|Review|Note|Summary|Answer|Story|Dialogue|Text|Rating|Fact|Sure|P\.?S\.?)\s*[:,]\s*", re.IGNORECASE)
LOWER_START = re.compile(r"(?<=[a-z]{3}\. )(?<!etc\. )[a-z]")
INLINE_TURN = re.compile(r"\b[A-Z][a-z]+:")
STAGE_DIRECTION = re.compile(r"\s*\([^()\n]{1,60}\)\s*")
TURN = re.compile(r"^([A-Z][a-z]{1,11}):\s*(.*)$")
# what leaks from the instructions that the texts were asked for with, and from the writer's habit of talking about its own text
LEAK = re.compile(
    "|".join(
        (
            r"\breview(?:s|er|ers|ed|ing)?\b|\bsentences?\b|\bparagraphs?\b|\bprompts?\b|\binstruct(?:ions?|ed)\b",
            r"\b(?:AI|SmolLM|chatbot)\b|language model|hugging ?face|\bas an? (?:assistant|helpful)",
            r"\bI(?:'ll| will| can) (?:write|provide|rewrite|create a|generate)\b|\btranslate\b",
            r"\b(?:rewrite|rephrase|rewritten|transliterate|word count)\b|markdown|punctuation|\bconcise\b|\bgrammar",
            r"\bbold\b (?:text|format\w*|mark\w*)",
            r"\bvery (?:positive|negative)\b|plain and factual|\bthe mood\b|\bthe (?:text|dialogue|tone)\b",
            r"\b(?:positive|negative|neutral|factual|disappointed|delighted) (?:tone|mood|language|words?|text|style|note|manner|way)\b",
            r"\bthe (?:above|following|given|previous) \w+|(?:does|do|did)(?: not|n't) mention|\b(?:two|three) people\b",
            r"\b(?:any|no) (?:names|lists?|titles?|dialogue)\b|\bnames? of\b.*\bnot\b|\bshort (?:story|dialogue|text)\b|not a story",
            r"\bwrite (?:a|an|the|about|your)\b|\bplease (?:provide|note|write|let me)\b",
            r"\bhere(?:'s| is) (?:a|an|the|my|your) (?:short|brief|simple|possible|revised|rewritten|version|dialogue|story|example)\b",
        )
    ),
    re.IGNORECASE,
)
DEBRIS = re.compile(
    "|".join(
        (
            r"[\[\]{}<>|\\_~^=@#*`•]|https?:|www\.|\.com\b",  # markup, addresses
            r"[a-z][A-Z]{2,}|[a-z]{2}[A-Z][a-z]|\w{21,}|\b[A-Z]{5,}\b",  # run-together or shouted words
            r"[.!?,;:]{4,}|[!?,;]{2,}|\w\(|(?<=\w)[!?;](?=\w)|\s[,.;!?](?:\s|$)",  # misplaced marks
        )
    )
)
CONTENT_WORD = re.compile(r"[a-z']+")
MIN_WORDS = {"review": 6, "story": 7, "dialogue": 8, "fact": 5}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what became of one text: `text` is the clean one, or None with the reason."""

    text: str | None
    reason: str


def to_ascii(text: str) -> str:
    """Replace typographic marks and accents by their ASCII forms; other characters stay as they are."""
    decomposed = unicodedata.normalize("NFKD", text.translate(REPLACEMENTS).replace("£", "$").replace("€", "$"))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def strip_marks(text: str) -> str:
    """Remove list marks, emphasis and headings, and keep the words."""
    text = LIST_MARK.sub("", text.replace("**", "").replace("__", ""))
    return HEADING.sub("", text).strip()


def raise_sentence_starts(text: str) -> str:
    """Give a sentence that starts in lower case after a full stop its capital."""
    return LOWER_START.sub(lambda match: match.group().upper(), text)


def first_paragraph(text: str) -> str:
    """Return the text up to its first blank line, on one line; what follows is usually a remark about the text."""
    return " ".join(re.split(r"\n\s*\n", text.strip())[0].split())


def sentences(text: str) -> list[str]:
    """Split one line into sentences; a last piece without an end mark is dropped."""
    found, start = [], 0
    for match in SENTENCE_END.finditer(text):
        piece = text[start : match.end()]
        following = text[match.end() :].lstrip()[:1]
        if ABBREVIATION.search(piece) or (following and following.islower()):
            continue
        found.append(piece.strip())
        start = match.end()
    return found


def cut_at_leak(pieces: Iterable[str]) -> list[str]:
    """Return the sentences before the first one that speaks of the text itself or of its instructions."""
    kept = []
    for piece in pieces:
        if LEAK.search(piece):
            break
        kept.append(piece)
    return kept


def close_quotes(pieces: list[str]) -> list[str]:
    """Drop sentences from the end until double quotes and brackets are balanced."""
    while pieces and not is_balanced(" ".join(pieces)):
        pieces = pieces[:-1]
    return pieces


def is_balanced(text: str) -> bool:
    """Tell whether double quotes come in pairs and every bracket is closed."""
    return text.count('"') % 2 == 0 and text.count("(") == text.count(")")


def is_repetitive(text: str) -> bool:
    """Tell whether words stutter: a word twice in a row, a sentence or a four-word run twice, or one content word in too large a share."""
    words = CONTENT_WORD.findall(text.lower())
    if any(a == b and len(a) > 1 and a not in {"had", "that"} for a, b in pairwise(words)):
        return True
    if re.search(r"\b(\w{4,})\b(?:,| and|, and| or) (?:an? |the |very |so )?\1\b", text.lower()):
        return True
    runs = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    if runs and max(runs.values()) > 1:
        return True
    content = Counter(word for word in words if len(word) > 4)
    return bool(content) and max(content.values()) > max(2, len(words) // 9)


def clean_dialogue(text: str) -> list[str]:
    """Return the turns of a dialogue, one line each, whole sentences without stage directions.

    A turn of another form, or of the speaker before, ends it.
    """
    turns: list[str] = []
    speaker = ""
    for line in re.sub(r"\n\s*\n", "\n", text.strip()).split("\n"):
        match = TURN.match(STAGE_DIRECTION.sub(" ", line).strip())
        if not match or match.group(1) == speaker or match.group(1) == "Dialogue":
            break
        speaker, speech = match.group(1), match.group(2).strip()
        if speech.startswith('"'):
            speech = speech.replace('"', "").strip()
        pieces = cut_at_leak(sentences(speech))
        if not pieces or not is_balanced(" ".join(pieces)) or INLINE_TURN.search(speech):
            break
        turns.append(f"{speaker}: {' '.join(pieces)}")
        if " ".join(pieces) != speech:
            break
    return turns


def repair_dialogue(text: str) -> Verdict:
    """Return the dialogue's turns if two speakers have one each."""
    turns = clean_dialogue(text)
    if len({turn.split(":")[0] for turn in turns}) < 2:
        return Verdict(None, "no dialogue of two speakers")
    return Verdict("\n".join(turns), "repaired")


def repair_prose(text: str) -> Verdict:
    """Return the whole sentences of the first paragraph, up to the first leak, with balanced quotes."""
    whole = sentences(first_paragraph(text))
    if not whole:
        return Verdict(None, "no full sentence")
    kept = cut_at_leak(whole)
    if not kept:
        return Verdict(None, "leaked instruction")
    kept = close_quotes(kept)
    return Verdict(" ".join(kept), "repaired") if kept else Verdict(None, "unbalanced quotes")


def clean_text(text: str, kind: str) -> Verdict:
    """Clean one text of a kind (review, story, dialogue, fact); `reason` is "kept", "repaired", or why it was dropped."""
    plain = raise_sentence_starts(strip_marks(to_ascii(text)))
    if not plain.isascii():
        return Verdict(None, "not ascii")
    verdict = repair_dialogue(plain) if kind == "dialogue" else repair_prose(plain)
    if verdict.text is None:
        return verdict
    if DEBRIS.search(verdict.text):
        return Verdict(None, "stray marks")
    if not verdict.text[0].isupper() and verdict.text[0] != '"':
        return Verdict(None, "no capital at the start")
    if len(verdict.text.split()) < MIN_WORDS[kind]:
        return Verdict(None, "too short")
    if is_repetitive(verdict.text):
        return Verdict(None, "repetitive")
    return Verdict(verdict.text, "kept") if verdict.text == text else verdict


def rare_words(texts: Iterable[str], count: int = 1) -> set[str]:
    """Return the lower-case words that occur at most `count` times in all texts together: mostly inventions of the writer."""
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(re.findall(r"(?<![\w'])[a-z][a-z'-]{3,}", text))
    return {word for word, number in seen.items() if number <= count}


def is_invented(text: str, rare: set[str]) -> bool:
    """Tell whether the text has two or more of the rare words, or one in fewer than fifteen words."""
    found = sum(word in rare for word in re.findall(r"(?<![\w'])[a-z][a-z'-]{3,}", text))
    return found >= 2 or (found == 1 and len(text.split()) < 15)
