# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Removal of old staging files. Covalent copies results without telling when, and a crash leaves inputs.

The files are in `cache_folder()` as DISPATCH/GROUP/out and DISPATCH/GROUP/in; all others are not touched.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .cache_folder import cache_folder

OLD_SECONDS = 24 * 3600  # Covalent copies results within seconds
_WAYS = re.compile(r"out|in(-[0-9a-f]{8})?")


@functools.cache
def remove_old_soon(cache_dir: str) -> threading.Thread:
    """Start a thread that removes old staging files, once in a process for each `cache_dir`; no task waits for it.

    Raises StagingError where the folder can't be used.
    """
    folder = cache_folder(cache_dir)
    thread = threading.Thread(target=remove_old, args=(folder, time.time() - OLD_SECONDS), daemon=True)
    thread.start()
    return thread


def remove_old(cache_dir: Path, before: float) -> None:
    """Remove the folders without changes since `before` (Unix seconds). Files that can't be removed stay."""
    for folder in _ways(cache_dir):
        if _last_change(folder) < before:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # folders of the same group or dispatch still exist
                folder.parent.rmdir()
                folder.parent.parent.rmdir()


def _ways(cache_dir: Path) -> Iterator[Path]:
    for dispatch in _folders(cache_dir):
        for group in _folders(dispatch):
            if group.name.isdigit():
                yield from (folder for folder in _folders(group) if _WAYS.fullmatch(folder.name))


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder, without links, sorted by name; none if it can't be read."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:  # removed meanwhile, or another user's
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _last_change(folder: Path) -> float:
    times = [float("-inf")]
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(OSError):  # removed meanwhile
            times.append(path.lstat().st_mtime)
    return max(times)
