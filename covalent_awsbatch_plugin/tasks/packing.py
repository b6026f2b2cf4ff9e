# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From the files of a task group to what goes into its image and what goes to the bucket. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.files import staging_error
from ..errors import NotPicklable
from ..runner.protocol import layout
from ..runner.protocol.archive import header
from ..runner.protocol.task import IN_IMAGE, IN_S3, ObjectRef, TaskFile, TaskSpec
from .payload_object import Payload, payload


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
    """A task group as Covalent laid it on this machine's disk; `inputs` are values known before it runs.

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
    """What travels of a task group: its description, `objects` beside that by path, `uploads` to the bucket by key.

    `content` is the sha256 of the description without its result key: the same task has the same, whatever the machine.
    `python` and `cloudpickle` are the versions that pickled it, and `name` is the first electron's.
    """

    task: TaskFile
    objects: dict[str, bytes]
    uploads: dict[str, Path]
    content: str
    python: str
    name: str
    cloudpickle: str = ""

    @property
    def size(self) -> int:
        """Bytes it adds to its job, where nothing is shared."""
        return sum(map(len, self.objects.values()))


def image_files(packages: Sequence[Package], dispatch_ids: Sequence[str]) -> dict[str, bytes]:
    """The task layer of an array: each description under its index, each object once.

    The dispatch stands in the description only where the job's environment can't tell it, for several share the job.
    """
    mixed = len(set(dispatch_ids)) > 1
    files: dict[str, bytes] = {}
    for index, (package, dispatch_id) in enumerate(zip(packages, dispatch_ids, strict=True)):
        task = replace(package.task, dispatch_id=dispatch_id) if mixed else package.task
        files[layout.task_file(index)] = task.to_json()
        files |= package.objects
    return files


def payload_of(packages: Sequence[Package], dispatch_ids: Sequence[str], each: int) -> Payload:
    """The same files for containers that have `each` so many tasks.

    Every description names its dispatch: what is the same in two is not the same object, for each deletes its own.
    """
    containers: list[dict[str, bytes]] = [{} for _ in range(-(-len(packages) // each))]
    for index, (package, dispatch_id) in enumerate(zip(packages, dispatch_ids, strict=True)):
        task = replace(package.task, dispatch_id=dispatch_id)
        containers[index // each] |= {layout.task_file(index): task.to_json(), **package.objects}
    return payload(containers)


def pack(group: StagedGroup, max_baked_bytes: int, key_for: Callable[[str], bytes], covalent: str = "") -> Package:
    """Reads and hashes the staged files. Raises StagingError when one can't be read, NotPicklable when one is none."""
    try:
        return _pack(group, max_baked_bytes, key_for, covalent)
    except OSError as error:
        raise staging_error(Path(), "read", error) from error


def _pack(group: StagedGroup, max_baked_bytes: int, key_for: Callable[[str], bytes], covalent: str) -> Package:
    wanted = _Objects(max_baked_bytes)
    headers = [_header(task) for task in group.tasks]
    task_file = TaskFile(
        result_key="",
        tasks=tuple(_spec(task, head, wanted) for task, head in zip(group.tasks, headers, strict=True)),
        inputs={node: wanted.add(path) for node, path in sorted(group.inputs.items())},
        covalent=covalent,
    )
    content = hashlib.sha256(task_file.to_json()).hexdigest()
    return Package(
        task=replace(task_file, result_key=key_for(content).hex()),
        objects=wanted.baked,
        uploads=wanted.uploads,
        content=content,
        python=headers[0]["py_version"],
        name=_name(headers[0]),
        cloudpickle=str(headers[0].get("cloudpickle_version", "")),
    )


def _spec(task: StagedTask, head: dict[str, Any], wanted: _Objects) -> TaskSpec:
    return TaskSpec(
        node_id=task.node_id,
        name=_name(head),
        function=wanted.add(task.function),
        hooks=wanted.add(task.hooks),
        args=task.args,
        kwargs=task.kwargs,
    )


def _header(task: StagedTask) -> dict[str, Any]:
    try:
        head = header(task.function)
        str(head["py_version"])
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:  # a wrong length can ask for any
        raise NotPicklable(
            f"The function of node {task.node_id} is not in Covalent's format: {error!r}.",
            advice=f"Look at {task.function}: was it cut by a full disk, or written by another program?",
        ) from error
    return head


def _name(head: dict[str, Any]) -> str:
    return str(head.get("attrs", {}).get("name") or "task")


class _Objects:
    """Files by content: small ones travel with the description, big ones are uploaded; each once."""

    def __init__(self, max_baked_bytes: int) -> None:
        self._max = max_baked_bytes
        self.baked: dict[str, bytes] = {}
        self.uploads: dict[str, Path] = {}

    def add(self, path: Path) -> ObjectRef:
        size = path.stat().st_size
        if size <= self._max:
            data = path.read_bytes()
            ref = ObjectRef.of(data, IN_IMAGE)
            self.baked[layout.object_file(ref.sha256)] = data
            return ref
        ref = ObjectRef(_sha256(path), size, IN_S3)
        self.uploads[layout.object_key(ref.sha256)] = path
        return ref


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
