# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files on this machine: writes that are whole or absent, and errors of the disk as errors of this package."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..errors import StagingError


def atomic_write(
    path: Path, data: bytes | str, *, mode: int | None = None, durable: bool = False, overwrite: bool = True
) -> None:
    """Write a file whole or not at all: readers see the old content or the new, and two writers never mix.

    A text is written as UTF-8. `mode` is the file's permissions, by default what the umask leaves of 0o666. With
    `durable` the content survives a power cut once this returns. Without `overwrite` a file that exists stays as it is.
    Raises OSError.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
    try:
        with open(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(data.encode() if isinstance(data, str) else data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        if overwrite:
            draft.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        if durable:
            _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write a folder's list of names to the disk: the name of a new file is in there, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staged(path: Path, done: str) -> Iterator[None]:
    """Translate an OSError inside the block into StagingError; `done` is "read" or "written"."""
    try:
        yield
    except OSError as error:
        raise staging_error(path, done, error) from error


def staging_error(path: Path, done: str, error: OSError) -> StagingError:
    """Return the error for a file that cannot be read or written."""
    return StagingError(
        f"The file {error.filename or path} can't be {done}: {error.strerror}.",
        advice="Look at `cache_dir`: its free space, its permissions.",
    )


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Translate an OSError of a full or missing disk into StagingError."""
    try:
        yield
    except OSError as error:
        raise StagingError(
            f"Layers can't be kept in {folder}: {error.strerror or error}.",
            advice="Free space there, or set XDG_CACHE_HOME to another folder; nothing half made is kept.",
        ) from error
