# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The jobs of this user on this machine that nobody has read yet: what finds their results after a crash.

One file a job, written when it was submitted and removed when its last result was read. Before a job is submitted, when
it has no id yet, its file goes by its name: so that a crash in between loses nothing either.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..thought.errors import StagingError
from .secret import data_dir

_UNSENT = "unsent-"


def unsent(job_name: str) -> str:
    """By what a job goes that may not have been submitted. In its entries' handles `job_id` is only what follows it."""
    return f"{_UNSENT}{job_name}"


@dataclass(frozen=True)
class Entry:
    """One task group of a job: where it belongs in Covalent, and its handle."""

    dispatch_id: str
    node_ids: tuple[int, ...]
    handle: dict[str, Any]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Entry:
        return cls(body["dispatch_id"], tuple(body["node_ids"]), body["handle"])


class Ledger:
    """A folder in the user's data folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or data_dir() / "jobs"

    def note(self, job_id: str, entries: Sequence[Entry]) -> None:
        """Raises StagingError when the folder can't be written."""
        path = self._folder / f"{job_id}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text(json.dumps([asdict(entry) for entry in entries]))
            fresh.replace(path)
        except OSError as error:
            raise StagingError(f"The file {path} can't be written: {error.strerror}.") from error

    def forget(self, job_id: str) -> None:
        """The job was read, or never will be. An entry that stays makes `collect` look once more, no worse."""
        with contextlib.suppress(OSError):
            (self._folder / f"{job_id}.json").unlink()

    def jobs(self) -> Iterator[tuple[str, list[Entry]]]:
        """Every job that was submitted and not read, oldest first."""
        for path, _ in self._files():
            if not path.stem.startswith(_UNSENT):
                yield path.stem, _entries(path)

    def perhaps_sent(self) -> Iterator[tuple[str, float, list[Entry]]]:
        """The names of jobs that were about to be submitted, and when (Unix time): most of a crash, some of now."""
        for path, since in self._files():
            if path.stem.startswith(_UNSENT):
                yield path.stem.removeprefix(_UNSENT), since, _entries(path)

    def _files(self) -> list[tuple[Path, float]]:
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # read by somebody else just now
                found.append((path, path.stat().st_mtime))
        return sorted(found, key=lambda each: each[1])


def _entries(path: Path) -> list[Entry]:
    try:
        return [Entry.of(body) for body in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
