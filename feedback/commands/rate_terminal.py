"""Let a person judge in a terminal: the same queue, the same words and the same study as the page.

It reads lines, so it works over ssh, without colour, and with its input from a file or another program.
"""

from __future__ import annotations

import getpass
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from feedback.pictures.reaction import THUMBS
from feedback.study import open_study
from feedback.study.queueing import MOST_LEFT, Mixing, Queue, Reply, Showing
from feedback.study.records import Answer, Interface, Kind, Outcome, Passage, Payload, Person, Question, RecordError
from feedback.words import WORD
from text_env.rendering import harmless, write_safely

INTERRUPTED = 130  # the shell's exit status after Ctrl-C
LETTERS = "abcdef"
RULE = "-" * 60
HELP = """  /cannot          I have looked, and cannot say
  /skip REASON     somebody else shall judge this
  /undo            take the last answer back
  /help  /quit     (so does the end of the input)
  ANSWER # WORDS   adds a comment to any answer"""
HOW = {
    Kind.BINARY: "y good, n bad; a thumb up or down does, too",
    Kind.COMPARE: "a or b is better, t equally good, n none is acceptable",
    Kind.RANK: "letters, best first, equal ones joined: b a=c (leave out what you cannot place); n none is acceptable",
    Kind.CRITIQUE: "write what is good or bad about it",
    Kind.CORRECT: r"write it as it should be (\n is a new line); . leaves it as it is",
    Kind.SPAN: "numbers of words: 3-5 good, 7 bad",
}


def rate_in_terminal(
    study: str = "study.db", name: str | None = None, wait: bool = False, seconds_to_answer: float = 1800.0, mixing: Mixing | None = None
) -> int:
    """Judge what is waiting in a study, in this terminal.

    Args:
        study: path or URL of the study.
        name: who you are; what you say is kept under this name. None = your user's name.
        wait: whether to wait for more when nothing is left, until Ctrl-C.
        seconds_to_answer: how long a question is kept for you.
        mixing: how often you are asked something whose answer is known, or that you answered before.
    """
    with open_study(study) as store:
        person = store.enrol(name or getpass.getuser())
        desk = Desk(Queue(store, seconds_to_answer, mixing), person)
        desk.say(f"You are {person.handle}. /help says what you can type.")
        try:
            desk.work(wait)
        except (EOFError, KeyboardInterrupt) as stop:
            desk.leave()
            if isinstance(stop, KeyboardInterrupt):
                return INTERRUPTED
        desk.say(f"{desk.num_answers} answers are stored in {study}.")
    return 0


