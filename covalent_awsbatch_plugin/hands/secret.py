# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The secret of this installation, from which each task's result key is derived. It never leaves the machine."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from ..thought.errors import StagingError

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
        return path.read_bytes()
    except FileNotFoundError:
        return _made(path)
    except OSError as error:
        raise StagingError(
            f"The file {path} can't be read: {error.strerror}.", advice="Give its owner access."
        ) from None


def _made(path: Path) -> bytes:
    """Written whole under another name first, then linked: of two processes that begin at once, one wins."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_bytes()
    except OSError as error:
        raise StagingError(
            f"The folder {path.parent} can't be written: {error.strerror}.",
            advice="Free space there, or set XDG_DATA_HOME.",
        ) from None
