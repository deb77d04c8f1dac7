"""Share work out among processes of one thread each: nothing before what it needs, and nothing new after the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from benchmarks.arena.ledger import Row
from benchmarks.arena.recorded_run import Work, failed_row, record
from benchmarks.worker_processes import one_thread_workers

Running = dict[Future[Row], Work]


def do_all(works: Sequence[Work], num_workers: int, tell: Callable[[Work, Row], None], max_seconds: float | None = None) -> int:
    """Do the work in its order, but for what has to wait; return how much was not begun.

    A process that dies takes down its pool, and what the others were doing with it. Each of these is then done alone, so that the one which
    kills its process is known, and fails.

    Args:
        num_workers: processes at a time; it has no effect on what comes out.
        tell: called with each row as it comes.
        max_seconds: after which nothing is begun; what was begun is finished.
    """
    began = time.monotonic()
    waiting, running = list(works), dict[Future[Row], Work]()
    pool = one_thread_workers(num_workers)
    try:
        while True:
            if max_seconds is None or time.monotonic() - began < max_seconds:
                _fill(pool, waiting, running, num_workers)
            if not running:
                return len(waiting)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                suspects, running = list(running.values()), {}
                pool.shutdown()
                for work in suspects:
                    tell(work, _alone(work))
                pool = one_thread_workers(num_workers)
                continue
            for future in done:
                work = running.pop(future)
                tell(work, future.result())
    finally:
        pool.shutdown(cancel_futures=True)


def _fill(pool: ProcessPoolExecutor, waiting: list[Work], running: Running, num_workers: int) -> None:
    """Begin work until every process has some, or all that waits needs something first."""
    while len(running) < num_workers:
        unfinished = {work.key for work in (*waiting, *running.values())}
        ready = next((work for work in waiting if work.needs not in unfinished), None)
        if ready is None:
            return
        waiting.remove(ready)
        running[pool.submit(record, ready)] = ready


def _alone(work: Work) -> Row:
    """Do work in a process of its own."""
    with one_thread_workers(1) as pool:
        try:
            return pool.submit(record, work).result()
        except BrokenProcessPool as error:
            problem = RuntimeError("its process ended without a word, twice: the system may have stopped it for want of memory")
            problem.__cause__ = error
            return failed_row(work, problem)