@dataclass
class Desk:
    """Hold a queue and the person in front of it."""

    queue: Queue
    person: Person
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    num_answers: int = 0
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    _shown: Showing | None = None

    def work(self, wait: bool, seconds_between_looks: float = 1.0) -> None:
        """Ask until nothing is left; with `wait`, for ever.

        Errors: EOFError at the end of the input or after /quit.
        """
        has_said = False
        while True:
            self._shown = self._shown or self.queue.next_for(self.person, Interface.TERMINAL, self.session)
            if self._shown is None:
                if not wait:
                    self.say("Nothing is left to judge.")
                    return
                if not has_said:
                    self.say("Nothing to judge now; waiting for more. Ctrl-C ends.")
                has_said = True
                time.sleep(seconds_between_looks)
                continue
            has_said = False
            self._ask(self._shown)

    def leave(self) -> None:
        """Give back what was not answered."""
        if self._shown is not None:
            self.queue.give_back(self.person, self._shown.lease.id)
            self._shown = None

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self._print(Text(text, style))

    def _print(self, text: Text) -> None:
        """Print what the terminal can show; characters that its encoding lacks are shown as escapes."""
        with self.console.capture() as captured:
            self.console.print(text)
        write_safely(captured.get(), sys.stdout)

    def _ask(self, showing: Showing) -> None:
        """Show a question and read lines until one is an answer, or puts another question in its place."""
        self._show(showing)
        began = time.monotonic()
        while self._shown is showing:
            line = input("> " if sys.stdin.isatty() and sys.stdout.isatty() else "").strip()
            if not line:
                continue
            try:
                self._obey(line, showing, time.monotonic() - began)
            except RecordError as error:
                self.say(f"Not stored: {error}", "red")

    def _obey(self, line: str, showing: Showing, seconds: float) -> None:
        verb, _, rest = line.partition(" ")
        verbs: dict[str, Callable[[], None]] = {
            "/help": lambda: self.say(f"  {_how(showing.question)}\n{HELP}"),
            "/quit": _leave,
            "/undo": self._undo,
            "/cannot": lambda: self._store(showing, Reply(Outcome.ABSTAIN, seconds=seconds)),
            "/skip": lambda: self._skip(showing, rest.strip(), seconds),
        }
        if verb in verbs:
            verbs[verb]()
        elif verb.startswith("/"):
            raise RecordError(f"there is no {verb}; /help says what there is")
        else:
            said, _, comment = line.partition(" # ")
            outcome, payload = _read(said.strip(), showing)
            self._store(showing, Reply(outcome, payload, seconds=seconds, comment=comment.strip()))

    def _store(self, showing: Showing, reply: Reply) -> None:
        stored = self.queue.answer(self.person, showing.lease.id, secrets.token_hex(16), reply)
        self._shown = None
        self.num_answers += 1
        done, left, _ = self.queue.progress(self.person)
        more = f"{left} or more" if left == MOST_LEFT else str(left)
        self.say(f"Saved: {_said(stored, showing)}. {done} done, {more} left.\n", "green")

    def _skip(self, showing: Showing, reason: str, seconds: float) -> None:
        if not reason:
            raise RecordError("say why, as in /skip I do not know the language")
        self._store(showing, Reply(Outcome.SKIP, seconds=seconds, reason=reason))
        self.num_answers -= 1

    def _undo(self) -> None:
        back = self.queue.undo(self.person, secrets.token_hex(16), Interface.TERMINAL, self.session)
        if back is None:
            raise RecordError("there is no answer to take back")
        self.num_answers -= back.earlier is not None and back.earlier.outcome is not Outcome.SKIP
        self._shown = back
        self.say("Taken back.", "yellow")

    def _show(self, showing: Showing) -> None:
        question = showing.question
        self.say(RULE, "dim")
        self.say(harmless(question.instructions), "bold")
        if question.aspects:
            self.say(f"Look at: {', '.join(question.aspects)}", "dim")
        prompts = {passage.prompt for passage in showing.passages}
        for letter, passage in zip(LETTERS, showing.passages, strict=False):
            mark = f"{letter}  " if len(showing.passages) > 1 else ""
            prompt = harmless(passage.prompt) if mark == "" or len(prompts) > 1 or letter == "a" else "… "
            self._print(Text.assemble((mark, "bold"), (prompt, "dim"), (_judged(passage), "bold cyan")))
        if question.kind is Kind.SPAN:
            words = WORD.findall(showing.passages[0].text)
            self.say("  ".join(f"{number}:{harmless(word)}" for number, word in enumerate(words, 1)), "dim")
        self.say(f"({_how(question)})", "dim")


def _how(question: Question) -> str:
    """Return what can be typed."""
    if question.kind is not Kind.RATE:
        return HOW[question.kind]
    scale = question.scale
    assert scale is not None
    steps = range(scale.low, scale.high + 1)
    named = [f"{step} {scale.word(step)}".strip() for step in steps]
    return ", ".join(named) if len(named) <= 10 else f"{named[0]} to {named[-1]}"


def _judged(passage: Passage) -> str:
    """Return what a passage says, with the part that is asked about between marks where it is not all of it."""
    if passage.judged is None:
        return harmless(passage.text)
    start, end = passage.judged
    return harmless(f"{passage.text[:start]}⟦{passage.text[start:end]}⟧{passage.text[end:]}")


