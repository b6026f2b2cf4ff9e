# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Translate errors of this machine's disk into StagingError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import StagingError


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
        advice="Look at cache_dir in [executors.awsbatch]: its free space, its permissions.",
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
