# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The live line of a pool: how many calls are queued, starting, running, done and failed, their rate, and the rest time.

On a terminal the line is rich's, in a notebook a display that is replaced; elsewhere, as in a pipe, nothing is written.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Counts:
    """How many calls of a pool are in each state; `done` returned a value, and `failed` includes cancelled ones."""

    queued: int = 0
    starting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0

    @property
    def ended(self) -> int:
        """The number of calls that have ended."""
        return self.done + self.failed

    @property
    def total(self) -> int:
        """The number of all calls."""
        return self.queued + self.starting + self.running + self.ended


def line(name: str, counts: Counts, seconds: float) -> str:
    """Return the line of a pool whose first call started `seconds` ago."""
    states = " · ".join(
        f"{state} {number:,}" for state in ("queued", "starting", "running", "done", "failed")
        if (number := getattr(counts, state)) or state in ("running", "done")
    )  # fmt: skip
    return " · ".join(filter(None, (f"{name}: {counts.ended:,} of {counts.total:,}", states, _pace(counts, seconds))))


def _pace(counts: Counts, seconds: float) -> str:
    """Return the rate of ends, and the time that the rest takes at this rate; nothing before the first end."""
    if not counts.ended or seconds <= 0:
        return ""
    rate = counts.ended / seconds
    shown = f"{rate:,.1f}/s" if rate >= 1 else f"{rate * 60:,.1f}/min"
    left = counts.total - counts.ended
    return f"{shown} · {_duration(left / rate)} left" if left else f"{shown} · {_duration(seconds)} in all"


def _duration(seconds: float) -> str:
    """Return a duration in its two biggest units."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


class Display(Protocol):
    """A place that shows one line, which is replaced by the next one."""

    def show(self, text: str, counts: Counts) -> None:
        """Replace the line."""
        ...

    def close(self) -> None:
        """Leave the last line where it is."""
        ...


class TerminalDisplay:
    """The last line of a terminal, with a bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(BarColumn(20), text, console=Console(stderr=True), auto_refresh=False)
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def show(self, text: str, counts: Counts) -> None:
        """Replace the line."""
        self._progress.update(self._task, description=text, completed=counts.ended, total=counts.total, refresh=True)

    def close(self) -> None:
        """Leave the last line where it is."""
        self._progress.stop()


class NotebookDisplay:
    """One line of a cell's output, which is replaced in place."""

    def __init__(self) -> None:
        from IPython.display import display

        self._display = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, text: str, counts: Counts) -> None:
        """Replace the line."""
        self._display.update({"text/plain": text}, raw=True)

    def close(self) -> None:
        """Leave the last line where it is."""


def display_here() -> Display | None:
    """Return the display of this process: a notebook's, a terminal's, or None where nobody would see it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return NotebookDisplay()
    return TerminalDisplay() if sys.stderr.isatty() else None


class Progress:
    """The live line of the calls that `counts` tells, from `start` until all of them have ended."""

    def __init__(
        self, name: str, counts: Callable[[], Counts], make_display: Callable[[], Display | None] = display_here
    ) -> None:
        self._name, self._counts, self._make_display = name, counts, make_display
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()

    def start(self) -> None:
        """Show the line, if it is not shown. A thread replaces it twice a second."""
        with self._lock:
            if self._thread and self._thread.is_alive():
                return
            display = self._make_display()
            if display is None:
                return
            self._changed.clear()
            self._thread = threading.Thread(target=self._show, args=(display,), name="awsbatch-progress", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Show the line for the last time."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread:
            self._changed.set()
            thread.join()

    def _show(self, display: Display) -> None:
        started, before = time.monotonic(), self._counts()
        try:
            while not self._changed.wait(EVERY_SECONDS):
                self._show_once(display, before, started)
        finally:
            self._show_once(display, before, started)
            display.close()

    def _show_once(self, display: Display, before: Counts, started: float) -> None:
        now = self._counts()
        counts = Counts(now.queued, now.starting, now.running, now.done - before.done, now.failed - before.failed)
        display.show(line(self._name, counts, time.monotonic() - started), counts)
