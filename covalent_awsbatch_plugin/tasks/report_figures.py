# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The figures of a report on a dispatch or a pool, made from its events. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .events import Event, Kind
from .jobs_view import GIB, Use, memory_hint


class State(StrEnum):
    """The states of a task in a report; a task that was submitted is ACTIVE until its end is known here."""

    PACKED = "not submitted"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Attempt:
    """One attempt of a task. Times are None where the record has none; memory is in bytes, CPU time in seconds."""

    job_id: str
    number: int
    started: float | None = None
    ended: float | None = None
    outcome: str = ""
    error: str = ""
    reason: str = ""
    exit_code: int | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None

    @property
    def seconds(self) -> float | None:
        """The time for which it ran; None where that is not known."""
        return None if self.started is None or self.ended is None else max(0.0, self.ended - self.started)

    @property
    def failed(self) -> bool:
        """True where it ended without a value."""
        return self.ended is not None and self.outcome != "returned"


@dataclass
class TaskFigures:
    """One node of a dispatch, or one call of a pool."""

    node: int
    name: str = ""
    submitted: float | None = None
    ended: float | None = None
    state: State = State.PACKED
    error: str = ""
    reason: str = ""
    vcpu: float = 0.0
    memory_bytes: int = 0
    gpus: int = 0
    tasks_per_job: int = 1
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)

    @property
    def last(self) -> Attempt | None:
        """The last attempt, None before its end is known."""
        return next(reversed(self.attempts.values()), None)

    @property
    def started(self) -> float | None:
        """The begin of its first attempt."""
        return next((each.started for each in self.attempts.values() if each.started is not None), None)

    @property
    def peak_bytes(self) -> int | None:
        """The largest peak of its attempts."""
        return max((each.peak_bytes for each in self.attempts.values() if each.peak_bytes), default=None)


@dataclass(frozen=True)
class Submission:
    """The request of some jobs: how many tasks went with these figures."""

    image: str
    queue: str
    vcpu: float
    memory_gib: float
    gpus: int
    tasks_per_job: int
    tasks: int
    jobs: int


@dataclass(frozen=True)
class FailureGroup:
    """Failed tasks with one cause: the class of the error, its first line, and their nodes."""

    error: str
    reason: str
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class ReportFigures:
    """All figures of a report. `began` and `ended` are the first and the last time of the record."""

    dispatch_id: str
    tasks: Sequence[TaskFigures]
    submissions: Sequence[Submission]
    began: float
    ended: float

    def count(self, state: State) -> int:
        """Return the number of tasks in a state."""
        return sum(task.state == state for task in self.tasks)

    @property
    def is_over(self) -> bool:
        """True if no task is under way."""
        return not self.count(State.ACTIVE) and not self.count(State.PACKED)

    def failures(self) -> list[FailureGroup]:
        """Return the failed and cancelled tasks by cause, the largest group first."""
        groups: dict[tuple[str, str], list[int]] = {}
        for task in self.tasks:
            if task.state in (State.FAILED, State.CANCELLED):
                groups.setdefault((task.error, task.reason), []).append(task.node)
        causes = [FailureGroup(error, reason, tuple(nodes)) for (error, reason), nodes in groups.items()]
        return sorted(causes, key=lambda group: -len(group.nodes))

    def run_seconds(self) -> list[float]:
        """Return how long each attempt with a value ran."""
        return [each.seconds for each in self._attempts() if each.seconds is not None and not each.failed]

    def wait_seconds(self) -> list[float]:
        """Return how long each task waited from its submission to its first begin."""
        pairs = [(task.submitted, task.started) for task in self.tasks]
        return [
            max(0.0, begin - submission) for submission, begin in pairs if submission is not None and begin is not None
        ]

    def peaks_gib(self) -> list[float]:
        """Return the peak memory of each task in GiB."""
        return [task.peak_bytes / GIB for task in self.tasks if task.peak_bytes]

    def concurrency(self) -> list[tuple[float, int]]:
        """Return the steps of the number of running tasks: each time, and the number from then on."""
        changes: dict[float, int] = {}
        for each in self._attempts():
            if each.started is not None and each.ended is not None:
                changes[each.started] = changes.get(each.started, 0) + 1
                changes[each.ended] = changes.get(each.ended, 0) - 1
        steps, running = [], 0
        for time, change in sorted(changes.items()):
            running += change
            steps.append((time, running))
        return steps

    def use(self) -> Use:
        """Return what the attempts used; a shared container's time counts once for all of its tasks."""
        pairs = [(task, (each.seconds or 0.0) / 3600) for task in self.tasks for each in task.attempts.values()]
        return Use(
            jobs=sum(hours > 0 for _, hours in pairs),
            vcpu_hours=sum(hours * task.vcpu / task.tasks_per_job for task, hours in pairs),
            gib_hours=sum(hours * task.memory_bytes / GIB / task.tasks_per_job for task, hours in pairs),
            gpu_hours=sum(hours * task.gpus / task.tasks_per_job for task, hours in pairs),
        )

    def hints(self) -> list[str]:
        """Return a sentence for each function that asked for much more memory or CPU than it used."""
        by_name: dict[str, list[TaskFigures]] = {}
        for task in self.tasks:
            if task.state == State.SUCCEEDED and task.tasks_per_job == 1:
                by_name.setdefault(task.name, []).append(task)
        sentences = [each for name, tasks in by_name.items() for each in (_memory(name, tasks), _cpu(name, tasks))]
        return [each for each in sentences if each]

    def _attempts(self) -> Iterable[Attempt]:
        return (each for task in self.tasks for each in task.attempts.values())


