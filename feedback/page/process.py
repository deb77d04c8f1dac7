"""Serve a study by a process of its own, as its user does, and stop, kill or restart it: for tests, measurements and screenshots."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import feedback
from feedback.page.settings import PageError

SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 30.0
_ADDRESS = re.compile(r" is at (https?://\S+?:(\d+))(?=\s)")


class PageProcess:
    """Hold a page that another process serves; within `with` it runs.

    Args:
        study: the study's file.
        port: 0 = any that is free when it is first started; a restart takes the same again.
        options: of `python -m feedback serve`, such as "--speech".

    Attributes: said, errors: lines of its output and of its standard error, of all its processes. num_kills: how often it was killed.
    """

    def __init__(self, study: str | Path, port: int = 0, options: Sequence[str] = ()) -> None:
        self.study, self.port, self.options = Path(study), port, tuple(options)
        self.address = ""
        self.said: list[str] = []
        self.errors: list[str] = []
        self.num_kills = 0
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._has_address = threading.Event()

    def __enter__(self) -> PageProcess:
        """Start it."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> PageProcess:
        """Start the process, wait until it listens, and return this.

        Errors: PageError with what it said where it does not; RuntimeError where it runs already.
        """
        if self._process is not None:
            raise RuntimeError(f"the page of {self.study} is served already, at {self.address}: stop it first")
        self._has_address.clear()
        command = [sys.executable, "-m", "feedback", "serve", "--study", str(self.study), "--port", str(self.port), *self.options]
        here = str(Path(feedback.__file__).parents[1])
        path = os.pathsep.join(part for part in (here, os.environ.get("PYTHONPATH", "")) if part)
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
        )
        self._readers = [threading.Thread(target=self._read_output, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self._readers:
            reader.start()
        until = time.monotonic() + SECONDS_TO_START
        while not self._has_address.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > until:
                self._end(signal.SIGKILL)
                raise PageError(f"the page of {self.study} did not start: {''.join(self.errors)[-2000:] or 'it said nothing'}")
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> str:
        """End the process, if it runs, and return what it said since it was made."""
        if self._process is not None:
            self._end(how)
        return "".join(self.said)

    def kill(self) -> None:
        """Kill the process in the middle of whatever it does."""
        self.stop(signal.SIGKILL)
        self.num_kills += 1

    def restart(self) -> PageProcess:
        """Kill the process, and start another at the same address."""
        self.kill()
        return self.start()

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise PageError(
                f"the page of {self.study} did not stop within {SECONDS_TO_STOP:g} s after {how.name}, and was killed"
            ) from None
        finally:
            for reader in self._readers:
                reader.join()
            self._process = None

    def _read_output(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.said.append(line)
                found = _ADDRESS.search(line)
                if found is not None:
                    self.address, self.port = found[1], int(found[2])
                    self._has_address.set()

    def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        with self._process.stderr as errors:
            for line in errors:
                self.errors.append(line)
