"""How far a long command is: a bar on a terminal, a line every ten seconds in a pipe."""

from __future__ import annotations

import datetime
import sys
import threading
import time
from collections.abc import Callable

from patcher.cli import outputs
from verify.outcome import Case

EVERY = 10.0
"""Seconds between two lines in a pipe."""


def say(line: str) -> None:
    """A line of what is going on, on stderr."""
    print(line, file=sys.stderr, flush=True)


class Stopwatch:
    """When a command began, and how long ago that is."""

    def __init__(self) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        self.started = now.isoformat(timespec="seconds")
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


class Progress:
    """Counts steps of `total` (None: unknown) on stderr, with elapsed and remaining time."""

    def __init__(
        self,
        doing: str,
        total: int | None,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doing, self._total = doing, total
        self._every, self._clock = every, clock
        self._done = self._bad = 0
        self._at = ""
        self._over = threading.Event()
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar
        from rich.table import Column

        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._began = self._clock()
        self._bar = Bar(
            MofNCompleteColumn(),
            BarColumn(bar_width=12),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}", markup=False, table_column=rest),
            console=Console(stderr=True),
            expand=True,
            transient=True,
            disable=not self._shown,
        )
        self._task = self._bar.add_task(self._doing, total=self._total)
        self._lines = threading.Thread(target=self._say, daemon=True)
        if self._shown:
            self._bar.start()
        else:
            self._lines.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._shown:
            self._bar.stop()
        else:
            self._lines.join()

    def __call__(self, case: Case) -> None:
        """One case more is through."""
        self._bad += case.failed
        bad = f", {self._bad} bad" if self._bad else ""
        self.step(self._done + 1, f"{case.place}{bad}")

    def step(self, done: int, at: str) -> None:
        """So many are through by now; `at` says where that is."""
        self._done, self._at = done, at
        self._bar.update(self._task, completed=done, description=at)

    def line(self) -> str:
        """What a pipe gets: how many of how many, for how long, how long yet, where."""
        elapsed = self._clock() - self._began
        of = f" of {self._total}" if self._total is not None else ""
        parts = [f"{self._doing}: {self._done}{of}", _clock_time(elapsed)]
        if self._total and 0 < self._done < self._total:
            left = elapsed / self._done * (self._total - self._done)
            parts.append(f"about {_clock_time(left)} left")
        return ", ".join([*parts, *([self._at] if self._at else [])])

    def _say(self) -> None:
        while not self._over.wait(self._every):
            outputs.complain(self.line())


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
