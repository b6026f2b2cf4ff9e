# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in one container, each under a supervisor of its own; here is who supervises those."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .child import usage
from .job import NoJob
from .protocol import layout
from .protocol.envelope import Usage
from .protocol.layout import ExitCode
from .signals import Stop

_TICK_S = 1.0


@dataclass(frozen=True)
class Load:
    """Which tasks of the array are this container's, how many run at once, and how many seconds each may run."""

    members: range
    at_once: int
    time_limit_s: float

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Load | None:
        """None where the container has but one. Raises NoJob."""
        if not env.get(layout.ENV_TASKS_PER_JOB):
            return None
        try:
            each = int(env[layout.ENV_TASKS_PER_JOB])
            first = int(env.get(layout.ENV_ARRAY_INDEX) or 0) * each
            members = range(first, min(first + each, int(env[layout.ENV_TASKS])))
            return cls(members, int(env[layout.ENV_PARALLEL_TASKS]), float(env[layout.ENV_TIME_LIMIT]))
        except (KeyError, ValueError) as error:
            raise NoJob(f"the job's environment does not say which tasks are this container's: {error!r}") from error


class SharedContainer:
    """`ended` has the exit code of each task's supervisor, or minus the signal; `usage` its time.

    CPU time and memory of a killed supervisor stay unknown: it did not live to wait for the process of its task.
    """

    def __init__(self, stop: Stop, at_once: int) -> None:
        self._stop, self._at_once = stop, at_once
        self._live: dict[int, int] = {}  # members by process
        self._pressed = False
        self.ended: dict[int, int] = {}
        self.usage: dict[int, Usage] = {}
        self._started: dict[int, tuple[float, float]] = {}  # Unix seconds and monotonic seconds, by member

    def has_place(self) -> bool:
        """Waits until another may begin; False when none may, for this container must stop."""
        self._wait(self._at_once - 1)
        return self._stop.at is None

    def fork(self, member: int) -> bool:
        """True in the member's supervisor."""
        started = time.time(), time.monotonic()
        pid = self._stop.fork(supervisor=True)
        if pid == 0:
            return True
        self._live[pid] = member
        self._started[member] = started
        return False

    def finish(self) -> None:
        """Waits for all."""
        self._wait(0)

    def killed(self) -> dict[int, int]:
        """Members whose supervisor was killed, with minus the signal: nobody has written how they ended."""
        return {member: status for member, status in self.ended.items() if status < 0}

    def _wait(self, most: int) -> None:
        """Until no more than `most` run."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.wakes, selectors.EVENT_READ)
            while True:
                self._stop.drain_wakeup()
                self._reap()
                self._press()
                if len(self._live) <= most:
                    return
                selector.select(_TICK_S)

    def _press(self) -> None:
        """Pass the word to stop on, once; each then has its own grace."""
        if self._stop.at is None or self._pressed:
            return
        self._pressed = True
        for pid in self._live:
            os.kill(pid, signal.SIGTERM)  # not reaped, so it is still ours

    def _reap(self) -> None:
        """All that have ended; as PID 1 we are given everybody's orphans too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._live:
                member = self._live.pop(pid)
                self.ended[member] = os.waitstatus_to_exitcode(status)
                self.usage[member] = usage(*self._started[member], None)


def exit_code(load: Load, ended: Mapping[int, int], *, told: bool) -> ExitCode:
    """The container's, of all of its tasks'."""
    codes = {ended.get(member) for member in load.members}
    if codes <= {layout.RETURNED.code}:
        return layout.RETURNED
    if told:
        return layout.TERMINATED
    if not codes <= {layout.RETURNED.code, layout.RAISED.code, layout.NO_INPUT.code}:
        return layout.NOT_COMMITTED
    return layout.NO_INPUT if layout.NO_INPUT.code in codes else layout.RAISED
