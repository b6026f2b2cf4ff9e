# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Looking at several things at once, and telling of all that is wrong in one error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import AWSBatchError

T = TypeVar("T")


class SideBySide:
    """`async with` it, start looks by `at`, and take their results after the block, which has waited for all of them.

    Leaving the block raises the error of the look that was started first, whichever failed first; what the others found
    wrong is added to its advice.
    """

    def __init__(self) -> None:
        self._looks: list[asyncio.Task[Any]] = []

    def at(self, look: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a look."""
        task = asyncio.get_running_loop().create_task(look)
        self._looks.append(task)
        return task

    async def __aenter__(self) -> SideBySide:
        return self

    async def __aexit__(self, *_: object) -> None:
        found = await asyncio.gather(*self._looks, return_exceptions=True)  # one that is cancelled cancels the looks
        wrong = [error for error in found if isinstance(error, BaseException)]
        if wrong:
            raise _all_in_one(wrong)


def _all_in_one(wrong: list[BaseException]) -> BaseException:
    unforeseen = [error for error in wrong if not isinstance(error, AWSBatchError)]
    if unforeseen:
        return unforeseen[0]
    first, *others = [error for error in wrong if isinstance(error, AWSBatchError)]
    also = dict.fromkeys(f"Also: {error.happened}" for error in others if error.happened != first.happened)
    first.advice = "\n".join(filter(None, (first.advice, *also)))
    return first
