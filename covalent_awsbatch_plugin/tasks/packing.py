# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The packing of a task group's files: objects for its image, and uploads to the bucket. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.files import staging_error
from ..images.layer import Pieces
from ..runner.protocol import layout
from ..runner.protocol.archive import header
from ..runner.protocol.task import TaskFile, TaskSpec
from .packed_objects import PackedObjects, SharedBytes, not_covalents
from .payload_object import ContainerFiles, Payload, payload


@dataclass(frozen=True)
class StagedTask:
    """One electron: its function and hooks as files, its inputs as node ids."""

    node_id: int
    function: Path
    hooks: Path
    args: tuple[int, ...]
    kwargs: dict[str, int]


@dataclass(frozen=True)
class StagedGroup:
    """A task group in Covalent's files on this machine; `inputs` are the values that exist before it runs.

    `folders` are those from which the process that pickled the functions imports its own modules, where known.
    """

    dispatch_id: str
    task_group_id: int
    tasks: tuple[StagedTask, ...]
    inputs: dict[int, Path]
    folders: tuple[str, ...] = ()

    @property
    def node_ids(self) -> tuple[int, ...]:
        """The electrons, in the order in which they run."""
        return tuple(task.node_id for task in self.tasks)


@dataclass(frozen=True)
class Package:
    """A packed task group: its description, small `objects` by sha256, `uploads` to the bucket by key.

    `content` is the sha256 of the description without its result key: the same task has the same in every process and
    on every machine. `python` and `cloudpickle` are the versions that pickled it, and `name` is the first electron's.
    """

    task: TaskFile
    objects: Mapping[str, SharedBytes]
    uploads: dict[str, Path]
    content: str
    python: str
    name: str
    cloudpickle: str = ""

    def size_beside(self, present: set[str]) -> int:
        """Return how many bytes it adds to a job that has the objects `present`, by sha256; add its own to that set."""
        new = self.objects.keys() - present
        present |= new
        return sum(len(self.objects[sha256].data) for sha256 in new)


def image_files(packages: Sequence[Package], dispatch_ids: Sequence[str], each: int) -> dict[str, Pieces]:
    """Return the one file of an array's task layer, for containers of `each` tasks, by its path in the image.

    A description names its dispatch only where several dispatches share the job; else the job's environment names it.
    """
    dispatches = dispatch_ids if len(set(dispatch_ids)) > 1 else [""] * len(packages)
    whole = _payload(packages, dispatches, each)
    return {layout.PAYLOAD_FILE: Pieces(whole.size, whole.chunks)}


def payload_of(packages: Sequence[Package], dispatch_ids: Sequence[str], each: int) -> Payload:
    """Return the payload that is sent to the bucket, for containers of `each` tasks.

    Every description names its dispatch: two dispatches never have the same object, for each deletes its own.
    """
    return _payload(packages, dispatch_ids, each)


def _payload(packages: Sequence[Package], dispatch_ids: Sequence[str], each: int) -> Payload:
    containers = [ContainerFiles() for _ in range(-(-len(packages) // each))]
    for index, (package, dispatch_id) in enumerate(zip(packages, dispatch_ids, strict=True)):
        container = containers[index // each]
        container.tasks[index] = replace(package.task, dispatch_id=dispatch_id).to_json()
        container.objects |= {sha256: shared.data for sha256, shared in package.objects.items()}
    return payload(containers)


def pack(group: StagedGroup, max_baked_bytes: int, key_for: Callable[[str], bytes], covalent: str = "") -> Package:
    """Read and hash the staged files. Raises StagingError for an unreadable file, NotPicklable for another format."""
    try:
        return _pack(group, max_baked_bytes, key_for, covalent)
    except OSError as error:
        raise staging_error(Path(), "read", error) from error


def _pack(group: StagedGroup, max_baked_bytes: int, key_for: Callable[[str], bytes], covalent: str) -> Package:
    objects = PackedObjects(max_baked_bytes)
    headers = [_header(task) for task in group.tasks]
    task_file = TaskFile(
        result_key="",
        tasks=tuple(_spec(task, head, objects) for task, head in zip(group.tasks, headers, strict=True)),
        inputs={
            node: objects.add_pickle(path, f"The value of node {node}") for node, path in sorted(group.inputs.items())
        },
        covalent=covalent,
    )
    content = hashlib.sha256(task_file.to_json()).hexdigest()
    tasks = tuple(replace(task, sources=objects.source_of(task)) for task in task_file.tasks)
    return Package(
        task=replace(task_file, result_key=key_for(content).hex(), tasks=tasks),
        objects=objects.baked,
        uploads=objects.uploads,
        content=content,
        python=headers[0]["py_version"],
        name=_name(headers[0]),
        cloudpickle=str(headers[0].get("cloudpickle_version", "")),
    )


def _spec(task: StagedTask, head: dict[str, Any], objects: PackedObjects) -> TaskSpec:
    return TaskSpec(
        node_id=task.node_id,
        name=_name(head),
        function=objects.add_pickle(task.function, _function_of(task)),
        hooks=objects.add_hooks(task.hooks),
        python=head["py_version"],
        args=task.args,
        kwargs=task.kwargs,
    )


def _header(task: StagedTask) -> dict[str, Any]:
    """Return the header of the task's function; its `py_version` is a text. Raises NotPicklable."""
    try:
        head = header(task.function)
        return head | {"py_version": str(head["py_version"])}
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:  # a wrong length can ask for any
        raise not_covalents(_function_of(task), task.function, error) from error


def _function_of(task: StagedTask) -> str:
    return f"The function of node {task.node_id}"


def _name(head: dict[str, Any]) -> str:
    return str(head.get("attrs", {}).get("name") or "task")
