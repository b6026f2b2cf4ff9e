# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Credentials without a terminal: botocore would ask for an MFA code, which a server cannot answer."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from ..errors import NotAuthenticated

_CACHE_KEY = re.compile(r"[0-9a-f]{40}")  # a SHA-1 of the AssumeRole request


def ask_nothing(session: Any, profile: str) -> None:
    """Replace the question for an MFA code by NotAuthenticated, and read the sessions that the AWS CLI stored.

    `session` is aiobotocore's.
    A profile with `mfa_serial` therefore works after any AWS CLI command with it, until that session expires.
    """
    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider._prompter = lambda _question: _no_code(profile)  # botocore has no public way
    provider.cache = _CliSessions(Path.home() / ".aws" / "cli" / "cache")


def needs_code(profile: str, says: str = "") -> NotAuthenticated:
    """Return the error of a profile whose role can only be assumed with an MFA code."""
    option = f" --profile {profile}" if profile else ""
    return NotAuthenticated(
        f"The AWS profile {f'`{profile}`' if profile else 'in use'} needs an MFA code (`mfa_serial`).",
        says=says,
        advice=f"Run `aws sts get-caller-identity{option}` here and enter the code; its session is used until it ends.",
    )


def _no_code(profile: str) -> str:
    raise needs_code(profile)


@contextlib.contextmanager
def json_credentials() -> Iterator[None]:
    """Translate the error of a `credential_process` whose output is not JSON, which botocore does not."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise NotAuthenticated(
            "The program of `credential_process` did not print credentials as JSON.",
            says=f"{error}.",
            advice="Run the program by hand and correct what it prints.",
        ) from error


class _CliSessions(MutableMapping[str, Any]):
    """The role sessions that the AWS CLI stores in `~/.aws/cli/cache`, one JSON file each.

    The names are botocore's cache keys, in the CLI and here alike. New sessions stay in memory: this package writes no
    secret to disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key in self._own:
            return self._own[key]
        if not _CACHE_KEY.fullmatch(key):
            raise KeyError(key)
        try:
            return json.loads((self._folder / f"{key}.json").read_bytes())
        except (OSError, ValueError) as error:
            raise KeyError(key) from error

    def __contains__(self, key: object) -> bool:
        try:
            return bool(self[str(key)])
        except KeyError:
            return False

    def __setitem__(self, key: str, value: Any) -> None:
        self._own[key] = value

    def __delitem__(self, key: str) -> None:
        del self._own[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)
