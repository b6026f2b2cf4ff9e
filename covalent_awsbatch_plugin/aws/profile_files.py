# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of an AWS profile: whether they changed, and where they lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SettingError
from .errors import translated

# The lines of an AWS profile that change with each sign-in.
_KEYS = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token", "expiration"}


def stamps(session: Any) -> list[tuple[int, int, int] | None]:
    """Return the state of the files of a botocore session's profile, which differs after each change of one."""
    return [_stamp(Path(session.get_config_variable(name))) for name in ("credentials_file", "config_file")]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.expanduser().stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


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
