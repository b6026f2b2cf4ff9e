# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The signals and the time limit of a supervisor: they decide when it must stop, and wake it."""

from __future__ import annotations

import math
import os
import signal
import time
from types import FrameType

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_STOP_SIGNALS, signal.SIGCHLD)


class Stop:
    """The state of this process's stop: by a signal, or because its time is over. Times are monotonic seconds.

    PID 1 has no default dispositions: without a handler SIGTERM is ignored, and Batch kills the container 30 s later.
    """

    def __init__(self) -> None:
        self._signal_time: float | None = None
        self._deadline = math.inf
        self.wakes, self._write = os.pipe()
        for end in (self.wakes, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number in _STOP_SIGNALS and self._signal_time is None:
            self._signal_time = time.monotonic()

    @property
    def sigterm(self) -> bool:
        """True after SIGTERM (or SIGINT) arrived; SIGKILL follows soon."""
        return self._signal_time is not None

    @property
    def overdue(self) -> bool:
        """True if the time of this process was over before a signal told it to stop."""
        return self._deadline <= (self._signal_time or time.monotonic())

    @property
    def at(self) -> float | None:
        """The time at which this process had to begin to stop, or None."""
        return self._deadline if self.overdue else self._signal_time

    def since(self) -> float | None:
        """Return the seconds since `at`, or None."""
        at = self.at
        return None if at is None else time.monotonic() - at

    def limit(self, seconds: float) -> None:
        """Set the time limit of this process, counted from now."""
        self._deadline = time.monotonic() + seconds

    def drain_wakeup(self) -> None:
        """Remove the bytes that signals wrote into the wake-up pipe."""
        try:
            os.read(self.wakes, 4096)
        except BlockingIOError:
            return

    def fork(self, *, supervisor: bool = False) -> int:
        """Fork this process, as os.fork does; the child gets Python's default signal handlers.

        A `supervisor` gets this class's handlers instead, in their initial state. Signals are blocked meanwhile, so
        none is lost.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if pid == 0:
            self._restore_defaults()
            if supervisor:
                Stop.__init__(self)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        return pid

    def _restore_defaults(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.wakes)
        os.close(self._write)
