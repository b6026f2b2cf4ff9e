# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the supervisor makes of a process that has ended: an outcome, and its words where the process had none."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from . import traceback_text
from .execute import Report
from .job import TaskFolder
from .protocol import envelope
from .protocol.envelope import PARTS, TaskResult, Usage
from .protocol.task import TaskSpec

_CGROUP = Path("/sys/fs/cgroup")
_OOM_COUNTERS = (_CGROUP / "memory.events", _CGROUP / "memory/memory.oom_control")  # cgroup v2, v1
_SIGKILL = 9


@dataclass(frozen=True)
class Ended:
    """`status` is the exit code or minus the signal; `told`: it was told to stop; `out_of_memory`: kernel's kills.

    `overdue`: it was told so because its own time limit was over.
    """

    status: int
    told: bool
    out_of_memory: int
    overdue: bool = False
    usage: Usage | None = None


def judge(task: TaskSpec, folder: TaskFolder, ended: Ended) -> TaskResult:
    """How the task ended, and what it used; its error part gets the words."""
    return replace(_judged(task, folder, ended), usage=ended.usage)


def _judged(task: TaskSpec, folder: TaskFolder, ended: Ended) -> TaskResult:
    report = Report.read(folder.report)
    if report and report.outcome == envelope.RETURNED:
        return TaskResult(task.node_id, envelope.RETURNED, 0)
    folder.part(envelope.OUTPUT).unlink(missing_ok=True)  # half written, perhaps
    if report and not ended.told:
        if ended.out_of_memory:
            _add(folder, f"Meanwhile {_kills(ended.out_of_memory)}\n")
        return TaskResult(task.node_id, report.outcome, report.exit_code, None, report.exception_type)
    signal = -ended.status if ended.status < 0 else None
    outcome, words = _ended_from_outside(task, ended)
    _add(folder, words)
    exception_type = report.exception_type if report else None
    return TaskResult(task.node_id, outcome, 128 + signal if signal else ended.status, signal, exception_type)


def never_ran(task: TaskSpec, folder: TaskFolder, outcome: str, why: str) -> TaskResult:
    _add(folder, f"{task.name} was not run: {why}\n")
    return TaskResult(task.node_id, outcome)


def parts(folder: TaskFolder) -> dict[str, Path]:
    """The files the task left, by the names of their parts."""
    return {name: folder.part(name) for name in PARTS if folder.part(name).exists()}


def oom_kills() -> int:
    """How many processes of this container the kernel has ended for memory, so far."""
    for path in _OOM_COUNTERS:
        try:
            counters = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return int(counters["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _ended_from_outside(task: TaskSpec, ended: Ended) -> tuple[str, str]:
    if ended.told and ended.overdue:
        return envelope.TIMED_OUT, f"{task.name} ran longer than its time limit, and was told to stop.\n"
    if ended.told:
        return envelope.TERMINATED, f"{task.name} was told to stop by SIGTERM before it returned.\n"
    if ended.status >= 0:
        return envelope.EXITED, f"{task.name} left by os._exit with code {ended.status}, and returned nothing.\n"
    if ended.status == -_SIGKILL and ended.out_of_memory:
        return envelope.OUT_OF_MEMORY, f"{task.name} was ended, for {_kills(ended.out_of_memory)}\n"
    return envelope.KILLED, f"{task.name} was ended by {traceback_text.signal_name(-ended.status)}.\n"


def _kills(number: int) -> str:
    return f"the container's memory was used up, and the kernel ended {number} of its processes: give it more (memory)."


def _add(folder: TaskFolder, words: str) -> None:
    """To the error's part, and to who reads the container's log."""
    print(f"covalent-awsbatch: {words}", end="", file=sys.stderr, flush=True)
    with folder.part(envelope.ERROR).open("a", encoding="utf-8") as file:
        file.write(words)
