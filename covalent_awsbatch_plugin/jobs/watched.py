# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the watcher keeps of each job that somebody waits for, and what it tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import AWSBatchError, Lost
from ..runner.protocol import layout
from .description import FAILED, SUCCEEDED, JobState

FORGOTTEN_SECONDS = 120  # AWS Batch did not know the id all that time; a fresh id can be unknown for seconds
FAILED_SECONDS = 600  # all looks ended in an error that trying again does not help, but a new sign-in may

T = TypeVar("T")
List = Callable[[str], Awaitable[list[str]]]  # the keys below a prefix


@dataclass(frozen=True)
class Committed:
    """A task has written a result; which attempt's, the newest there is."""

    attempt: int


class End(Generic[T]):
    """An end that some wait for, each for as long as it likes."""

    def __init__(self) -> None:
        self._told: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.waiting = 0

    @property
    def open(self) -> bool:
        """Whether it is not told yet."""
        return not self._told.done()

    async def wait(self) -> T:
        """What is told. Raises what it failed with."""
        self.waiting += 1
        try:
            return await asyncio.shield(self._told)
        finally:
            self.waiting -= 1

    def tell(self, outcome: T) -> None:
        """The first word is the last."""
        if self.open:
            self._told.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Whoever waits gets this error."""
        if self.open and self.waiting:
            self._told.set_exception(error)


@dataclass(eq=False)
class Watched:
    """What AWS Batch is asked about by id, every `every` seconds. The seconds say how long it has gone unanswered."""

    every: float
    state: JobState | None = None
    unseen_s: float = 0
    failing_s: float = 0

    def fail(self, error: Exception) -> None:
        """Everybody who waits gets this error."""
        raise NotImplementedError

    def not_answered(self, error: AWSBatchError, after_s: float) -> None:
        """A look `after_s` seconds after the last one has failed; it may do so for a while."""
        self.failing_s += 0 if error.retry_may_help else after_s
        if self.failing_s >= FAILED_SECONDS:
            self.fail(error)

    def not_known(self, job_id: str, after_s: float) -> None:
        """AWS Batch does not know the id (yet, or any more)."""
        self.unseen_s += after_s
        if self.unseen_s >= FORGOTTEN_SECONDS:
            self.fail(_lost(job_id))


def _lost(job_id: str) -> Lost:
    advice = "It forgets jobs a week after their end. Look whether region and profile are still the same."
    return Lost(f"AWS Batch does not know the job {job_id}.", advice=advice)


@dataclass(eq=False)
class Job(Watched):
    """One job somebody waits for, by its own id."""

    end: End[JobState] = field(default_factory=End)

    def fail(self, error: Exception) -> None:
        self.end.fail(error)


class Task(End[Committed | JobState]):
    """A task of an array, or of a job that tasks share; `job_id` is the job that runs it."""

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id


@dataclass(eq=False)
class Array(Watched):
    """An array, or a job that tasks share, some of whose tasks somebody waits for, by their numbers.

    `committed` are those known to have written a result, `counted` how many jobs had ended at the last look into it;
    `missed` says that somebody came since, who may have missed what that look told.
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
        """The end of a task; the same for all who ask."""
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
        """Where tasks share a container, they end before it does."""
        if self.state is None or not has_begun(self.state):
            return False
        return self.shared or self.missed or self.ended_jobs != self.counted

    @property
    def unexplained(self) -> bool:
        """Whether jobs have ended whose tasks left no result, as far as is known."""
        return self.ended_jobs > (self.counted if self.shared else len(self.committed))

    def not_told(self, after_s: float) -> None:
        """All is over, and still nobody tells how some tasks ended: a child can be told of later than its parent."""
        self.untold_s += after_s
        if self.untold_s >= FORGOTTEN_SECONDS:
            for task in self.waiting:
                task.fail(_lost(task.job_id))

    def note_results(self, keys: Iterable[str], below: str) -> bool:
        """Tells of the tasks whose results are among the keys below `below`; whether one is new."""
        found = results_in(keys, below)
        new = bool(found.keys() - self.committed)
        self.committed |= found.keys()
        for number in found.keys() & self.tasks.keys():
            self.tasks[number].tell(Committed(found[number]))
        return new


BEGUN = frozenset({"STARTING", "RUNNING", SUCCEEDED, FAILED})


def has_begun(state: JobState) -> bool:
    """Whether the job has left the queue. An array's parent is PENDING while its children run."""
    return bool(BEGUN & {state.status, *(status for status, count in state.children.items() if count)})


def results_in(keys: Iterable[str], below: str) -> dict[int, int]:
    """The newest attempt of each task that has committed, by number: `layout.result_key`, read backwards."""
    newest: dict[int, int] = {}
    for key in keys:
        match key.removeprefix(below).split("/"):
            case [number, attempt, layout.RESULT_NAME] if number.isdecimal() and attempt.isdecimal():
                newest[int(number)] = max(newest.get(int(number), 0), int(attempt))
    return newest
