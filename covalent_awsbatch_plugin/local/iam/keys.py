# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The access keys of this process's moto: those of IAM users, and those of roles assumed through STS.

It reads moto's `IAMBackend.access_keys` and `STSBackend.assumed_roles`, as test_moto_has_not_moved.py checks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from secrets import token_urlsafe

from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole, sts_backends

from .signature import Key

TEMPORARY = "ASIA"  # how the ids of temporary credentials begin


class Keys:
    """A lookup of access keys, whose time does not grow with the number of assumed roles."""

    def __init__(self) -> None:
        self._lent: dict[str, Key] = {}
        self._roles: dict[str, AssumedRole] = {}
        self._read: dict[str, int] = {}  # by account, how many of its assumed roles are in `_roles`
        self._lock = threading.Lock()

    def add(self, access_key_id: str, secret: str) -> None:
        """Accept an id that IAM does not have."""
        self._lent[access_key_id] = Key(secret)

    @contextmanager
    def lent(self, access_key_id: str) -> Iterator[str]:
        """Accept an id that IAM does not have, until the block ends; yield its random secret."""
        self._lent[access_key_id] = Key(token_urlsafe(30))
        try:
            yield self._lent[access_key_id].secret
        finally:
            del self._lent[access_key_id]

    def find(self, access_key_id: str) -> Key | None:
        """Return the key, None where it is unknown or inactive."""
        if access_key_id.startswith(TEMPORARY):
            return self._temporary(access_key_id)
        for account in list(iam_backends.values()):
            key = account["aws"].access_keys.get(access_key_id)
            if key is not None:
                return Key(key.secret_access_key) if key.status == "Active" else None
        return self._lent.get(access_key_id)

    def _temporary(self, access_key_id: str) -> Key | None:
        with self._lock:
            for name, account in list(sts_backends.items()):
                roles = account["aws"].assumed_roles
                self._roles |= {role.access_key_id: role for role in roles[self._read.get(name, 0) :]}
                self._read[name] = len(roles)
            role = self._roles.get(access_key_id)
        if role is None:
            return None
        return Key(role.secret_access_key, role.session_token, role.expiration.replace(tzinfo=UTC))
