# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The folder of files that go to and come from AWS. Its files are unpickled, so only this user may write to it.

The default is `$XDG_CACHE_HOME/covalent-awsbatch/staging`. With `cache_dir` it is this user's subfolder of that folder,
because several users of a machine may set the same, such as /tmp/covalent. Where this user can't create the subfolder,
or another user could replace it, the default is used.
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

_Identity = tuple[int, int, int, int]  # device, inode, owner, mode


# Checked folders by `cache_dir`, default and user, with what identifies the folder. One check takes some twenty system
# calls, and Covalent asks for each file. While a folder is the same one, its parents hold it in place: only root and
# this user can rename it there.
_checked: dict[tuple[str, Path, int], tuple[Path, _Identity]] = {}


def cache_folder(cache_dir: str) -> Path:
    """Return the folder, made if need be. `cache_dir` is the setting, "" where it is not set. Raises StagingError."""
    key = cache_dir, _default(), os.geteuid()
    folder, identity = _checked.get(key, (None, None))
    if folder and _identity(folder) == identity:
        return folder
    folder = _checked_folder(cache_dir)
    if (now := _identity(folder)) is not None:
        _checked[key] = folder, now
    return folder


def _identity(folder: Path) -> _Identity | None:
    """Return what tells a folder from another one in its place, or from itself once its owner or mode changed."""
    try:
        status = os.lstat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_uid, status.st_mode


def _checked_folder(cache_dir: str) -> Path:
    if cache_dir and (parent := _safe_parent(Path(cache_dir).expanduser())):
        return _own(parent / f"covalent-awsbatch-{os.geteuid()}")
    return _own(_default())


def _default() -> Path:
    return cache_home() / "staging"


def _own(folder: Path) -> Path:
    if not is_transferable(str(folder)):
        raise StagingError(
            f"Covalent can't transfer files below {folder}: only letters, digits and . _ - / may be in its name.",
            advice="Set `cache_dir` to another folder.",
        )
    try:
        return own_folder(folder)
    except OSError as error:
        raise StagingError(
            f"The folder {folder} can't be used: {error.strerror}.",
            advice="Remove it or give access to it, or set `cache_dir` to another folder.",
        ) from error


def _safe_parent(cache_dir: Path) -> Path | None:
    """Return the real path of `cache_dir`, or None if this user can't write there or others can replace it."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        real = cache_dir.resolve(strict=True)
        stats = [cache_dir.lstat(), *(each.stat() for each in (real, *real.parents))]
        mine = real / f"covalent-awsbatch-{os.geteuid()}"
        if mine.is_symlink() or mine.exists():
            usable = not mine.is_symlink() and mine.lstat().st_uid == os.geteuid()
        else:
            usable = os.access(real, os.W_OK | os.X_OK)
    except OSError as error:
        raise StagingError(
            f"The folder {cache_dir} can't be used: {error.strerror}.",
            advice="Give access to it, or set `cache_dir` to another folder.",
        ) from error
    if usable and all(map(_is_safe, stats)):
        return real
    _warn_once(str(cache_dir))
    return None


def _is_safe(status: os.stat_result) -> bool:
    """Return whether only root and this user can rename a folder's entries, or the folder is sticky, as /tmp is."""
    if status.st_uid not in (0, os.geteuid()):
        return False
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return True
    if status.st_mode & stat.S_IWOTH:
        return False
    return not status.st_mode & stat.S_IWGRP or _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    """Return whether this is the user's private group: it has the user's name and no other member."""
    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}


@functools.cache
def _warn_once(cache_dir: str) -> None:
    log.warning(
        "cache_dir %s can be changed by other users, or not by user %d; %s is used instead.",
        cache_dir, os.geteuid(), _default(),
    )  # fmt: skip
