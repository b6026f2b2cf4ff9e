# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The live line of a pool: how many calls are in each state, their rate, and the rest time.

On a terminal and in a notebook the line is replaced; elsewhere, as in a CI log, a line is written
once in a while.
"""

from __future__ import annotations

import html
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..jobs.description import ENDED

if TYPE_CHECKING:
    from .array_under_way import ArrayUnderWay
    from .engine import Engine

EVERY_SECONDS = 0.5
PLAIN_SECONDS = 30


@dataclass(frozen=True)
class CallCounts:
    """The numbers of calls of a pool in each state; `done` returned a value, and `failed` includes cancelled ones."""

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


def counts_of(engine: Engine) -> CallCounts:
    """Return the numbers of an engine's calls by state, as of the last look at each job.

    Within an array the open calls are shared out by the numbers of its containers in each state.
    """
    waiting, _, done, failed = engine.counts
    starting = running = queued = 0
    for array in list(engine.arrays):
        number, state = len(array.open_calls), array.job_state
        children = (state.children or {state.status: 1}) if state else {}
        live = sum(count for status, count in children.items() if status not in ENDED) or 1
        begun = round(number * children.get("RUNNING", 0) / live)
        begins = round(number * children.get("STARTING", 0) / live)
        running, starting, queued = running + begun, starting + begins, queued + number - begun - begins
    return CallCounts(waiting + queued, starting, running, done, failed)


def running_containers(array: ArrayUnderWay) -> int:
    """Return how many containers of an array run, as of the last look at its job."""
    state = array.job_state
    return (state.children or {state.status: 1}).get("RUNNING", 0) if state else 0


def pool_table(name: str, counts: CallCounts) -> str:
    """Return the counts of a pool as HTML."""
    return table([("pool", name), *((state, f"{number:,}") for state, number in vars(counts).items())])


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return rows as an HTML table."""
    body = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{body}</table>"


def line(name: str, counts: CallCounts, seconds: float) -> str:
    """Return the line of a pool whose first call started `seconds` ago."""
    states = " · ".join(
        f"{state} {number:,}" for state in ("queued", "starting", "running", "done", "failed")
        if (number := getattr(counts, state)) or state in ("running", "done")
    )  # fmt: skip
    return " · ".join(filter(None, (f"{name}: {counts.ended:,} of {counts.total:,}", states, _pace(counts, seconds))))


def _pace(counts: CallCounts, seconds: float) -> str:
    """Return the rate of ends, and the time that the rest takes at this rate; nothing before the first end."""
    if not counts.ended or seconds <= 0:
        return ""
    rate = counts.ended / seconds
    pace = f"{rate:,.1f}/s" if rate >= 1 else f"{rate * 60:,.1f}/min"
    rest = counts.total - counts.ended
    return f"{pace} · {_duration(rest / rate)} left" if rest else f"{pace} · {_duration(seconds)} in all"


def _duration(seconds: float) -> str:
    """Return a duration in its two biggest units."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


class Display(Protocol):
    """A place that shows one line, which is replaced by the next one."""

    def show(self, text: str, counts: CallCounts) -> None:
        """Replace the line."""
        ...

    def close(self) -> None:
        """Leave the last line where it is."""
        ...


class TerminalDisplay:
    """The last line of a terminal."""

    def show(self, text: str, counts: CallCounts) -> None:
        """Replace the line; what is wider than the terminal is cut off."""
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[2K{text[:width]}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the last line where it is."""
        print(file=sys.stderr, flush=True)


class NotebookDisplay:
    """One line of a cell's output, which is replaced in place."""

    def __init__(self) -> None:
        from IPython.display import display

        self._display = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def show(self, text: str, counts: CallCounts) -> None:
        """Replace the line."""
        self._display.update({"text/plain": text}, raw=True)

    def close(self) -> None:
        """Leave the last line where it is."""


class PlainDisplay:
    """Lines of a log or a pipe: one in PLAIN_SECONDS, and the last one."""

    def __init__(self) -> None:
        self._since, self._text = time.monotonic(), ""

    def show(self, text: str, counts: CallCounts) -> None:
        """Write a line if the last one is long ago."""
        self._text = text
        if time.monotonic() - self._since >= PLAIN_SECONDS:
            self._since = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Write the last line."""
        print(self._text, file=sys.stderr, flush=True)


def display_here() -> Display:
    """Return the display of this process: a notebook's, a terminal's, or lines of a log."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return NotebookDisplay()
    return TerminalDisplay() if sys.stderr.isatty() else PlainDisplay()


class Progress:
    """The live line of the calls that `counts` tells, from `start` until all of them have ended."""

    def __init__(
        self, name: str, counts: Callable[[], CallCounts], make_display: Callable[[], Display] = display_here
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

    def _show_once(self, display: Display, before: CallCounts, started: float) -> None:
        now = self._counts()
        counts = CallCounts(now.queued, now.starting, now.running, now.done - before.done, now.failed - before.failed)
        display.show(line(self._name, counts, time.monotonic() - started), counts)
