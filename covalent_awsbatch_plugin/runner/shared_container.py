# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A container with several tasks: the supervisor of their supervisors."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .child import usage
from .protocol import layout
from .protocol.envelope import Usage
from .protocol.layout import ExitCode
from .signals import Stop
from .unpack import NoJob

_TICK_S = 1.0


@dataclass(frozen=True)
class Load:
    """The container's tasks: their numbers in the array, how many run at once, and each one's time limit (seconds)."""

    members: range
    at_once: int
    time_limit_s: float

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Load | None:
        """Return the load that the job's environment describes, or None for a single task. Raises NoJob."""
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
    """The supervisors of a container's tasks: `exit_codes` are theirs, or minus the signal; `usage` has their times.

    CPU time and memory of a killed supervisor stay unknown: it ended before it could wait for its task's process.
    """

    def __init__(self, stop: Stop, at_once: int) -> None:
        self._stop, self._at_once = stop, at_once
        self._live: dict[int, int] = {}  # members by process
        self._stop_passed_on = False
        self.exit_codes: dict[int, int] = {}
        self.usage: dict[int, Usage] = {}
        self._started: dict[int, tuple[float, float]] = {}  # Unix seconds and monotonic seconds, by member

    def has_place(self) -> bool:
        """Wait until another task may begin; return False when none may, because the container must stop."""
        self._wait(self._at_once - 1)
        return self._stop.at is None

    def fork(self, member: int) -> bool:
        """Fork a supervisor for a member; return True in the supervisor."""
        started = time.time(), time.monotonic()
        pid = self._stop.fork(supervisor=True)
        if pid == 0:
            return True
        self._live[pid] = member
        self._started[member] = started
        return False

    def finish(self) -> None:
        """Wait for all supervisors."""
        self._wait(0)

    def killed(self) -> dict[int, int]:
        """Return the members whose supervisor was killed, with minus the signal: they have no result yet."""
        return {member: status for member, status in self.exit_codes.items() if status < 0}

    def _wait(self, limit: int) -> None:
        """Wait until at most `limit` supervisors run."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.wakes, selectors.EVENT_READ)
            while True:
                self._stop.drain_wakeup()
                self._reap()
                self._pass_stop_on()
                if len(self._live) <= limit:
                    return
                selector.select(_TICK_S)

    def _pass_stop_on(self) -> None:
        """Send SIGTERM to all supervisors, once; each then gives its task the grace time."""
        if self._stop.at is None or self._stop_passed_on:
            return
        self._stop_passed_on = True
        for pid in self._live:
            os.kill(pid, signal.SIGTERM)  # not reaped yet, so the id is still the supervisor's

    def _reap(self) -> None:
        """Reap all ended processes; as PID 1 this process is the parent of all orphans too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._live:
                member = self._live.pop(pid)
                self.exit_codes[member] = os.waitstatus_to_exitcode(status)
                self.usage[member] = usage(*self._started[member], None)


def exit_code(load: Load, exit_codes: Mapping[int, int], *, sigterm: bool) -> ExitCode:
    """Return the container's exit code from those of its tasks' supervisors."""
    codes = {exit_codes.get(member) for member in load.members}
    if codes <= {layout.RETURNED.code}:
        return layout.RETURNED
    if sigterm:
        return layout.TERMINATED
    if not codes <= {layout.RETURNED.code, layout.RAISED.code, layout.NO_INPUT.code}:
        return layout.NOT_COMMITTED
    return layout.NO_INPUT if layout.NO_INPUT.code in codes else layout.RAISED
