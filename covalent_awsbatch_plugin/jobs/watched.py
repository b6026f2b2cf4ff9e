# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The state that the watcher keeps of each job, and the futures of its callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import AWSBatchError, Lost
from ..runner.protocol import layout
from .description import FAILED, SUCCEEDED, JobState

FORGOTTEN_SECONDS = 120  # time without the id in AWS Batch's answers; a new id can be unknown for seconds
FAILED_SECONDS = 600  # time of errors that a retry does not help, but a new sign-in may

T = TypeVar("T")
List = Callable[[str], Awaitable[list[str]]]  # the keys below a prefix


@dataclass(frozen=True)
class Committed:
    """A task has written a result; `attempt` is the newest one that did."""

    attempt: int


class End(Generic[T]):
    """A result that several callers wait for."""

    def __init__(self) -> None:
        self._result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.waiting = 0

    @property
    def open(self) -> bool:
        """True until there is a result."""
        return not self._result.done()

    async def wait(self) -> T:
        """Wait for the result. Raises the error of `fail`."""
        self.waiting += 1
        try:
            return await asyncio.shield(self._result)
        finally:
            self.waiting -= 1

    def tell(self, outcome: T) -> None:
        """Set the result, unless there is one."""
        if self.open:
            self._result.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Raise this error for all callers that wait."""
        if self.open and self.waiting:
            self._result.set_exception(error)


@dataclass(eq=False)
class Watched:
    """A job that AWS Batch is asked about every `every` seconds, and the seconds without an answer."""

    every: float
    state: JobState | None = None
    unseen_s: float = 0
    failing_s: float = 0

    def fail(self, error: Exception) -> None:
        """Raise this error for all callers that wait."""
        raise NotImplementedError

    def not_answered(self, error: AWSBatchError, after_s: float, outage_patience: float) -> None:
        """Count a request, `after_s` seconds after the last one, that failed; fail after a while.

        That is `outage_patience` seconds for no answer, else FAILED_SECONDS.
        """
        self.failing_s += after_s
        if self.failing_s >= (outage_patience if error.retry_may_help else FAILED_SECONDS):
            self.fail(error)

    def not_known(self, job_id: str, after_s: float) -> None:
        """Count an answer without the id, which AWS Batch does not know yet or no longer."""
        self.unseen_s += after_s
        if self.unseen_s >= FORGOTTEN_SECONDS:
            self.fail(_lost(job_id))


def _lost(job_id: str) -> Lost:
    advice = "AWS Batch keeps a job for seven days after its end. Check that region and profile are still the same."
    return Lost(f"AWS Batch does not know the job {job_id}.", advice=advice)


@dataclass(eq=False)
class Job(Watched):
    """A job that callers wait for by its own id."""

    end: End[JobState] = field(default_factory=End)

    def fail(self, error: Exception) -> None:
        self.end.fail(error)


@dataclass(eq=False)
class Seen(Watched):
    """A job whose state is told at each look."""

    news: list[asyncio.Event] = field(default_factory=list)
    _error: Exception | None = None

    @property
    def open(self) -> bool:
        """True until an error was told, or the job's end."""
        return self._error is None and not (self.state and self.state.ended)

    def fail(self, error: Exception) -> None:
        self._error = error
        for event in self.news:
            event.set()

    def listen(self) -> asyncio.Event:
        """Return the event of one more listener; it is set now if an end is known."""
        event = asyncio.Event()
        self.news.append(event)
        if not self.open:
            event.set()
        return event

    def tell(self) -> None:
        """Tell the state of this look."""
        if self.state:
            for event in self.news:
                event.set()

    async def next(self, news: asyncio.Event) -> JobState:
        """Wait for the next look; return the newest state. Raises the error of `fail`."""
        await news.wait()
        news.clear()
        if self._error:
            raise self._error
        assert self.state
        return self.state


class Task(End[Committed | JobState]):
    """A task of an array, or of a job that tasks share; `job_id` is the job that runs it."""

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id


@dataclass(eq=False)
class Array(Watched):
    """An array job, or a job whose tasks share containers, with the tasks that callers wait for, by number.

    `committed` are tasks known to have a result, `counted` is the number of jobs that had ended at the last look;
    `missed` says that a caller came since and may have missed that look.
    """

    prefix: str = field(kw_only=True)
    keys: List = field(kw_only=True)
    shared: bool = field(kw_only=True)
    tasks: dict[int, Task] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    counted: int = 0
    missed: bool = True
    untold_s: float = 0

    def fail(self, error: Exception) -> None:
        for task in self.tasks.values():
            task.fail(error)

    def task(self, number: int, job_id: str) -> Task:
        """Return a task's end, the same for all callers."""
        self.missed = True
        return self.tasks.setdefault(number, Task(job_id))

    @property
    def waiting(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.open]

    @property
    def ended_jobs(self) -> int:
        return self.state.children.get(SUCCEEDED, 0) + self.state.children.get(FAILED, 0) if self.state else 0

    @property
    def worth_a_look(self) -> bool:
        """True if a task may have ended since the last look; tasks that share a container end before it does."""
        if self.state is None or not has_begun(self.state):
            return False
        return self.shared or self.missed or self.ended_jobs != self.counted

    @property
    def unexplained(self) -> bool:
        """True if more jobs have ended than results are known."""
        return self.ended_jobs > (self.counted if self.shared else len(self.committed))

    def not_told(self, after_s: float) -> None:
        """Count an ended array without an answer about some tasks: a child's end may show after its parent's."""
        self.untold_s += after_s
        if self.untold_s >= FORGOTTEN_SECONDS:
            for task in self.waiting:
                task.fail(_lost(task.job_id))

    def note_results(self, keys: Iterable[str], below: str) -> bool:
        """Set the results of tasks whose keys are below `below`; return whether one is new."""
        attempts = results_in(keys, below)
        new = bool(attempts.keys() - self.committed)
        self.committed |= attempts.keys()
        for number in attempts.keys() & self.tasks.keys():
            self.tasks[number].tell(Committed(attempts[number]))
        return new


BEGUN = frozenset({"STARTING", "RUNNING", SUCCEEDED, FAILED})


def has_begun(state: JobState) -> bool:
    """Return whether the job has left the queue. An array job is PENDING while its child jobs run."""
    return bool(BEGUN & {state.status, *(status for status, count in state.children.items() if count)})


def results_in(keys: Iterable[str], below: str) -> dict[int, int]:
    """Return the newest attempt of each task that has committed, by number.

    It parses the keys of `layout.result_key`.
    """
    newest: dict[int, int] = {}
    for key in keys:
        match key.removeprefix(below).split("/"):
            case [number, attempt, layout.RESULT_NAME] if number.isdecimal() and attempt.isdecimal():
                newest[int(number)] = max(newest.get(int(number), 0), int(attempt))
    return newest
