# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The jobs of this user on this machine that nobody has read yet: what finds their results after a crash.

One file a job, written when it was submitted and removed when its last result was read. Before a job is submitted, when
it has no id yet, its file goes by its name: so that a crash in between loses nothing either.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.files import atomic_write
from ..core.user_dirs import data_dir
from ..errors import StagingError

_UNSENT = "unsent-"


def unsent(job_name: str, submission: str) -> str:
    """By what a job goes that may not have been submitted. In its entries' handles `job_id` is only what follows it.

    Another process that submits the same task, by the same name, has another `submission`, and a file of its own.
    """
    return f"{_UNSENT}{job_name}.{submission}"


@dataclass(frozen=True)
class Entry:
    """One task group of a job: where it belongs in Covalent, and its handle."""

    dispatch_id: str
    node_ids: tuple[int, ...]
    handle: dict[str, Any]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Entry:
        return cls(body["dispatch_id"], tuple(body["node_ids"]), body["handle"])


@dataclass(frozen=True)
class LedgerRecord:
    """One job's file: by what the job goes, since when (Unix time), and its task groups."""

    key: str
    since: float
    entries: tuple[Entry, ...]

    @property
    def unsent_name(self) -> str | None:
        """The job's name where it may not have been submitted, else None: then `key` is its id."""
        name, _, _ = self.key.removeprefix(_UNSENT).partition(".")  # job names have no dots
        return name if self.key.startswith(_UNSENT) else None


class Ledger:
    """A folder in the user's data folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or data_dir() / "jobs"
        self._ours: set[str] = set()  # names of files
        self._read: set[str] = set()
        self._left: dict[tuple[str, tuple[int, ...]], list[tuple[LedgerRecord, Entry]]] = {}
        self._lock = threading.Lock()

    def note(self, job_id: str, entries: Sequence[Entry], *, ours: bool = True) -> None:
        """Raises StagingError when the folder can't be written. `ours`: this process looks after the job."""
        path = self._folder / f"{job_id}.json"
        if ours:
            self._ours.add(path.name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write(path, json.dumps([asdict(entry) for entry in entries]))
        except OSError as error:
            raise StagingError(f"The file {path} can't be written: {error.strerror}.") from error

    def forget(self, job_id: str) -> None:
        """The job was read, or never will be. An entry that stays makes `collect` look once more, no worse."""
        with contextlib.suppress(OSError):
            (self._folder / f"{job_id}.json").unlink()

    def jobs(self) -> Iterator[LedgerRecord]:
        """Every job that was submitted and not read, oldest first."""
        return (_noted(path, since) for path, since in self._files() if not path.stem.startswith(_UNSENT))

    def perhaps_sent(self) -> Iterator[LedgerRecord]:
        """Jobs that were about to be submitted: most of a crash, some of now."""
        return (_noted(path, since) for path, since in self._files() if path.stem.startswith(_UNSENT))

    def left(self, dispatch_id: str, node_ids: tuple[int, ...]) -> list[tuple[LedgerRecord, Entry]]:
        """The jobs of this very task group that are another process's and were not read, newest first, and its entry.

        Each file is read once: of an array, all tasks may be asked for one by one.
        """
        with self._lock:
            for path in [each for each in self._folder.glob("*.json") if each.name not in self._ours | self._read]:
                self._index(path)
            found = self._left.get((dispatch_id, node_ids), [])
            there = [each for each in found if (self._folder / f"{each[0].key}.json").exists()]
        return sorted(there, key=lambda each: -each[0].since)

    def _index(self, path: Path) -> None:
        self._read.add(path.name)
        with contextlib.suppress(FileNotFoundError):  # read by somebody else just now
            noted = _noted(path, path.stat().st_mtime)
            for entry in noted.entries:
                self._left.setdefault((entry.dispatch_id, entry.node_ids), []).append((noted, entry))

    def _files(self) -> list[tuple[Path, float]]:
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # read by somebody else just now
                found.append((path, path.stat().st_mtime))
        return sorted(found, key=lambda each: each[1])


def _noted(path: Path, since: float) -> LedgerRecord:
    try:
        return LedgerRecord(path.stem, since, tuple(Entry.of(body) for body in json.loads(path.read_text())))
    except (OSError, ValueError, KeyError, TypeError):  # read by somebody else just now, or none of ours
        return LedgerRecord(path.stem, since, ())
