# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files and folders that are this user's alone, checked by what was opened: no link is followed, no FIFO waited for."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO

OTHERS = 0o077  # the permissions of group and others
OTHERS_WRITE = 0o022
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def open_own(path: Path, forbidden: int = OTHERS_WRITE) -> IO[bytes]:
    """Open a regular file of this user's for reading; `forbidden` are permissions that nobody may have on it.

    Raises OSError, for a link, a FIFO, another user's file or one with a forbidden permission, too.
    """
    descriptor = os.open(path, _READ)
    try:
        if problem := _problem(os.fstat(descriptor), stat.S_ISREG, "a regular file", forbidden):
            raise PermissionError(None, problem, str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def create_own(path: Path) -> IO[bytes]:
    """Open a new file that this user alone can read, in place of whatever has that name. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return os.fdopen(os.open(path, _NEW, 0o600), "wb")


def own_folder(path: Path) -> Path:
    """Make the folder, its parents too, or check that it is this user's alone.

    One that others can look into is closed to them; one that others can write to is refused, for they may have. Raises
    OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if problem := _problem(found, stat.S_ISDIR, "a folder", OTHERS_WRITE):
            raise PermissionError(None, problem, str(path))
        if found.st_mode & OTHERS:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path


def _problem(found: os.stat_result, is_kind: Callable[[int], bool], kind: str, forbidden: int) -> str:
    """Why this can't be trusted, or nothing."""
    if not is_kind(found.st_mode):
        return f"it is not {kind}"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, and this is user {os.geteuid()}"
    if mode := found.st_mode & forbidden:
        return f"others have permissions on it (mode {stat.S_IMODE(found.st_mode):04o}, of which {mode:04o} may not be)"
    return ""
