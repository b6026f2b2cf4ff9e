# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The secret of this installation, from which each task's result key is derived. It never leaves the machine."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from ..core.user_dirs import data_dir
from ..errors import StagingError

SECRET_BYTES = 32


def result_key(content_digest: str) -> bytes:
    """The key that authenticates the result of a task with this content.

    It is derived: a restarted server can read the results of jobs it has forgotten, and the same task gives the same
    image.
    """
    return hmac.digest(_secret(data_dir() / "result-secret"), content_digest.encode(), "sha256")


def _secret(path: Path) -> bytes:
    try:
        secret = _read_or_made(path)
    except OSError as error:
        raise StagingError(
            f"The file {path} can't be read or made: {error.strerror}.",
            advice="Give its owner access and its disk room, or set XDG_DATA_HOME to another folder.",
        ) from None
    if len(secret) != SECRET_BYTES:
        raise StagingError(
            f"The file {path} has {len(secret)} bytes instead of {SECRET_BYTES}.",
            advice="Remove it: a new one is made. Results of jobs that run now can't be checked without the old one.",
        )
    return secret


def _read_or_made(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    """Written whole under another name first, then linked: of two processes that begin at once, one wins."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
