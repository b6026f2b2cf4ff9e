# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The outcome of a task whose process has ended, and its error text where the process wrote none."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from . import traceback_text
from .execute import Report
from .job import TaskFiles
from .kept_file import full_disk
from .protocol import envelope
from .protocol.envelope import TaskResult, Usage
from .protocol.task import TaskSpec

_CGROUP = Path("/sys/fs/cgroup")
_OOM_COUNTERS = (_CGROUP / "memory.events", _CGROUP / "memory/memory.oom_control")  # cgroup v2, v1
_SIGKILL = 9


@dataclass(frozen=True)
class ProcessEnd:
    """The end of a task's process: `status` is its exit code or minus the signal.

    `stop_signal`: the supervisor sent it SIGTERM. `out_of_memory`: how many processes the kernel ended for memory
    meanwhile. `overdue`: SIGTERM was sent because the task's own time limit was over.
    """

    status: int
    stop_signal: bool
    out_of_memory: int
    overdue: bool = False
    usage: Usage | None = None


def judge(task: TaskSpec, files: TaskFiles, end: ProcessEnd) -> TaskResult:
    """Return the task's result, without its parts; append an error text to the error part where the task failed."""
    result = replace(_judged(task, files, end), usage=end.usage)
    if result.outcome not in (envelope.RETURNED, envelope.NO_ROOM) and (words := full_disk()):
        _add(files, f"{words}\n")
    files.ended(ran=True)
    return result


def _judged(task: TaskSpec, files: TaskFiles, end: ProcessEnd) -> TaskResult:
    report = Report.read(files.report)
    if report and report.outcome == envelope.RETURNED:
        return TaskResult(task.node_id, envelope.RETURNED, 0)
    files.parts[envelope.OUTPUT].clear()  # half written, perhaps
    if report and not end.stop_signal:
        if end.out_of_memory:
            _add(files, f"Meanwhile {_kills(end.out_of_memory)}\n")
        return TaskResult(task.node_id, report.outcome, report.exit_code, None, report.exception_type)
    signal = -end.status if end.status < 0 else None
    outcome, words = _end_from_outside(task, end)
    _add(files, words)
    exception_type = report.exception_type if report else None
    return TaskResult(task.node_id, outcome, 128 + signal if signal else end.status, signal, exception_type)


def never_ran(task: TaskSpec, files: TaskFiles, outcome: str, reason: str) -> TaskResult:
    """Return the result of a task that was not run; write the reason to its error part."""
    _add(files, f"{task.name} was not run: {reason}\n")
    files.ended(ran=False)
    return TaskResult(task.node_id, outcome)


def oom_kills() -> int:
    """Return how many processes of this container the kernel has ended for memory; 0 where it can't be read."""
    for path in _OOM_COUNTERS:
        try:
            counters = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return int(counters["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _end_from_outside(task: TaskSpec, end: ProcessEnd) -> tuple[str, str]:
    if end.stop_signal and end.overdue:
        return envelope.TIMED_OUT, f"{task.name} ran longer than its time limit, and was told to stop.\n"
    if end.stop_signal:
        return envelope.TERMINATED, f"{task.name} was told to stop by SIGTERM before it returned.\n"
    if end.status >= 0:
        return envelope.EXITED, f"{task.name} left by os._exit with code {end.status}, and returned nothing.\n"
    if end.status == -_SIGKILL and end.out_of_memory:
        return envelope.OUT_OF_MEMORY, f"{task.name} was ended, for {_kills(end.out_of_memory)}\n"
    return envelope.KILLED, f"{task.name} was ended by {traceback_text.signal_name(-end.status)}.\n"


def _kills(number: int) -> str:
    return f"the container's memory was used up, and the kernel ended {number} of its processes: give it more (memory)."


def _add(files: TaskFiles, words: str) -> None:
    """Append a text to the error part, and print it to the container's log."""
    with contextlib.suppress(OSError):  # the reader of this process's output has gone
        print(f"covalent-awsbatch: {words}", end="", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):  # the part is as long as it may be
        files.parts[envelope.ERROR].write(words.encode())
