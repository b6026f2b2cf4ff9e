# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The event loop of a process's pools, in one daemon thread that starts with the first pool."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """An event loop that runs in a thread of its own; any other thread may give it work."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="awsbatch-pool", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """True in the loop's own thread: there, waiting for other work of the loop never ends."""
        return threading.current_thread() is self._thread

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine and return its future. Raises RuntimeError in a forked child, where no thread runs."""
        if os.getpid() != self._pid:
            work.close()
            raise RuntimeError(
                "A BatchPool can't be used in a forked process: its connections belong to the parent. "
                "Create the pool in the child before anything else uses one, or start the child by spawn."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and wait for its result. Not for the loop's own thread."""
        return self.start(work).result()


@functools.cache
def background_loop() -> BackgroundLoop:
    """Return the loop of this process, which is made at the first call."""
    return BackgroundLoop()
