# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The secret of this installation, from which each task's result key is derived. It never leaves the machine."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from ..core.files import atomic_write
from ..core.private_files import OTHERS, open_own
from ..core.user_dirs import data_dir
from ..errors import StagingError

SECRET_BYTES = 32


def result_secret() -> bytes:
    """Return the secret of this installation, made at the first call. Raises StagingError if it can't be trusted."""
    path = data_dir() / "result-secret"
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
    # of two processes that begin at once, one wins, and both read its secret
    atomic_write(path, secrets.token_bytes(SECRET_BYTES), mode=0o600, durable=True, overwrite=False)
    return _read(path)


def _read(path: Path) -> bytes:
    """Return the secret. Whoever can read it can forge results, so no other user may. Raises OSError."""
    with open_own(path, forbidden=OTHERS) as file:
        return file.read(SECRET_BYTES + 1)
