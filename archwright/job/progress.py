"""What a person sees while a job runs: one live line on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

QUIET_GAP = 5.0  # seconds between lines where there is no terminal


class Progress:
    """Prints stages with the time since the start of the job.

    Args:
        start: `time.monotonic()` at the start.
        console: where to print; None = standard output.
        quiet: print nothing at all.
    """

    def __init__(self, start: float | None = None, console: Console | None = None, *, quiet: bool = False) -> None:
        self.start = time.monotonic() if start is None else start
        self.console = console or Console(quiet=quiet, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._title = ""
        self._last = 0.0

    @property
    def seconds(self) -> float:
        """Since the start of the job."""
        return time.monotonic() - self.start

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line that stays."""
        self.console.print(f"[{self.seconds:6.1f} s] {text}", style=style, markup=False)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Announce a stage and show its live line until it ends."""
        self.say(title, style="bold")
        self._title, self._last = title, time.monotonic()
        if not self.console.is_terminal or self.console.quiet:
            yield
            return
        with self.console.status(title) as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def update(self, text: str) -> None:
        """Replace the live line; without a terminal, print it if the last one is some seconds old."""
        if self._status is not None:
            self._status.update(f"[{self.seconds:6.1f} s] {self._title}: {text}".replace("[", "\\[", 1))
        elif time.monotonic() - self._last >= QUIET_GAP:
            self._last = time.monotonic()
            self.say(f"  {text}")
