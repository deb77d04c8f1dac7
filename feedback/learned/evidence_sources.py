"""Read evidence from a study, or from a file in one of the formats that a study is exported in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from feedback.encoding.critique_rules import CritiqueRules
from feedback.encoding.encoded import Encoded
from feedback.learned.evidence import Evidence, Gathering
from feedback.study import open_study, require_people
from feedback.study.json_lines import Reading, object_of, strict_json
from feedback.study.records import OPINIONS, Kind, Outcome, Passage

if TYPE_CHECKING:
    from feedback.encoding.answers import Critic
    from feedback.study.exporting import Said, Selection
    from feedback.study.store import Store

PREFERENCE: dict[str, type] = {"prompt": str, "chosen": str, "rejected": str}
LABEL: dict[str, type] = {"prompt": str, "completion": str, "label": bool}


def evidence_of(store: Store, selection: Selection | None = None, critic: Critic | None = None, num_answers: int | None = None) -> Evidence:
    """Return what the answers of a study say.

    compare    one comparison; a tie has the target 0.5; both bad: two ratings of -1, never a tie
    rank       one ranking; all bad: a rating of -1 for each
    correct    the corrected text is preferred to the original
    the rest   a rating, the value that `feedback.encoding.answers` gives it

    Weights are the confidences that people state, 1 where they state none. Skips, abstentions, timeouts and errors, answers that were
    superseded or taken back, and critiques without a verdict are left out, and counted.

    Args:
        selection: which answers; None = all of questions for training.
        critic: makes a number of a critique; None = `CritiqueRules`.
        num_answers: of the selection, the first ones; None = all. Those that were revised since are superseded all the same.
    """
    from feedback.study.exporting import Selection, chosen

    reads, gathering = critic or CritiqueRules(), Gathering()
    for said in islice(chosen(store, selection or Selection()), num_answers):
        outcome = said.answer.outcome
        if not said.is_current:
            gathering.left_out["withdrawn" if outcome is Outcome.WITHDRAWN else "superseded"] += 1
        elif outcome not in OPINIONS:
            gathering.left_out[str(outcome)] += 1
        elif said.answer.confidence == 0:
            gathering.left_out["without confidence"] += 1
        else:
            _gather(gathering, said, reads)
    return gathering.evidence()


def evidence_in(source: str | Path, selection: Selection | None = None) -> Evidence:
    """Return the evidence of a study (a path or URL), or of an exported file (*.jsonl: a log, preferences or kto).

    Errors: ValueError for what is not there, what is neither, and for a line that is not as its file's first one.
    """
    path = Path(source)
    if "://" not in str(source) and not path.is_file():
        raise ValueError(f"there is no study and no export {source}")
    if path.suffix != ".jsonl":
        require_people()
        with open_study(source) as store:
            return evidence_of(store, selection)
    with path.open("rb") as lines:
        first = lines.readline()
        lines.seek(0)
        found = strict_json(first) if first.strip() else {}
        fields = set(found) if isinstance(found, dict) else set()
        if fields == {"number", "at", "record", "id", "body"}:
            return _of_log(lines, selection)
        if selection is not None:
            raise ValueError(f"{source} does not say whose answers it holds, so that none can be selected: export the study's log")
        for expected in (PREFERENCE, LABEL):
            if fields == set(expected):
                return _of_lines(lines, expected)
    got = ", ".join(sorted(map(str, fields))) or "nothing"
    formats = "objects with prompt, chosen, rejected, or with prompt, completion, label, or a study's log"
    raise ValueError(f"the lines of {source} must be {formats}; got {got}")


def _of_log(lines: Iterable[bytes], selection: Selection | None) -> Evidence:
    require_people()
    from feedback.study.importing import import_log

    with tempfile.TemporaryDirectory(prefix="textgen-evidence-") as folder, open_study(Path(folder) / "study.db") as store:
        import_log(store, lines)
        return evidence_of(store, selection)


def _of_lines(lines: Iterable[bytes], fields: dict[str, type]) -> Evidence:
    gathering = Gathering()
    for _, found in Reading().each(lines, lambda line, _: object_of(line, dict(fields))):
        prompt = found["prompt"]
        if fields is PREFERENCE:
            gathering.compare(Passage(prompt, found["chosen"]), Passage(prompt, found["rejected"]), 1.0, "import")
        else:
            gathering.rate(Passage(prompt, found["completion"]), 1.0 if found["label"] else -1.0, "import")
    return gathering.evidence()


def _gather(gathering: Gathering, said: Said, critic: Critic) -> None:
    answer, question, who = said.answer, said.question, said.handle
    weight = 1.0 if answer.confidence is None else answer.confidence
    by_id = dict(zip(question.passages, said.passages, strict=True))
    if question.kind in (Kind.COMPARE, Kind.RANK) and answer.outcome is not Outcome.ALL_BAD:
        groups = [list(question.passages)] if answer.outcome is Outcome.TIE else answer.payload["groups"]
        if sum(map(len, groups)) < 2:
            gathering.left_out["nothing ranked"] += 1
        elif question.kind is Kind.RANK:
            gathering.rank([[by_id[name] for name in group] for group in groups], who, answer.given, weight)
        else:
            one, other = (name for group in groups for name in group)
            gathering.compare(by_id[one], by_id[other], 0.5 if len(groups) == 1 else 1.0, who, answer.given, weight, _shown(said, one))
    elif question.kind is Kind.CORRECT:
        (wrong,) = said.passages
        gathering.compare(Passage(wrong.prompt, answer.payload["text"]), wrong, 1.0, who, answer.given, weight)
    else:
        for name, encoded in _encoded(said, critic).items():
            if encoded.value is None or not encoded.confidence > 0:
                gathering.left_out["critique without a verdict"] += 1
            else:
                gathering.rate(by_id[name], encoded.value, who, answer.given, encoded.confidence)


def _encoded(said: Said, critic: Critic) -> dict[str, Encoded]:
    from feedback.encoding.answers import encode_answer

    return encode_answer(said.question, said.answer, dict(zip(said.question.passages, said.passages, strict=True)), critic)


def _shown(said: Said, first: str) -> int:
    """Return 1 where a passage was shown first, -1 where it was not, 0 where it is not known."""
    return 0 if said.lease is None else 1 if said.lease.order[0] == first else -1
