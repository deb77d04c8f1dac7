"""Start processes that compute with one thread each: two of two threads on two cores take several times as long."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def one_thread_workers(number: int) -> ProcessPoolExecutor:
    """Return a pool of processes of one thread each, in which the environments are registered.

    They end with the process that started them, however it ends: one that is killed leaves nobody computing behind.
    What they run must be importable: a package's `__main__` is not. They are spawned: a forked process would inherit the threads' locks.
    """
    return ProcessPoolExecutor(number, multiprocessing.get_context("spawn"), initializer=_prepare)


def _prepare() -> None:
    import torch

    import text_env  # noqa: F401  (registers the environments)

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
