"""Hold what every screen works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from feedback.page.figures import Measured
from feedback.page.run_metrics import RunFolder
from feedback.page.settings import Settings
from feedback.study.access import Access
from feedback.study.queueing import Queue
from feedback.study.store import Store

if TYPE_CHECKING:
    from feedback.page.hearing import Hearing
    from feedback.page.sight import Sight


@dataclass(frozen=True)
class Desk:
    """Hold one study that is being served.

    Args:
        hearing: None where answers are not spoken. sight: None where there are no reactions. run: None where no training is shown.
    """

    store: Store
    queue: Queue
    access: Access
    settings: Settings
    hearing: Hearing | None = None
    sight: Sight | None = None
    run: RunFolder | None = None

    @cached_property
    def measured(self) -> Measured:
        """Return what measures the study's answers."""
        return Measured(self.store)
