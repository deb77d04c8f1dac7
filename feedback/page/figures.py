"""Count how far a study's queue is, keep what was measured of its answers until more come, and lay out its curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select

from feedback.study.quality import StudyQuality, VersionOpinion, study_quality
from feedback.study.store import Store
from feedback.study.tables import log, questions

WIDTH, HEIGHT = 640, 250  # of the curve, in the units of its picture
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 12, 46  # margins
MOST_CURVES = 4  # policies in one picture
MOST_DOTS = 40  # points of one line that are marked


@dataclass(frozen=True)
class QueueFigures:
    """Hold how many questions wait for answers, have enough, ran out of time, or were closed."""

    open: int
    settled: int
    expired: int
    closed: int


def queue_figures(store: Store) -> QueueFigures:
    """Count the questions by how far they are."""
    now = store.clock()
    is_over = and_(questions.c.expires.is_not(None), questions.c.expires <= now)
    has_enough = questions.c.num_counted >= questions.c.wanted
    counts = {
        "open": select(func.count()).where(questions.c.is_open, or_(questions.c.expires.is_(None), questions.c.expires > now)),
        "settled": select(func.count()).where(has_enough),
        "expired": select(func.count()).where(questions.c.is_open, is_over),
        "closed": select(func.count()).where(questions.c.is_closed, ~has_enough),
    }
    with store.database.reading() as connection:
        return QueueFigures(**{name: int(connection.execute(count).scalar_one()) for name, count in counts.items()})


class Measured:
    """Keep what was measured of a study's answers until its log grows: measuring reads all of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._number = -1
        self._quality = StudyQuality((), (), ())

    def quality(self) -> StudyQuality:
        """Return what is measured now."""
        with self.store.database.reading() as connection:
            number = int(connection.execute(select(func.coalesce(func.max(log.c.number), 0))).scalar_one())
        if number != self._number:
            self._number, self._quality = number, study_quality(self.store)
        return self._quality


@dataclass(frozen=True)
class Point:
    """Hold one version in the picture: where it is, the ends of its standard error, and what it says."""

    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Curve:
    """Hold one line in the picture, such as a policy's."""

    name: str
    points: tuple[Point, ...]

    @property
    def line(self) -> str:
        """Return the line as SVG writes it."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)

    @property
    def has_dots(self) -> bool:
        """Say whether there is room for a dot at each point."""
        return len(self.points) <= MOST_DOTS


@dataclass(frozen=True)
class Picture:
    """Hold a picture of lines.

    Args:
        label: what it shows, in words, for whoever does not see it. caption: below it.
        axes: what the horizontal axis and the vertical one count.
        across, up: (place, word) of the marks of each axis. left, right: ends of the horizontal one.
    """

    label: str
    caption: str
    axes: tuple[str, str]
    curves: tuple[Curve, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


def picture(versions: Sequence[VersionOpinion]) -> Picture | None:
    """Lay out the mean opinion of each version, from -1 to 1, with its standard error; None for fewer than two versions of any policy."""
    by_policy: dict[str, list[VersionOpinion]] = {}
    for each in versions:
        by_policy.setdefault(each.policy, []).append(each)
    shown = {policy: of for policy, of in list(by_policy.items())[:MOST_CURVES] if len(of) > 1}
    if not shown:
        return None
    numbers = sorted({each.version for of in shown.values() for each in of})
    first, span = numbers[0], numbers[-1] - numbers[0]

    def across(version: float) -> float:
        return round(LEFT + (version - first) / span * (WIDTH - LEFT - RIGHT), 1)

    def up(value: float) -> float:
        return round(TOP + (1.0 - value) / 2.0 * (HEIGHT - TOP - BOTTOM), 1)

    def point(each: VersionOpinion) -> Point:
        error = each.error or 0.0
        words = f"version {each.version}: {each.mean:+.2f} ± {error:.2f}, {each.num_answers} answers"
        return Point(across(each.version), up(each.mean), up(max(-1.0, each.mean - error)), up(min(1.0, each.mean + error)), words)

    curves = tuple(Curve(policy, tuple(point(each) for each in of)) for policy, of in shown.items())
    step = max(1, -(-len(numbers) // 8))
    ticks = tuple((across(number), str(number)) for number in numbers[::step])
    words = "; ".join(point.words for curve in curves for point in curve.points)
    total = sum(each.num_answers for of in shown.values() for each in of)
    return Picture(
        f"Mean opinion, from -1 to 1, of what each version of the policy wrote: {words}",
        f"Mean opinion, −1 to 1, ± one standard error; {total} answers, one training.",
        ("updates of the policy", "opinion"),
        curves,
        ticks,
        tuple((up(value), f"{value:+g}" if value else "0") for value in (-1, 0, 1)),
    )
