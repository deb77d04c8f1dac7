"""Turn words into an answer: exactly one of the phrases that the question offers, heard with enough confidence, or no answer at all.

"Very good" is no answer to "which is better", and what was hardly heard is none to anything: neither becomes a label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from feedback.speech.recogniser import Heard
from feedback.speech.spoken_commands import UNDO, commands_for
from feedback.study.payloads import check_payload
from feedback.study.queueing import Reply, Showing
from feedback.study.records import Kind, Outcome, Payload, RecordError

LEAST_CONFIDENCE = 0.94  # chosen by `python -m feedback.speech`: on the voices that set it, at most 1 in 50 that pass is wrong
SPOKEN_SKIP = "skipped by voice"


def understand(heard: Heard, showing: Showing, least_confidence: float = LEAST_CONFIDENCE) -> Reply | None:
    """Return what was said as an answer to what is shown, with its confidence; None where that is not sure.

    A recogniser without a confidence is believed no further than its words: they must be a phrase, and are confirmed like all others.
    None also for "undo", which is no answer; see `is_undo`.
    """
    meaning = meaning_of(heard, showing, least_confidence)
    if meaning is None or meaning == UNDO:
        return None
    outcome, payload = _said(meaning, heard, showing)
    reason = SPOKEN_SKIP if outcome is Outcome.SKIP else ""
    try:
        check_payload(showing.question, outcome, payload, {passage.id: passage for passage in showing.passages})
    except RecordError:
        return None
    return Reply(outcome, payload, confidence=heard.confidence, reason=reason)


def is_undo(heard: Heard, showing: Showing, least_confidence: float = LEAST_CONFIDENCE) -> bool:
    """Say whether the last answer is to be taken back."""
    return meaning_of(heard, showing, least_confidence) == UNDO


def meaning_of(heard: Heard, showing: Showing, least_confidence: float = LEAST_CONFIDENCE) -> str | None:
    """Return what was meant, as `commands_for` names it, or "send" for a critique; None where it is not sure."""
    if not heard.text.strip():
        return None
    if showing.question.kind is Kind.CRITIQUE:
        return "send"
    commands = commands_for(showing.question)
    if commands is None or (heard.confidence is not None and heard.confidence < least_confidence):
        return None
    return commands.meaning(heard.text)


def _said(meaning: str, heard: Heard, showing: Showing) -> tuple[Outcome, Payload]:
    if meaning in ("tie", "all_bad", "abstain", "skip"):
        return Outcome(meaning), {}
    kind = showing.question.kind
    if kind is Kind.CRITIQUE:
        return Outcome.ANSWERED, {"text": heard.text}
    if kind is Kind.BINARY:
        return Outcome.ANSWERED, {"good": meaning == "good"}
    if kind is Kind.RATE:
        return Outcome.ANSWERED, {"step": int(meaning)}
    first, second = showing.lease.order
    return Outcome.ANSWERED, {"groups": [[first], [second]] if meaning == "a" else [[second], [first]]}


def echo(reply: Reply, showing: Showing) -> str:
    """Return in words what would be stored, to be said back."""
    words = {
        Outcome.TIE: "equally good",
        Outcome.ALL_BAD: "none is good",
        Outcome.ABSTAIN: "cannot say",
        Outcome.SKIP: "skip this question",
    }
    if reply.outcome is not Outcome.ANSWERED:
        return words[reply.outcome]
    payload = reply.payload
    if "good" in payload:
        return "good" if payload["good"] else "bad"
    if "step" in payload:
        scale = showing.question.scale
        assert scale is not None
        return ", ".join(part for part in (f"rating {payload['step']}", scale.word(payload["step"])) if part)
    if "text" in payload:
        return str(payload["text"])
    return "the first is better (A)" if payload["groups"][0] == [showing.lease.order[0]] else "the second is better (B)"


@dataclass(frozen=True)
class Understood:
    """Hold what a recording came to, before anybody confirmed it.

    Args:
        reply: the answer, without time and artefact; None = not understood, or undo. echo: in words.
    """

    heard: Heard
    reply: Reply | None
    is_undo: bool
    echo: str

    @classmethod
    def of(cls, heard: Heard, showing: Showing, least_confidence: float = LEAST_CONFIDENCE) -> Understood:
        """Understand what was heard."""
        reply = understand(heard, showing, least_confidence)
        takes_back = is_undo(heard, showing, least_confidence)
        return cls(heard, reply, takes_back, "take the last answer back" if takes_back else "" if reply is None else echo(reply, showing))

    def kept_as(self, artefact: str) -> Understood:
        """Return the same with the name of the kept recording."""
        return self if self.reply is None else replace(self, reply=replace(self.reply, artefact=artefact))
