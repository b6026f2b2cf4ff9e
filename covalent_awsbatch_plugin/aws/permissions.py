# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The permissions that the credentials of one connection lack: told once, and not asked for again for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from ..errors import NotAllowed
from ..iam import allowing

log = logging.getLogger(__name__)

RETRY_SECONDS = 300  # after this a call that was denied is tried again: somebody may have granted it


class Permissions:
    """The denials of one connection; `denied` names the permissions. `clock` returns seconds, an argument for tests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.denied: dict[str, float] = {}  # the time until which a permission is not asked for again
        self._logged: set[str] = set()

    def lacks(self, permission: str) -> bool:
        """Return whether AWS denied this permission, such as `batch:TagResource`, a short time ago."""
        return self.denied.get(permission, float("-inf")) > self._clock()

    def go_without(self, error: NotAllowed, permission: str, consequence: str) -> None:
        """Note a denied call that the task can do without, and log once what is not done for it.

        `consequence` is a whole sentence. Raises the error if it is about another permission.
        """
        if error.permission != permission:
            raise error
        self.denied[permission] = self._clock() + RETRY_SECONDS
        if permission not in self._logged:
            self._logged.add(permission)
            log.warning("AWS does not allow %s. %s To change that: %s", permission, consequence, grant([permission]))


def grant(permissions: Iterable[str]) -> str:
    """Return the advice that grants permissions to the caller, with the statements that allow them."""
    names = sorted(set(permissions))
    statements = sorted({sid for sid in map(allowing, names) if sid})
    advice = f"Grant {', '.join(f'`{name}`' for name in names)} to the user or role of the Covalent server"
    if not statements:
        return f"{advice}."
    words = "the statement" if len(statements) == 1 else "the statements"
    sids = ", ".join(f"`{sid}`" for sid in statements)
    return f"{advice}; `covalent-awsbatch iam --role dispatcher` prints {words} {sids}."
