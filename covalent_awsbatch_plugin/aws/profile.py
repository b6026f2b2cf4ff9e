# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The AWS profile of a connection: where it leads, and the session that it makes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aioboto3
import aiobotocore.session
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from ..core.outage import PATIENCE_SECONDS
from ..errors import AWSBatchError, SettingError
from .errors import translated
from .sign_in import ask_nothing

# The lines of an AWS profile that change with each sign-in.
_KEYS = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token", "expiration"}


@dataclass(frozen=True)
class Connection:
    """The settings that distinguish two sessions."""

    credentials: str = ""
    profile: str = ""
    region: str = ""
    outage_patience: float = PATIENCE_SECONDS


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


def unread_profile(connection: Connection) -> aiobotocore.session.AioSession:
    """Return a botocore session that has not read its files yet, and opens nothing."""
    core = aiobotocore.session.AioSession(profile=connection.profile or None)
    if connection.credentials:
        core.set_config_variable("credentials_file", str(readable(connection.credentials)))
    return core


def open_session(connection: Connection) -> aioboto3.Session:
    """Return a session that asks no terminal for a code. Raises SettingError for a profile that does not exist."""
    session = _opened(connection)
    core = session._session
    try:
        with translated("the AWS session", "the AWS account"):
            ask_nothing(core, connection.profile or str(core.get_config_variable("profile") or ""))
    except AWSBatchError:
        # The error of the first request, which has to be told by another session: botocore keeps the half of a file
        # that it could parse, and then finds no profile in it.
        return _opened(connection)
    return session


def _opened(connection: Connection) -> aioboto3.Session:
    core = unread_profile(connection)
    core.register_component("data_loader", loader())
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    with translated("the AWS session", "the AWS account"):
        session = aioboto3.Session(botocore_session=core, region_name=connection.region or None)
    loader().search_paths[:] = dict.fromkeys(loader().search_paths)  # each session adds boto3's folder again
    return session


def _timestamp(value: Any) -> datetime:
    """Parse a time as botocore does; its own parser takes 0.1 ms, most of the time of a long ListObjectsV2."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed: datetime = parse_timestamp(value)  # Any, where botocore's stubs are not installed
        return parsed


@functools.cache
def loader() -> Loader:
    """Return the loader of AWS's service descriptions, which are parsed once in a process."""
    return create_loader()
