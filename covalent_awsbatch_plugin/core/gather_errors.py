# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run several checks at once and report all that fail in one error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import AWSBatchError

T = TypeVar("T")


class SideBySide:
    """A context manager that runs checks at once; its end waits for all of them.

    `at` starts a check. Leaving the block raises the error of the check that was started first, whichever failed first;
    the errors of the other checks are added to its advice.
    """

    def __init__(self) -> None:
        self._checks: list[asyncio.Task[Any]] = []

    def at(self, check: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a check; its result can be read after the block."""
        task = asyncio.get_running_loop().create_task(check)
        self._checks.append(task)
        return task

    async def __aenter__(self) -> SideBySide:
        return self

    async def __aexit__(self, *_: object) -> None:
        results = await asyncio.gather(*self._checks, return_exceptions=True)  # a cancelled gather cancels the checks
        wrong = [error for error in results if isinstance(error, BaseException)]
        if wrong:
            raise _all_in_one(wrong)


def _all_in_one(wrong: list[BaseException]) -> BaseException:
    unexpected = [error for error in wrong if not isinstance(error, AWSBatchError)]
    if unexpected:
        return unexpected[0]
    first, *others = [error for error in wrong if isinstance(error, AWSBatchError)]
    also = dict.fromkeys(f"Also: {error.happened}" for error in others if error.happened != first.happened)
    first.advice = "\n".join(filter(None, (first.advice, *also)))
    return first
