"""Write a study into a file, and read one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from feedback.study import require_people
from text_env.rendering import harmless

ExportFormat = Literal["log", "answers", "preferences", "kto", "labels", "pairs"]
ImportFormat = Literal["log", "answers", "preferences", "kto"]
PurposeName = Literal["train", "gold", "repeat"]


def export_study(
    study: str,
    format: ExportFormat,
    output: Path,
    purpose: tuple[PurposeName, ...] = (),
    who: tuple[str, ...] = (),
    since: str = "",
    good_from: int | None = None,
) -> None:
    """Write a study's log, its answers, or what learners and aggregators read.

    Args:
        study: the study's file, or its database's URL.
        format: the whole log (JSON Lines); answers (CSV); preferences or kto for TRL (JSON Lines); labels or pairs for crowd-kit (CSV).
        output: file to write. One that is there is replaced once the new one is whole.
        purpose: purposes of the questions whose answers are written: train unless others are named.
        who: handles of the people whose answers are written: everybody unless some are named.
        since: first day or time of the answers that are written, such as 2025-03-01 or 2025-03-01T12:00 (UTC).
        good_from: first step of a rating that is called good in the format kto.
    """
    require_people()
    from feedback.study.exporting import ANSWER_FORMATS, Selection, kto_lines, log_lines, write_lines
    from feedback.study.records import Purpose
    from feedback.study.store import Store

    if format == "log" and (purpose or who or since):
        raise ValueError("the format log is the whole log: leave out purpose, who and since, or choose another format")
    if good_from is not None and format != "kto":
        raise ValueError(f"good_from is for the format kto, not for {format}")
    selection = Selection(tuple(map(Purpose, purpose or ("train",))), who, since=_moment(since))
    with Store(_existing(study)) as store:
        if format == "log":
            lines = log_lines(store)
        elif format == "kto":
            lines = kto_lines(store, selection, good_from)
        else:
            lines = ANSWER_FORMATS[format](store, selection)
        size = write_lines(output, lines)
    Console(soft_wrap=True).print(Text(f"{output}: {size:,} bytes"))


def import_study(study: str, format: ImportFormat, input: Path, person: str = "") -> None:
    """Read a study's log or its answers, or preferences from elsewhere, into a study, which is made if there is none.

    Args:
        study: the study's file, or its database's URL.
        format: a log (JSON Lines) or answers (CSV) that were exported; preferences or kto of TRL (JSON Lines).
        input: file to read.
        person: in whose name preferences and kto judgements are kept: import unless another is named.
    """
    require_people()
    from feedback.study.importing import import_answers, import_log
    from feedback.study.store import Store
    from feedback.study.trl_import import import_kto, import_preferences

    if person and format in ("log", "answers"):
        raise ValueError(f"the format {format} says itself whose answers they are: leave out person")
    if not input.is_file():
        raise ValueError(f"there is no file {input}")
    with Store(study) as store:
        if format == "answers":
            with input.open(encoding="utf-8-sig", newline="") as table:
                done = import_answers(store, table)
        else:
            with input.open("rb") as lines:
                if format == "log":
                    done = import_log(store, lines)
                else:
                    done = (import_kto if format == "kto" else import_preferences)(store, lines, person or "import")
    what = "answers" if format == "answers" else "lines"
    console = Console(soft_wrap=True)
    console.print(Text(f"{study}: {done.num_lines:,} {what} read, {done.num_added:,} records added"))
    if done.cut_off:
        console.print(Text(f"the last line was not written to its end and is left out: {harmless(done.cut_off)}", "yellow"))


def _existing(study: str) -> str:
    """Return the study's place.

    Errors: ValueError for a file that is not there, which opening would make.
    """
    if "://" not in study and not Path(study).is_file():
        raise ValueError(f"there is no study {study}")
    return study


def _moment(text: str) -> float | None:
    """Return seconds since 1970 (UTC), or None for no text.

    Errors: ValueError for what is no day or time.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"since must be a day or a time such as 2025-03-01 or 2025-03-01T12:00, got {text!r}") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
