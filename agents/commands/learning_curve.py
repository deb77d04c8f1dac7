"""Draw how score and KL went over a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw_learning_curve(path: Path, metrics: Sequence[dict[str, Any]], held_out: Sequence[tuple[int, float, float]], title: str) -> Path:
    """Draw a PNG with two panels: mean score and KL to the reference, over updates.

    Args:
        path: where to.
        metrics: one dictionary per update, with "update", "score" and "kl_nats_per_response"; those without a score are left out. Each
            was measured on responses written before its update.
        held_out: (updates done, score, KL) of each evaluation.
        title: above both.

    Returns: the path.
    """
    scored = [line for line in metrics if "score" in line and line["update"] > 0]
    updates = [line["update"] - 1 for line in scored]
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = (("score", "mean score", 1), ("kl_nats_per_response", "KL to the reference (nats a response)", 2))
    for axes, (name, label, column) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.plot(updates, [line[name] for line in scored], label="training responses")
        axes.plot([point[0] for point in held_out], [point[column] for point in held_out], "o", label="held-out responses")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("updates done")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
