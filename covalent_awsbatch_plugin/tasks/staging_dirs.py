# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files on their way that arrived long ago. Covalent copies results and does not say when; a crash leaves inputs.

They lie in `cache_folder()` as DISPATCH/GROUP/out and DISPATCH/GROUP/in; whatever else is there is not touched.
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

OLD_SECONDS = 24 * 3600  # Covalent copies what it is given within seconds
_WAYS = re.compile(r"out|in(-[0-9a-f]{8})?")


@functools.cache
def remove_old_soon(folder: Path) -> threading.Thread:
    """Once a process, beside it: no task waits for this."""
    thread = threading.Thread(target=remove_old, args=(folder, time.time() - OLD_SECONDS), daemon=True)
    thread.start()
    return thread


def remove_old(cache_dir: Path, before: float) -> None:
    """Removes the folders in which nothing was written since `before` (Unix time). What can't be removed stays."""
    for folder in _ways(cache_dir):
        if _written(folder) < before:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # others of the same group or dispatch are still there
                folder.parent.rmdir()
                folder.parent.parent.rmdir()


def _ways(cache_dir: Path) -> Iterator[Path]:
    for dispatch in _folders(cache_dir):
        for group in _folders(dispatch):
            if group.name.isdigit():
                yield from (folder for folder in _folders(group) if _WAYS.fullmatch(folder.name))


def _folders(parent: Path) -> list[Path]:
    """Those in a folder that are no links, by name."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:  # gone, or not ours
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _written(folder: Path) -> float:
    times = [float("-inf")]
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(OSError):  # somebody was quicker
            times.append(path.lstat().st_mtime)
    return max(times)
