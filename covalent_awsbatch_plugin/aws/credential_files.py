# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files and variables that AWS credentials come from: whether they changed, and where a profile leads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .errors import translated

# The lines of an AWS profile that change with each sign-in.
_KEYS = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token", "expiration"}


def files_stamp(session: Any) -> tuple[object, ...]:
    """Return the state of a botocore session's sources of credentials; a sign-in or a change of keys changes it."""
    paths = [session.get_config_variable("credentials_file"), session.get_config_variable("config_file")]
    folders = ["~/.aws/sso/cache", "~/.aws/cli/cache"]
    files = [_state(Path(path).expanduser()) for path in (*filter(None, paths), *folders)]
    return (*files, *(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def readable(credentials: str) -> Path:
    """Return the path of the credentials file; botocore treats one that it cannot read as empty."""
    path = Path(credentials).expanduser()
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingError(
            f"The setting credentials={credentials!r} names a file that can't be read: {error.strerror}.",
            advice="Set the path of a shared credentials file on the machine of the Covalent server,"
            " or leave it empty for boto3's usual search.",
        ) from None
    return path


def place(session: Any) -> dict[str, Any] | None:
    """Return the lines of a botocore session's profile without its keys: they say which AWS answers, and for whom.

    None stands for a profile that can't be read; the first request says why.
    """
    try:
        with translated("the AWS session", "the AWS account"):
            lines = session.get_scoped_config()
    except SettingError:
        return None
    return {name: value for name, value in lines.items() if name not in _KEYS}