def _memory(name: str, tasks: Sequence[TaskFigures]) -> str:
    peaks = [task.peak_bytes / GIB for task in tasks if task.peak_bytes]
    return memory_hint(name, max(task.memory_bytes for task in tasks) / GIB, max(peaks)) if peaks else ""


def _cpu(name: str, tasks: Sequence[TaskFigures]) -> str:
    """Return a sentence where tasks of at least 10 s used less than half of more than one vCPU."""
    vcpu = max(task.vcpu for task in tasks)
    lasts = [task.last for task in tasks if task.last]
    pairs = [(each.cpu_seconds, each.seconds) for each in lasts if each.cpu_seconds is not None and each.seconds]
    seconds = sum(ran for _, ran in pairs)
    if vcpu <= 1 or seconds < 10:
        return ""
    busy = max(cpu / ran for cpu, ran in pairs)
    return f"{name} asked for {vcpu:g} vCPUs and kept at most {busy:.1f} busy." if busy < vcpu / 2 else ""


# ---- from events -----------------------------------------------------------------------------------------------------
def report_figures(dispatch_id: str, events: Iterable[Event]) -> ReportFigures:
    """Return the figures of a dispatch's events."""
    builder = _Builder()
    began, ended = float("inf"), 0.0
    for event in events:
        builder.add(event)
        began, ended = min(began, event.time), max(ended, event.last_time)
    tasks = sorted(builder.tasks.values(), key=lambda task: task.node)
    return ReportFigures(dispatch_id, tasks, builder.submissions(), 0.0 if began > ended else began, ended)


class _Builder:
    def __init__(self) -> None:
        self.tasks: dict[int, TaskFigures] = {}
        self._requests: dict[tuple[str, str, float, float, int, int], tuple[int, set[str]]] = {}

    def submissions(self) -> list[Submission]:
        return [Submission(*request, tasks, len(jobs)) for request, (tasks, jobs) in self._requests.items()]

    def add(self, event: Event) -> None:
        figures = event.figures
        if event.kind == Kind.SUBMITTED:
            request = (
                figures.get("image", ""), figures.get("queue", ""), figures.get("vcpu", 0.0),
                figures.get("memory_mib", 0) / 1024, figures.get("gpus", 0), figures.get("tasks_per_job", 1),
            )  # fmt: skip
            tasks, jobs = self._requests.get(request, (0, set[str]()))
            self._requests[request] = tasks + len(event.node_ids), jobs | {figures.get("job_id", "")}
        for node in event.node_ids:
            self._add(self.tasks.setdefault(node, TaskFigures(node)), event)

    def _add(self, task: TaskFigures, event: Event) -> None:
        figures = event.figures
        match event.kind:
            case Kind.PACKED:
                task.name = figures.get("name", "")
            case Kind.SUBMITTED:
                task.submitted = event.time if task.submitted is None else task.submitted
                task.state, task.ended = State.ACTIVE, None
                task.vcpu, task.gpus = figures.get("vcpu", 0.0), figures.get("gpus", 0)
                task.memory_bytes = figures.get("memory_mib", 0) << 20
                task.tasks_per_job = figures.get("tasks_per_job", 1)
            case Kind.STARTED:
                _attempt(task, event).started = event.time
            case Kind.ATTEMPT_ENDED:
                _add_end(_attempt(task, event), event)
            case Kind.RESULT_READ:
                task.ended = event.time
                task.error = figures.get("error", "")
                task.state = State.FAILED if task.error else State.SUCCEEDED
                _explain(task)
            case Kind.FAILED | Kind.CANCELLED:
                task.ended, task.error = event.time, figures.get("error", "")
                task.reason = figures.get("reason", "")
                task.state = State.FAILED if event.kind == Kind.FAILED else State.CANCELLED


def _attempt(task: TaskFigures, event: Event) -> Attempt:
    key = event.figures.get("job_id", ""), event.figures.get("attempt", 1)
    return task.attempts.setdefault(key, Attempt(*key))


def _add_end(attempt: Attempt, event: Event) -> None:
    figures = event.figures
    attempt.ended = event.time
    attempt.outcome = figures.get("outcome", "")
    attempt.error, attempt.reason = figures.get("error", ""), figures.get("reason", "")
    attempt.exit_code = figures.get("exit_code")
    if (started := figures.get("started")) is not None:
        attempt.started = started
    user, system = figures.get("user_cpu_seconds"), figures.get("system_cpu_seconds")
    attempt.cpu_seconds = None if user is None or system is None else user + system
    attempt.peak_bytes = figures.get("peak_rss_bytes")


def _explain(task: TaskFigures) -> None:
    """Give a failed task the words of its last attempt: the class of its exception, or AWS Batch's reason."""
    if not task.error or not (last := task.last):
        return
    task.error = last.error or task.error
    task.reason = last.reason or (f"exit code {last.exit_code}" if last.exit_code else last.outcome)
