# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of image layers on this machine: unpacked one by one, and merged to the tree of an image.

No layer reaches out of its folder: symbolic links are followed as if the folder were the root of the file system.
Rules of layers: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ...images.layer_scan import BoundedHeader
from .base import PullFailed

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
MOST_LINKS = 40  # followed for one path, as Linux does
MOST_ENTRIES = 2_000_000  # of one layer
FREE_BYTES = 512 * 1024 * 1024  # that unpacking leaves on the disk
_CHUNK = 1024 * 1024
_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, OverflowError)


def extract(archive: Path, folder: Path, free_bytes: int = FREE_BYTES) -> None:
    """Unpack a layer without devices, and with this user as the owner of each file.

    Entries whose name leads out of the folder are left out. Raises PullFailed, in dockerd's words, for a layer that is
    broken or that would leave less than `free_bytes` on the disk.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    parents: dict[tuple[str, ...], Path] = {}
    try:
        with _opened(archive) as file, tarfile.open(fileobj=file, mode="r|", tarinfo=BoundedHeader) as tar:
            for number, member in enumerate(tar):
                if number >= MOST_ENTRIES:
                    raise ValueError(f"more than {MOST_ENTRIES} entries")
                if parts := _parts(member.name):
                    _extract(tar, member, folder, parts, free_bytes, parents)
    except _BROKEN as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise PullFailed(f"Error response from daemon: failed to register layer: {error}") from error


def _opened(archive: Path) -> Any:
    with archive.open("rb") as file:
        beginning = file.read(8)
    return next((way for magic, way in _OPENERS.items() if beginning.startswith(magic)), _plain)(archive)


def _plain(archive: Path) -> IO[bytes]:
    return archive.open("rb")


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path below the folder; none for the folder itself and for a path that leads out."""
    path = PurePosixPath(name)
    return () if path.is_absolute() or ".." in path.parts or "\0" in name else path.parts


def _extract(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    folder: Path,
    parts: tuple[str, ...],
    free_bytes: int,
    parents: dict[tuple[str, ...], Path],
) -> None:
    """Unpack one entry. `parents` holds resolved folders until an entry comes that may change where a path leads."""
    if member.isdir():
        resolve(folder, parts)
        return
    if not member.isfile():
        parents.clear()
    parent = parents.get(parts[:-1]) or resolve(folder, parts[:-1])
    parents[parts[:-1]] = parent
    place = parent / parts[-1]
    if member.isfile():
        if shutil.disk_usage(folder).free - member.size < free_bytes:
            raise ValueError(f"write /{member.name}: no space left on device")
        if os.path.lexists(place):
            parents.clear()
            remove(place)
        _write(tar, member, place)
    elif member.issym():
        remove(place)
        place.symlink_to(member.linkname)
    elif member.islnk():
        _link(member, folder, place)
    if not member.isfile():
        parents.clear()


def _link(member: tarfile.TarInfo, folder: Path, place: Path) -> None:
    first = _parts(member.linkname.lstrip("/"))
    source = resolve(folder, first[:-1]) / first[-1] if first else folder
    if source.is_dir() and not source.is_symlink():
        raise ValueError(f"link /{member.linkname}: not a file of this layer")
    if source != place:
        remove(place)
        os.link(source, place, follow_symlinks=False)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    content = tar.extractfile(member)
    number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "wb") as file:
        if content is not None:
            shutil.copyfileobj(content, file, _CHUNK)
    os.chmod(place, (member.mode & 0o777) | 0o400)
    os.utime(place, (member.mtime, member.mtime))


# ---- merging ---------------------------------------------------------------------------------------------------------
def merge(layers: Iterable[Path], root: Path) -> None:
    """Make one tree of hard links from layers, lowest first. A `.wh.` entry removes a name of lower layers.

    A single layer without such entries is moved: of a base image, which all jobs share, nobody needs two trees.
    """
    shutil.rmtree(root, ignore_errors=True)
    layers = list(layers)
    if len(layers) == 1 and not any(name.startswith(WHITEOUT) for _, _, files in os.walk(layers[0]) for name in files):
        layers[0].rename(root)
        return
    root.mkdir()
    for layer in layers:
        for folder, folders, files in os.walk(layer):
            target = resolve(root, Path(folder).relative_to(layer).parts)
            for path in _whited_out(target, files):
                remove(path)
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in (*files, *links):
                if not name.startswith(WHITEOUT):
                    remove(target / name)
                    os.link(Path(folder) / name, target / name, follow_symlinks=False)


def _whited_out(target: Path, files: list[str]) -> Iterator[Path]:
    """Yield what the whiteouts among a folder's files remove. One of no name, or of a folder's own, removes nothing."""
    if OPAQUE in files:
        yield from list(target.iterdir())
    for name in files:
        removed = name.removeprefix(WHITEOUT)
        if name.startswith(WHITEOUT) and name != OPAQUE and removed not in ("", ".", ".."):
            yield target / removed


def resolve(root: Path, parts: Iterable[str]) -> Path:
    """Return the folder of a path below `root`, made where it is missing; a file in its place is removed.

    Links are followed inside `root` only. Raises ValueError for more than `MOST_LINKS`.
    """
    rest, place, links = list(parts)[::-1], root, 0
    while rest:
        part = rest.pop()
        if part in ("", "/", "."):
            continue
        if part == "..":
            place = place if place == root else place.parent
            continue
        following = place / part
        mode = _mode(following)
        if stat.S_ISLNK(mode):
            links += 1
            if links > MOST_LINKS:
                raise ValueError(f"/{following.relative_to(root)}: too many levels of symbolic links")
            target = PurePosixPath(os.readlink(following))
            place = root if target.is_absolute() else place
            rest += target.parts[::-1]
            continue
        if mode and not stat.S_ISDIR(mode):
            following.unlink()
        if not stat.S_ISDIR(mode):
            following.mkdir(exist_ok=True)
        place = following
    return place


def _mode(path: Path) -> int:
    """Return the mode of a path, whose link is not followed; 0 where nothing is there."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if there is one; a link is never followed."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # the second is macOS's answer for a folder
        if path.is_symlink() or not path.is_dir():
            raise
        shutil.rmtree(path)
