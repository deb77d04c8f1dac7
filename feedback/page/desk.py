"""Hold what every screen works with."""

from __future__ import annotations

from dataclasses import dataclass

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
