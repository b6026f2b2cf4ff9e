# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The writer of event files: appends from a thread of its own, within bounds, and never fails or delays a task."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Unpack

from .events import Event, Figures, Kind, event_files, events_folder, merged

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MAX_FILE_BYTES = 64 * MIB  # a dispatch has two files at most, the newer and the older half of its events
MAX_FOLDER_BYTES = 1024 * MIB
MAX_AGE_DAYS = 90
MAX_WAITING = 200_000  # events in memory while the disk does not answer; more are dropped
_TIDY_SECONDS = 3600.0


class EventLog:
    """Records events, each batch of them by one write; processes may record events of one dispatch at once.

    A line is torn at most by a crash or a full disk, and spoils no other line: each write starts a new line. Events
    that can't be written are dropped, and the first such error of a process is logged. `clock` returns Unix seconds.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_folder_bytes: int = MAX_FOLDER_BYTES,
        max_age_days: float = MAX_AGE_DAYS,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._max_file_bytes, self._max_folder_bytes = max_file_bytes, max_folder_bytes
        self._max_age_s = max_age_days * 24 * 3600
        self._tidied = float("-inf")
        self._lock = threading.Lock()
        self._waiting: list[Event] = []
        self._scheduled = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="awsbatch-events")

    def record(
        self,
        kind: Kind,
        dispatch_id: str,
        node_ids: Sequence[int],
        *,
        at: float | None = None,
        **figures: Unpack[Figures],
    ) -> None:
        """Record one change of state of some tasks, at Unix time `at` or now. Returns at once; never raises."""
        event = Event(kind, self._clock() if at is None else at, dispatch_id, tuple(node_ids), figures)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return
            self._waiting.append(event)
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._thread.submit(self._write_waiting)
        except RuntimeError:  # closed, or Python ends
            self._write_waiting()

    def flush(self) -> None:
        """Wait until everything that was recorded is written or dropped."""
        with contextlib.suppress(RuntimeError):
            self._thread.submit(lambda: None).result()

    def close(self) -> None:
        """Write what is left, and end the thread. Later events are written by whoever records them."""
        self._thread.shutdown(wait=True)

    def _write_waiting(self) -> None:
        while True:
            with self._lock:
                events, self._waiting = self._waiting, []
                if not events:
                    self._scheduled = False
                    return
            try:
                self._write(events)
            except Exception as error:  # noqa: BLE001 - a record is no reason to fail a task
                _warn_once(f"Events of tasks can't be recorded in {self._folder or events_folder()}: {error}")

    def _write(self, events: Sequence[Event]) -> None:
        folder = self._folder or events_folder()
        self._tidy(folder)
        by_dispatch: dict[str, list[Event]] = {}
        for event in events:
            by_dispatch.setdefault(event.dispatch_id, []).append(event)
        for dispatch_id, of_dispatch in by_dispatch.items():
            lines = [event.to_line() for event in merged(of_dispatch)]
            self._append(*event_files(folder, dispatch_id), b"\n" + b"\n".join(lines) + b"\n")

    def _append(self, path: Path, before: Path, data: bytes) -> None:
        """Append by one write, to a new file where the present one would be too big. Raises OSError."""
        with _opened(path) as file:
            size = os.fstat(file).st_size
            if not size or size + len(data) <= self._max_file_bytes or not _rotate(file, path, before):
                return _write_all(file, data)
        with _opened(path) as file:
            return _write_all(file, data)

    def _tidy(self, folder: Path) -> None:
        """Make the folder private, and once an hour remove files that are old, then the oldest of too many bytes."""
        now = self._clock()
        if now - self._tidied < _TIDY_SECONDS and folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self._tidied = now
        stats = [(path, path.stat()) for path in folder.glob("*.jsonl")]
        room = self._max_folder_bytes
        for path, stat in sorted(stats, key=lambda each: -each[1].st_mtime):
            room -= stat.st_size
            if room < 0 or stat.st_mtime < now - self._max_age_s:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):
        raise OSError(f"the disk took only a part of {len(data)} bytes")


def _rotate(file: int, path: Path, before: Path) -> bool:
    """Put the full file into the place of the older one. False where another process does so at this moment."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(file)):  # else another process has just done so
            os.replace(path, before)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(folder)


@functools.cache
def _warn_once(text: str) -> None:
    log.warning(text)
