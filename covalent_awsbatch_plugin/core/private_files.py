# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files and folders of this user alone. The opened file is checked: no link is followed, and no FIFO blocks."""

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
    """Open a regular file of this user for reading; group and others may not have `forbidden` permissions.

    Raises OSError, also for a link, a FIFO, another user's file, or a file with a forbidden permission.
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
    """Open a new file that only this user can read, in place of any file of that name. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return os.fdopen(os.open(path, _NEW, 0o600), "wb")


def own_folder(path: Path) -> Path:
    """Create the folder and its parents, or check that it is this user's alone.

    A folder that others can read is closed to them; a folder that others can write to is refused, because it may have
    been changed. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if problem := _problem(status, stat.S_ISDIR, "a folder", OTHERS_WRITE):
            raise PermissionError(None, problem, str(path))
        if status.st_mode & OTHERS:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path


def _problem(status: os.stat_result, is_kind: Callable[[int], bool], kind: str, forbidden: int) -> str:
    """Return the reason why the file cannot be trusted, or ""."""
    if not is_kind(status.st_mode):
        return f"it is not {kind}"
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, and this is user {os.geteuid()}"
    if mode := status.st_mode & forbidden:
        permissions = f"{stat.S_IMODE(status.st_mode):04o}"
        return f"others have permissions on it (mode {permissions}, of which {mode:04o} may not be)"
    return ""
