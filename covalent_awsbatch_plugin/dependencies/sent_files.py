# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of a user's folder that are sent with a task, and those that stay here with the reason for each."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .ignore_files import IgnoreFiles
from .user_code_rules import (
    SECRET_NAME,
    is_left_out,
    is_left_out_folder,
    is_secret,
    is_secret_folder,
    secret_in,
)

SEARCHED_BYTES = 1024 * 1024  # of each file: keys and tokens lie in small files
_CODE = (".py", ".so")


@dataclass(frozen=True)
class LeftOut:
    """A file or a folder that stays here. `ignored` says that the user's own list names it."""

    path: Path
    reason: str
    ignored: bool = False

    @property
    def sentence(self) -> str:
        """The reason, and for code what sends it all the same."""
        advice = " A line with ! and its path in .dockerignore sends it." if self.ignored else ""
        return f"{self.path} is not sent with the task: {self.reason}.{advice}"

    @property
    def is_warned_of(self) -> bool:
        """True for a file that the user may miss: a secret, a link or code, but not his ignored data."""
        return not self.ignored or self.path.suffix in _CODE


def sent_files(folder: Path, left_out: list[LeftOut]) -> Iterator[tuple[Path, str]]:
    """Yield files with their paths in the folder; add those that stay to `left_out`, without the generated ones."""
    folder = folder.resolve()
    ignore = IgnoreFiles(folder)
    for root, folders, names in os.walk(folder):
        walked = []
        for name in sorted(folders):
            path = Path(root, name)
            if is_left_out_folder(name):
                continue
            if reason := _folder_stays(path, folder, ignore):
                left_out.append(reason)
            else:
                walked.append(name)
        folders[:] = walked
        for name in sorted(names):
            path = Path(root, name)
            below = path.relative_to(folder).as_posix()
            if is_left_out(below):
                continue
            if stays := why_it_stays(path, folder, ignore):
                left_out.append(stays)
            elif path.is_file():
                yield path, below


def why_it_stays(path: Path, folder: Path, ignore: IgnoreFiles) -> LeftOut | None:
    """Return the reason why a file of a folder stays here, None if it is sent. Both paths are absolute."""
    if path.is_symlink() and (reason := _link_stays(path, folder)):
        return LeftOut(path, reason)
    if is_secret(path.relative_to(folder).as_posix()):
        return LeftOut(path, SECRET_NAME)
    if by := ignore.keeps(path):
        return LeftOut(path, f"{by} names it", ignored=True)
    return secret_content(path)


def why_module_stays(place: Path) -> LeftOut | None:
    """Return the reason why a module of one file stays; it may be a link, as a task imports it by its name."""
    if by := IgnoreFiles(place.parent).keeps(place):
        return LeftOut(place, f"{by} names it", ignored=True)
    return secret_content(place)


def secret_content(path: Path) -> LeftOut | None:
    """Return the reason why a file stays for what is in it; a file is read once for a size and time."""
    try:
        stat = path.stat()
        kind = _secret_kind(str(path), stat.st_size, stat.st_mtime_ns) if path.is_file() else ""
    except OSError:
        return None  # whoever packs the file reports the error
    return LeftOut(path, f"it holds {kind}") if kind else None


@functools.lru_cache(maxsize=65536)
def _secret_kind(path: str, _size: int, _modified_ns: int) -> str:
    with open(path, "rb") as file:
        return secret_in(file.read(SEARCHED_BYTES))


def _folder_stays(path: Path, folder: Path, ignore: IgnoreFiles) -> LeftOut | None:
    if is_secret_folder(path.name):
        return LeftOut(path, SECRET_NAME)
    if path.is_symlink():
        return LeftOut(path, _link_stays(path, folder) or "it is a link to a folder that is sent under its own name")
    if by := ignore.keeps(path, is_folder=True):
        return LeftOut(path, f"{by} names it", ignored=True)
    return None


def _link_stays(path: Path, folder: Path) -> str:
    """Return why a link is not followed: its target may be any file of this machine, and has a name of its own."""
    target = path.resolve()
    if not target.is_relative_to(folder):
        return f"it is a link out of {folder}"
    return SECRET_NAME if is_secret(target.relative_to(folder).as_posix()) else ""
