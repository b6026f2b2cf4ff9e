# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files on their way to and from AWS: what this machine's disk says of them, as our error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import StagingError


@contextlib.contextmanager
def staged(path: Path, done: str) -> Iterator[None]:
    """OSErrors inside become StagingError; `done` is "read" or "written"."""
    try:
        yield
    except OSError as error:
        raise staging_error(path, done, error) from error


def staging_error(path: Path, done: str, error: OSError) -> StagingError:
    """What happened to the file, and what to look at."""
    return StagingError(
        f"The file {error.filename or path} can't be {done}: {error.strerror}.",
        advice="Look at cache_dir in [executors.awsbatch]: its free space, its permissions.",
    )


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turns a full or missing disk into a StagingError."""
    try:
        yield
    except OSError as error:
        raise StagingError(
            f"Layers can't be kept in {folder}: {error.strerror or error}.",
            advice="Free space there, or set XDG_CACHE_HOME to another folder; nothing half made is kept.",
        ) from error
