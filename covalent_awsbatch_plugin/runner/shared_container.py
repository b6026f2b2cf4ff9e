# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A container with several tasks: the supervisor of their supervisors."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .bucket import Store
from .bundles import Bundles, write
from .child import usage
from .kept_file import KeptFile
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

    def __init__(
        self, stop: Stop, at_once: int, bundles: Bundles | None = None, open_store: Callable[[], Store] | None = None
    ) -> None:
        self._stop, self._at_once, self._bundles, self._open_store = stop, at_once, bundles, open_store
        self._writers: dict[int, list[int]] = {}  # members of the bundle that a process writes, by process
        self._live: dict[int, int] = {}  # members by process
        self._stop_passed_on = False
        self.exit_codes: dict[int, int] = {}
        self.result: KeptFile | None = None  # the file for the result of the member that was forked last
        self.usage: dict[int, Usage] = {}
        self._started: dict[int, tuple[float, float]] = {}  # Unix seconds and monotonic seconds, by member

    def has_place(self) -> bool:
        """Wait until another task may begin; return False when none may, because the container must stop."""
        self._wait(self._at_once - 1)
        return self._stop.at is None

    def fork(self, member: int) -> bool:
        """Fork a supervisor for a member; return True in the supervisor."""
        self.result = self._bundles.open(member) if self._bundles else None
        started = time.time(), time.monotonic()
        pid = self._stop.fork(supervisor=True)
        if pid == 0:
            return True
        self._live[pid] = member
        self._started[member] = started
        return False

    def finish(self) -> None:
        """Wait for all supervisors, and until their results are written."""
        self._wait(0)
        while self._write_bundle():
            continue
        while self._writers:
            self._wait(0, len(self._writers) - 1)

    def killed(self) -> dict[int, int]:
        """Return the members whose supervisor was killed, with minus the signal: they have no result yet."""
        return {member: status for member, status in self.exit_codes.items() if status < 0}

    def _write_bundle(self) -> bool:
        """Have results that wait written by a process of its own, because the S3 client starts threads.

        Return whether there were any.
        """
        if not self._bundles or not self._open_store:
            return False
        key, content = self._bundles.next()
        if not content:
            return False
        pid = self._stop.fork()
        if pid == 0:
            os._exit(write(key, content, self._open_store))
        self._writers[pid] = [member for member, _ in content]
        return True

    def _wait(self, limit: int, writers: int = 1_000) -> None:
        """Wait until at most `limit` supervisors and `writers` of bundles run."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.wakes, selectors.EVENT_READ)
            while True:
                self._stop.drain_wakeup()
                self._reap()
                self._pass_stop_on()
                if self._bundles and self._bundles.due:
                    self._write_bundle()
                if len(self._live) <= limit and len(self._writers) <= writers:
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
                if self._bundles:
                    self._bundles.take(member, whole=self.exit_codes[member] >= 0)
            elif pid in self._writers and status:
                self.exit_codes |= dict.fromkeys(self._writers[pid], layout.NOT_COMMITTED.code)
            self._writers.pop(pid, None)


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
