"""Show who agrees with whom in a study."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from feedback.study import open_study
from feedback.study.quality import figure, remark, study_quality
from text_env.rendering import harmless


def show_agreement(study: str = "study.db") -> int:
    """Print two tables: how far people agree on each kind of question, and how good each person's answers are."""
    with open_study(study) as store:
        quality = study_quality(store)
    console = Console()
    if not any(person.num_answers for person in quality.people):
        console.print(Text(f"nobody has answered anything in {study} yet"))
        return 1
    kinds = Table("kind", "Krippendorff's alpha", "level", "judged by two or more", box=None, pad_edge=False)
    for kind in quality.kinds:
        kinds.add_row(str(kind.kind), figure(kind.alpha), kind.level, str(kind.num_units))
    console.print(kinds if quality.kinds else Text("no question was answered by two people: agreement cannot be told"))
    console.print()
    people = Table("person", "answers", "skips", "an hour", "known answers met", "same when repeated", "with the others", "", box=None)
    for person in quality.people:
        people.add_row(
            Text(harmless(person.handle)),
            str(person.num_answers),
            str(person.num_skips),
            "" if person.per_hour is None else f"{person.per_hour:.0f}",
            figure(person.gold),
            figure(person.retest),
            figure(person.with_others),
            Text(remark(person), "yellow"),
        )
    console.print(people)
    return 0
