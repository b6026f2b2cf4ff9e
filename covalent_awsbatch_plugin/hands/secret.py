# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The secret of this installation, from which each task's result key is derived. It never leaves the machine."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from ..thought.errors import StagingError
from .private_files import OTHERS, open_own

SECRET_BYTES = 32


def data_dir() -> Path:
    """Where this user's own files of ours lie: XDG's data folder."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "covalent-awsbatch"


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
            advice="It must belong to the user who runs Covalent and have mode 0600; if others could write to it, "
            "remove it, and a new one is made. Else give its disk room, or set XDG_DATA_HOME to another folder.",
        ) from None
    if len(secret) != SECRET_BYTES:
        raise StagingError(
            f"The file {path} does not have {SECRET_BYTES} bytes.",
            advice="Remove it: a new one is made. Results of jobs that run now can't be checked without the old one.",
        )
    return secret


def _read_or_made(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _make(path)
    return _read(path)


def _read(path: Path) -> bytes:
    """Whoever can read the secret can make results that are believed, so no other user may."""
    with open_own(path, forbidden=OTHERS) as file:
        return file.read(SECRET_BYTES + 1)


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
