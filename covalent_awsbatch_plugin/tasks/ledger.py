# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of this user's jobs on this machine whose results are not read yet, to find them after a crash.

Each job has one file, written when it was submitted and removed when its last result was read. Before the submission,
while the job has no id, its file is named by the job's name: so a crash in between loses no job.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.files import atomic_write
from ..core.user_dirs import data_dir
from ..errors import StagingError, UnknownFormat
from .job_handle import JobHandle

log = logging.getLogger(__name__)

VERSION = 2  # an object with a version; version 1 was the list of entries alone
_UNSENT = "unsent-"


def unsent(job_name: str, submission: str) -> str:
    """Return the key of a job that may not have been submitted; its handles' `job_id` is only the part after the id.

    Another process that submits the same task by the same name has another `submission`, and so another file.
    """
    return f"{_UNSENT}{job_name}.{submission}"


@dataclass(frozen=True)
class Entry:
    """One task group of a job: where it belongs in Covalent, and its handle."""

    dispatch_id: str
    node_ids: tuple[int, ...]
    handle: JobHandle

    def to_json(self) -> dict[str, Any]:
        """Return the entry as the ledger's file has it."""
        return {"dispatch_id": self.dispatch_id, "node_ids": self.node_ids, "handle": self.handle.to_json()}

    @classmethod
    def from_json(cls, body: Any) -> Entry:
        """Return the entry of a JSON body. Raises UnknownFormat, KeyError or TypeError for another body."""
        dispatch_id, node_ids, handle = (
            body["dispatch_id"],
            tuple(body["node_ids"]),
            JobHandle.from_json(body["handle"]),
        )
        if type(dispatch_id) is not str or handle is None or any(type(node) is not int for node in node_ids):
            raise TypeError(body)
        return cls(dispatch_id, node_ids, handle)


@dataclass(frozen=True)
class LedgerRecord:
    """The content of one job's file: its key, the time of writing (Unix seconds), and its task groups."""

    key: str
    since: float
    entries: tuple[Entry, ...]

    @property
    def unsent_name(self) -> str | None:
        """The job's name where it may not have been submitted, else None: then `key` is its id."""
        name, _, _ = self.key.removeprefix(_UNSENT).partition(".")  # job names have no dots
        return name if self.key.startswith(_UNSENT) else None


class Ledger:
    """The ledger in a folder, by default one in the user's data folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or data_dir() / "jobs"
        self._ours: set[str] = set()  # names of files
        self._read: set[str] = set()
        self._by_task: dict[tuple[str, tuple[int, ...]], list[tuple[LedgerRecord, Entry]]] = {}
        self._lock = threading.Lock()

    def note(self, job_id: str, entries: Sequence[Entry], *, ours: bool = True) -> None:
        """Write a job's file. `ours`: this process reads the job's results. Raises StagingError."""
        path = self._folder / f"{job_id}.json"
        if ours:
            self._ours.add(path.name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            content = {"version": VERSION, "entries": [entry.to_json() for entry in entries]}
            atomic_write(path, json.dumps(content))
        except OSError as error:
            raise StagingError(f"The file {path} can't be written: {error.strerror}.") from error

    def forget(self, job_id: str) -> None:
        """Remove a job's file. If that fails, `collect` only looks at the job once more."""
        with contextlib.suppress(OSError):
            (self._folder / f"{job_id}.json").unlink()
            self._ours.discard(f"{job_id}.json")

    def jobs(self) -> Iterator[LedgerRecord]:
        """Return the jobs that were submitted and not read, oldest first."""
        return (record for record in self._records() if record.unsent_name is None)

    def unsettled(self) -> Iterator[LedgerRecord]:
        """Return the jobs that may not have been submitted: most were interrupted by a crash, some are under way."""
        return (record for record in self._records() if record.unsent_name is not None)

    def of_task(self, dispatch_id: str, node_ids: tuple[int, ...]) -> list[tuple[LedgerRecord, Entry]]:
        """Return the unread jobs of other processes for this task group, newest first, with the group's entry.

        Each file is read once: this method may be called for each task of an array.
        """
        with self._lock:
            there = {path.name: path for path in self._folder.glob("*.json")}
            if missing := self._read - there.keys():
                self._forget_read(missing)
            for name in there.keys() - self._ours - self._read:
                self._index(there[name])
            pairs = self._by_task.get((dispatch_id, node_ids), [])
            pairs = [each for each in pairs if (self._folder / f"{each[0].key}.json").exists()]
        return sorted(pairs, key=lambda each: -each[0].since)

    def _forget_read(self, names: set[str]) -> None:
        """Forget files that are gone, and their task groups."""
        self._read -= names
        for task, pairs in list(self._by_task.items()):
            self._by_task[task] = [each for each in pairs if f"{each[0].key}.json" not in names]
            if not self._by_task[task]:
                del self._by_task[task]

    def _index(self, path: Path) -> None:
        self._read.add(path.name)
        record = _record(path)
        if record is None:
            return
        for entry in record.entries:
            self._by_task.setdefault((entry.dispatch_id, entry.node_ids), []).append((record, entry))

    def _records(self) -> list[LedgerRecord]:
        records = (_record(path) for path in self._folder.glob("*.json"))
        return sorted((record for record in records if record), key=lambda record: record.since)


def _record(path: Path) -> LedgerRecord | None:
    """Return the record of a file, or None for a file that is gone or invalid; the latter is logged once a process.

    A file's time in the future counts as now: the clock was set back since.
    """
    try:
        status, now = path.stat(), time.time()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        since = status.st_mtime
        if since > now:
            since = now
            os.utime(path, (now, now))  # so that it ages from now on
        entries = tuple(Entry.from_json(body) for body in _bodies(json.loads(path.read_bytes())))
        if not entries:
            raise ValueError("it has no entries")
        return LedgerRecord(path.stem, since, entries)
    except FileNotFoundError:  # another process read its result just now
        return None
    except UnknownFormat as error:
        _warn_once(f"The ledger's file {path} is left out: {error}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _warn_once(
            f"The ledger's file {path} is left out, because it can't be read: {error!r:.200}. Delete it if no job of "
            "yours waits to be collected."
        )
    return None


def _bodies(content: Any) -> list[Any]:
    """Return the entries of a file's content. Raises TypeError, or UnknownFormat for a later version."""
    if isinstance(content, list):
        return content
    version = content["version"]
    if version != VERSION:
        raise UnknownFormat(
            f"It has format {version!r:.20}, and this covalent-awsbatch-plugin reads formats 1 and {VERSION}.",
            advice="Use the version of covalent-awsbatch-plugin that wrote it to collect its results.",
        )
    return list(content["entries"])


@functools.lru_cache(maxsize=1024)
def _warn_once(text: str) -> None:
    log.warning(text)
