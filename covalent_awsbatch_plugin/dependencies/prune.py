# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The store of layers kept small: what nobody has used for long goes, and where that is not enough, the oldest."""

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
    """What went, and what is left, in bytes."""

    entries: int
    freed: int
    left: int


def prune(store: LayerStore, most_bytes: float, now: float | None = None) -> Pruned:
    """Also of other processes: what was used within the hour stays, whatever its size. `now` is in Unix seconds.

    Raises StagingError.
    """
    now = time.time() if now is None else now
    kept = list(_kept(store))
    gone = to_forget(kept, most_bytes, now)
    with store.draft() as bin_:  # moved first: what is half removed is not believed
        for used in gone:
            with contextlib.suppress(FileNotFoundError):  # another process does the same
                (store.folder / "made" / used.key).rename(bin_ / used.key)
    _forget_drafts_and_locks(store.folder, now)
    freed = sum(used.bytes for used in gone)
    return Pruned(len(gone), freed, sum(used.bytes for used in kept) - freed)


def _kept(store: LayerStore) -> Iterator[StoreUsage]:
    for place in (store.folder / "made").glob("*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads((place / RECORD).read_text())
            yield StoreUsage(place.name, used_at(place), told["size"] or told["bytes"])


def _forget_drafts_and_locks(folder: Path, now: float) -> None:
    """Drafts of processes that were killed, and locks that nobody asked for in two months."""
    for pattern, age_s in ((f"{DRAFT}*", DAY_S), ("locks/*", 60 * DAY_S)):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < now - age_s:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
