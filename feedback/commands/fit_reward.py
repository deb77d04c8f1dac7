"""Fit a reward model to a study or an export, and report how far to trust it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.text import Text

from feedback.learned.reward_settings import RewardConfig
from text_env.rendering import harmless

if TYPE_CHECKING:
    from feedback.study.exporting import Selection

ReadName = Literal["mean", "last"]


def fit_reward(
    study: str = "study.db",
    output: Path | None = None,
    trunk: str = "tinylm",
    read: ReadName = "mean",
    who: tuple[str, ...] = (),
    json: Path | None = None,
    config: Annotated[RewardConfig, tyro.conf.arg(name="")] = RewardConfig(),  # noqa: B008  (it is frozen)
) -> None:
    """Fit a reward model to what people said, and print how far to trust it.

    Args:
        study: the study's file, its database's URL, or an exported file: its log, or preferences or kto of TRL (*.jsonl).
        output: folder to save the model in, for --feedback feedback.reward_model:RewardModel --feedback-options folder=FOLDER.
        trunk: tinylm, smollm2, a folder or a hub id of any encoder or decoder.
        read: what of a text is read, the mean over its tokens or the last one.
        who: handles of the people who are learned from: everybody unless some are named.
        json: file to write the report's figures to.
        config: how it is fitted.
    """
    from feedback.learned.evidence_sources import evidence_in
    from feedback.reward_model import RewardModel

    evidence = evidence_in(study, _only(who))
    model = RewardModel(trunk, config, read=read)
    report = model.fit(evidence)
    console = Console(soft_wrap=True, highlight=False)
    for line in report.lines():
        console.print(Text(harmless(line)))
    if output is not None:
        console.print(Text(f"saved        {model.save(output)}"))
    if json is not None:
        _write(json, report.flat())


def _only(who: tuple[str, ...]) -> Selection | None:
    """Return the answers of some people, or None for everybody's."""
    if not who:
        return None
    from feedback.study import require_people

    require_people()
    from feedback.study.exporting import Selection

    return Selection(people=who)


def _write(path: Path, figures: dict[str, dict[str, float | str | int]]) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