def _read(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    """Return what a typed line means.

    Errors: RecordError where it means nothing.
    """
    return _READERS[showing.question.kind](line, showing)


def _read_binary(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    reaction = THUMBS.reply_to_emoji(line)
    if reaction is not None:
        return reaction.outcome, reaction.payload
    if line.casefold() not in ("y", "n", "+", "-"):
        raise RecordError(f"type y for good or n for bad, not {line!r}")
    return Outcome.ANSWERED, {"good": line.casefold() in ("y", "+")}


def _read_rating(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    scale = showing.question.scale
    assert scale is not None
    try:
        return Outcome.ANSWERED, {"step": int(line)}
    except ValueError:
        raise RecordError(f"type a whole number from {scale.low} to {scale.high}, not {line!r}") from None


def _read_comparison(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    names = showing.lease.order
    meanings: dict[str, tuple[Outcome, Payload]] = {
        "a": (Outcome.ANSWERED, {"groups": [[names[0]], [names[1]]]}),
        "b": (Outcome.ANSWERED, {"groups": [[names[1]], [names[0]]]}),
        "t": (Outcome.TIE, {}),
        "n": (Outcome.ALL_BAD, {}),
    }
    if line.casefold() not in meanings:
        raise RecordError(f"type a, b, t (equally good) or n (none is acceptable), not {line!r}")
    return meanings[line.casefold()]


def _read_ranking(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    names = dict(zip(LETTERS, showing.lease.order, strict=False))
    if line.casefold() == "n":
        return Outcome.ALL_BAD, {}
    groups = [group.split("=") for group in line.casefold().replace(" =", "=").replace("= ", "=").split()]
    unknown = [letter for group in groups for letter in group if letter not in names]
    if unknown:
        raise RecordError(f"type letters from {', '.join(names)}, the best first, as in b a=c; {unknown[0]!r} is none of them")
    if len(groups) == 1 and len(groups[0]) == len(names):
        return Outcome.TIE, {}
    return Outcome.ANSWERED, {"groups": [[names[letter] for letter in group] for group in groups]}


def _read_critique(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    return Outcome.ANSWERED, {"text": line}


def _read_correction(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    before = showing.passages[0].text
    lead = before[: len(before) - len(before.lstrip())]  # a terminal loses blanks at a line's ends
    return Outcome.ANSWERED, {"text": before if line == "." else lead + line.replace("\\n", "\n")}


def _read_spans(line: str, showing: Showing) -> tuple[Outcome, Payload]:
    words = [found.span() for found in WORD.finditer(showing.passages[0].text)]
    spans = []
    for part in line.split(","):
        numbers, _, mark = part.strip().rpartition(" ")
        first, _, last = numbers.partition("-")
        if mark not in ("good", "bad") or not first.strip().isdecimal() or not (last or first).strip().isdecimal():
            raise RecordError(f"type numbers of words with good or bad, as in 3-5 good, 7 bad; got {part.strip()!r}")
        start, end = int(first), int(last or first)
        if not 1 <= start <= end <= len(words):
            raise RecordError(f"words are numbered from 1 to {len(words)}, got {numbers.strip()}")
        spans.append({"start": words[start - 1][0], "end": words[end - 1][1], "good": mark == "good"})
    return Outcome.ANSWERED, {"spans": sorted(spans, key=lambda span: span["start"])}


_READERS: dict[Kind, Callable[[str, Showing], tuple[Outcome, Payload]]] = {
    Kind.BINARY: _read_binary,
    Kind.RATE: _read_rating,
    Kind.COMPARE: _read_comparison,
    Kind.RANK: _read_ranking,
    Kind.CRITIQUE: _read_critique,
    Kind.CORRECT: _read_correction,
    Kind.SPAN: _read_spans,
}


def _said(answer: Answer, showing: Showing) -> str:
    """Return an answer in words, as an echo."""
    if answer.outcome is not Outcome.ANSWERED:
        return {Outcome.ALL_BAD: "none is acceptable", Outcome.ABSTAIN: "cannot say", Outcome.TIE: "equally good"}.get(
            answer.outcome, f"skipped, {answer.reason}"
        )
    letters = dict(zip(showing.lease.order, LETTERS, strict=False))
    payload = answer.payload
    if "groups" in payload:
        return " > ".join("=".join(letters[name] for name in group) for group in payload["groups"])
    if "good" in payload:
        return "good" if payload["good"] else "bad"
    if "step" in payload:
        assert showing.question.scale is not None
        return f"{payload['step']} {showing.question.scale.word(payload['step'])}".strip()
    if "text" in payload:
        return f"{len(payload['text'])} characters"
    return f"{len(payload['spans'])} marked"


def _leave() -> None:
    raise EOFError
