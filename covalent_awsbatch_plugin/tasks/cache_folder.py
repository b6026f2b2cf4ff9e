# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The folder of files on their way to and from AWS. What lies in it is unpickled, so it is this user's alone.

By default `$XDG_CACHE_HOME/covalent-awsbatch/staging`. In a `cache_dir` that was given it is a subfolder of the user's
own, for several users of a machine may be given the same, such as /tmp/covalent. Where this user can make none, or
another user could put a folder of theirs in its place, the default is used.
"""

from __future__ import annotations

import functools
import grp
import logging
import os
import pwd
import stat
from pathlib import Path

from ..core.private_files import own_folder
from ..core.user_dirs import cache_home
from ..errors import StagingError
from ..settings import is_transferable

log = logging.getLogger(__name__)


def cache_folder(cache_dir: str) -> Path:
    """Return the folder, made if need be. `cache_dir` is the setting, "" where it is not set. Raises StagingError."""
    if cache_dir and (given := _given(Path(cache_dir).expanduser())):
        return _own(given / f"covalent-awsbatch-{os.geteuid()}")
    return _own(_default())


def _default() -> Path:
    return cache_home() / "staging"


def _own(folder: Path) -> Path:
    if not is_transferable(str(folder)):
        raise StagingError(
            f"Covalent can't transfer files below {folder}: only letters, digits and . _ - / may be in its name.",
            advice="Set cache_dir in [executors.awsbatch] to another folder.",
        )
    try:
        return own_folder(folder)
    except OSError as error:
        raise StagingError(
            f"The folder {folder} can't be used: {error.strerror}.",
            advice="Remove it or give access to it, or set cache_dir in [executors.awsbatch] to another folder.",
        ) from error


def _given(cache_dir: Path) -> Path | None:
    """Return the folder behind a given `cache_dir`, or None if this user can't write there or others can replace it."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        real = cache_dir.resolve(strict=True)
        checked = [cache_dir.lstat(), *(each.stat() for each in (real, *real.parents))]
        mine = real / f"covalent-awsbatch-{os.geteuid()}"
        if mine.is_symlink() or mine.exists():
            usable = not mine.is_symlink() and mine.lstat().st_uid == os.geteuid()
        else:
            usable = os.access(real, os.W_OK | os.X_OK)
    except OSError as error:
        raise StagingError(
            f"The folder {cache_dir} can't be used: {error.strerror}.",
            advice="Give access to it, or set cache_dir in [executors.awsbatch] to another folder.",
        ) from error
    if usable and all(map(_is_safe, checked)):
        return real
    _tell_once(str(cache_dir))
    return None


def _is_safe(found: os.stat_result) -> bool:
    """Whether only root and this user can rename what lies in a folder, or the folder is sticky, as /tmp is."""
    if found.st_uid not in (0, os.geteuid()):
        return False
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return True
    if found.st_mode & stat.S_IWOTH:
        return False
    return not found.st_mode & stat.S_IWGRP or _is_own_group(found.st_gid)


def _is_own_group(gid: int) -> bool:
    """Whether this is the group of this user alone, which is called like them and has no other member."""
    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}


@functools.cache
def _tell_once(cache_dir: str) -> None:
    log.warning(
        "cache_dir %s can be changed by other users, or not by user %d; %s is used instead.",
        cache_dir, os.geteuid(), _default(),
    )  # fmt: skip
