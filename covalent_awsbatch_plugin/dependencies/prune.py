# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Limit the store of layers: delete layers unused for long, then the least recently used."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .spec import StoreUsage, to_forget
from .store import DRAFT, RECORD, LayerStore, used_at

DAY_S = 24 * 3600


@dataclass(frozen=True)
class Pruned:
    """The number of deleted entries, and the deleted and the remaining bytes."""

    entries: int
    freed: int
    left: int


def prune(store: LayerStore, most_bytes: float, now: float | None = None) -> Pruned:
    """Delete entries until the store fits `most_bytes`; entries used within the last hour stay.

    Entries of other processes count too. `now` is in Unix seconds. Raises StagingError.
    """
    now = time.time() if now is None else now
    entries = list(_kept(store))
    stale = to_forget(entries, most_bytes, now)
    with store.draft() as bin_:  # moved first, so that no half deleted entry is used
        for entry in stale:
            with contextlib.suppress(FileNotFoundError):  # another process deletes it
                (store.folder / "made" / entry.key).rename(bin_ / entry.key)
    _forget_drafts_and_locks(store.folder, now)
    freed = sum(entry.bytes for entry in stale)
    return Pruned(len(stale), freed, sum(entry.bytes for entry in entries) - freed)


def _kept(store: LayerStore) -> Iterator[StoreUsage]:
    for place in (store.folder / "made").glob("*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads((place / RECORD).read_text())
            yield StoreUsage(place.name, used_at(place), record["size"] or record["bytes"])


def _forget_drafts_and_locks(folder: Path, now: float) -> None:
    """Delete drafts of killed processes, and locks that were not used for two months."""
    for pattern, age_s in ((f"{DRAFT}*", DAY_S), ("locks/*", 60 * DAY_S)):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < now - age_s:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
