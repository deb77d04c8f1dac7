"""Hold what every screen works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from feedback.page.figures import Measured
from feedback.page.settings import Settings
from feedback.study.access import Access
from feedback.study.queueing import Queue
from feedback.study.store import Store


@dataclass(frozen=True)
class Desk:
    """Hold one study that is being served."""

    store: Store
    queue: Queue
    access: Access
    settings: Settings

    @cached_property
    def measured(self) -> Measured:
        """Return what measures the study's answers."""
        return Measured(self.store)
