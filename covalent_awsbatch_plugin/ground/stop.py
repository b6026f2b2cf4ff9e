# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The signals of the supervisor: whether it was told to stop, and what wakes it."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

_TOLD = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_TOLD, signal.SIGCHLD)


class Stop:
    """`at` is when the container was first told to stop (monotonic seconds), or None.

    PID 1 has no default dispositions: without a handler SIGTERM is ignored, and Batch kills the container 30 s later.
    """

    def __init__(self) -> None:
        self.at: float | None = None
        self.wakes, self._write = os.pipe()
        for end in (self.wakes, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if number in _TOLD and self.at is None:
            self.at = time.monotonic()

    def since(self) -> float | None:
        """Seconds since the first word to stop."""
        return None if self.at is None else time.monotonic() - self.at

    def hush(self) -> None:
        """Forget what woke us."""
        try:
            os.read(self.wakes, 4096)
        except BlockingIOError:
            return

    def fork(self) -> int:
        """os.fork, with this process's signals as they are and the child's as any program expects them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if pid == 0:
            self._give_back()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        return pid

    def _give_back(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.wakes)
        os.close(self._write)
