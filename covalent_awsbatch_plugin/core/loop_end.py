# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Clean-up at the end of an event loop, for callers that do not know when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

_ends: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}


async def at_loop_end(close: Callable[[], Awaitable[None]]) -> None:
    """Have `close` awaited once when the running loop ends.

    `asyncio.run` closes the asynchronous generators that are left, after it has cancelled all tasks. A loop that is
    closed otherwise does not call `close`.
    """
    loop = asyncio.get_running_loop()
    for closed in [each for each in _ends if each.is_closed()]:
        del _ends[closed]
    if loop not in _ends:
        _ends[loop] = _until_closed(loop, close)
        await anext(_ends[loop])  # from here on the loop knows it


async def _until_closed(
    loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _ends.pop(loop, None)
        await close()
