# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The tasks that this process has under way, so that a cancel finds each of them at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..images.builders.builder import Base
from .array_package import AnyPackage
from .dependency_layers import NO_DEPENDENCIES, DependencyLayers
from .job_handle import JobHandle
from .staged_group import StagedGroup

Node = tuple[str, int]  # dispatch id, node id


@dataclass(eq=False)
class Task:
    """One task group under way, or all calls of a pool's array: what it is, what it needs, which job runs it.

    `package`, `base` and `dependencies` are known once the task is packed, and only kept after the submission while the
    task may have to be submitted again. `handle` is known once its job is submitted. Whoever cancels any of its nodes
    sets `cancelled`. `abandoned` says that its caller has gone, so that its submission releases what it holds.
    `tries` counts the submissions, from 1, and `earlier_attempts` the attempts of all jobs before.
    Without `shares_jobs` its job holds tasks of the same dispatch only, so that all of them can be ended by ending the
    job. `note` is for a door with a record of its own: it gets the handle before the submission, without the job's id,
    and after it, and the ledger has no entry then. With `keeps_results` the bucket keeps the results that were read.
    `followed` says that others are known to come, so that even the first of its kind waits for them.
    """

    nodes: tuple[Node, ...]
    group: StagedGroup | None = None
    package: AnyPackage | None = None
    base: Base | None = None
    dependencies: DependencyLayers = NO_DEPENDENCIES
    tries: int = 1
    earlier_attempts: int = 0
    handle: JobHandle | None = None
    cancelled: bool = False
    abandoned: bool = False
    shares_jobs: bool = True
    note: Callable[[JobHandle], None] | None = None
    keeps_results: bool = False
    followed: bool = False
    _on_cancel: list[Callable[[], object]] = field(default_factory=list)

    @classmethod
    def of(cls, group: StagedGroup) -> Task:
        """Return the task of a staged group."""
        return cls(tuple((group.dispatch_id, node) for node in group.node_ids), group)

    @property
    def first(self) -> Node:
        """The dispatch and the id of the task group, which is that of its first node."""
        return (self.group.dispatch_id, self.group.task_group_id) if self.group else self.nodes[0]

    @property
    def staged(self) -> StagedGroup:
        """The staged files; they are there until the task is submitted."""
        assert self.group is not None, "this task was opened by a watcher and never staged here"
        return self.group

    @property
    def packed(self) -> AnyPackage:
        """The packed task; it is there between packing and submission."""
        assert self.package is not None, "this task is not packed"
        return self.package

    @property
    def checked_base(self) -> Base:
        """The base image that fits the task; it is there between packing and submission."""
        assert self.base is not None, "this task's base image is not known yet"
        return self.base

    def release(self) -> None:
        """Drop the packed bytes once nothing can submit them again."""
        self.package, self.base, self.dependencies = None, None, NO_DEPENDENCIES

    def cancel(self) -> None:
        """Mark the task as cancelled and call every callback of `on_cancel`."""
        self.cancelled = True
        for callback in self._on_cancel:
            callback()

    @contextmanager
    def on_cancel(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` if the task is cancelled inside the context."""
        self._on_cancel.append(callback)
        try:
            yield
        finally:
            self._on_cancel.remove(callback)


class InFlight:
    """Every task of this process by node."""

    def __init__(self) -> None:
        self._tasks: dict[Node, Task] = {}

    def open(self, dispatch_id: str, node_ids: tuple[int, ...], group: StagedGroup | None = None) -> Task:
        """Return the task of these nodes, a new one where none is open: so `poll` finds the task of `send`."""
        nodes = tuple((dispatch_id, node) for node in node_ids)
        task = self._tasks.get(nodes[0]) or Task(nodes)
        task.group = group or task.group
        self._tasks |= dict.fromkeys(nodes, task)
        return task

    def close(self, task: Task) -> None:
        """Forget a task that has ended."""
        for node in task.nodes:
            self._tasks.pop(node, None)

    def find(self, dispatch_id: str, node_id: int) -> Task | None:
        """Return the open task of a node, or None."""
        return self._tasks.get((dispatch_id, node_id))

    @contextmanager
    def closing_on_error(self, task: Task) -> Iterator[None]:
        """Close the task if the context is left by an exception."""
        try:
            yield
        except BaseException:
            self.close(task)
            raise


IN_FLIGHT = InFlight()  # one for the process: Covalent cancels through another instance of the executor than it sends
