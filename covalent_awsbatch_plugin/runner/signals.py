# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The signals of a supervisor, and its time: whether it must stop, and what wakes it."""

from __future__ import annotations

import math
import os
import signal
import time
from types import FrameType

_TOLD = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_TOLD, signal.SIGCHLD)


class Stop:
    """Whether this process was told to stop, or its time is over. Times are monotonic seconds.

    PID 1 has no default dispositions: without a handler SIGTERM is ignored, and Batch kills the container 30 s later.
    """

    def __init__(self) -> None:
        self._told: float | None = None
        self._deadline = math.inf
        self.wakes, self._write = os.pipe()
        for end in (self.wakes, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if number in _TOLD and self._told is None:
            self._told = time.monotonic()

    @property
    def told(self) -> bool:
        """Whether it was told by a signal; soon after it comes SIGKILL."""
        return self._told is not None

    @property
    def overdue(self) -> bool:
        """Whether its time was over before anybody told it to stop."""
        return self._deadline <= (self._told or time.monotonic())

    @property
    def at(self) -> float | None:
        """When it had to begin to stop, or None."""
        return self._deadline if self.overdue else self._told

    def since(self) -> float | None:
        """Seconds since `at`."""
        at = self.at
        return None if at is None else time.monotonic() - at

    def limit(self, seconds: float) -> None:
        """From now on its time is over after so many."""
        self._deadline = time.monotonic() + seconds

    def drain_wakeup(self) -> None:
        """Forget what woke us."""
        try:
            os.read(self.wakes, 4096)
        except BlockingIOError:
            return

    def fork(self, *, supervisor: bool = False) -> int:
        """os.fork, with this process's signals as they are and the child's as any program expects them.

        A `supervisor` has its own as this one has: nothing that it is told is lost, and it has been told nothing yet.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if pid == 0:
            self._give_back()
            if supervisor:
                Stop.__init__(self)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        return pid

    def _give_back(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.wakes)
        os.close(self._write)
