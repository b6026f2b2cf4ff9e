# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The packing of a task group's files: objects for its image, and uploads to the bucket. Nothing is unpickled.

Functions and arguments are packed as bare pickles, hooks reduced to the needed fields. A staged file is Covalent's
archive, whose text of the value may contain an address, and a hooks file repeats this text. These texts are not sent,
so the same task has the same objects in every process.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from weakref import WeakValueDictionary

from ..core.files import staged, staging_error
from ..dependencies.references import of_pickle
from ..dependencies.source_lines import source_lines
from ..errors import NotPicklable
from ..runner.protocol import archive, layout
from ..runner.protocol.task import IN_IMAGE, IN_S3, ObjectRef, TaskFile, TaskSpec
from ..runner.script import travels_by_name
from .modules_beside import modules_beside
from .staged_group import StagedGroup, StagedTask, needed_hooks, pickles_of_hooks

_STEP_BYTES = 1024 * 1024
_COVALENT = b"covalent"  # a pickle names a module in clear: only one with these bytes is read for its references
_READ_BYTES = 256 * 1024 * 1024  # the largest pickle that is read
_PLAIN = ".sent"  # suffix of the file in a staged file's folder with the bytes that are sent


@dataclass(frozen=True, eq=False)
class SharedBytes:
    """The bytes of one object; `shared_bytes` gives the same instance for the same content."""

    data: bytes = field(repr=False)


_lock = threading.Lock()
_by_sha256: WeakValueDictionary[str, SharedBytes] = WeakValueDictionary()


def shared_bytes(sha256: str, data: bytes) -> SharedBytes:
    """Return the instance that holds this content for as long as any package does. Any thread may call it."""
    with _lock:
        return _by_sha256.setdefault(sha256, SharedBytes(data))


@dataclass(frozen=True)
class Package:
    """A packed task group: its description, small `objects` by sha256, `uploads` to the bucket by key.

    `content` is the sha256 of the description without its result key: the same task has the same in every process and
    on every machine. `python` and `cloudpickle` are the versions that pickled it, and `name` is the first electron's.
    `needs_covalent` says that one of its pickles refers to Covalent's modules, and `beside` has the modules beside the
    script that its functions refer to, each with its folder.
    """

    task: TaskFile
    objects: Mapping[str, SharedBytes]
    uploads: dict[str, Path]
    content: str
    python: str
    name: str
    cloudpickle: str = ""
    needs_covalent: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of tasks of a job that it stands for."""
        return 1

    @property
    def names(self) -> dict[str, str]:
        """The names of its electrons but the first, by node id."""
        return {str(spec.node_id): spec.name for spec in self.task.tasks[1:]}

    @property
    def function_ids(self) -> str:
        """The sha256 of the functions."""
        return " ".join(task.function.sha256 for task in self.task.tasks)

    def descriptions(self, dispatch_id: str) -> Iterator[tuple[bytes, dict[str, bytes]]]:
        """Yield the JSON of the description and the objects that it needs in the payload, by sha256."""
        objects = {sha256: shared.data for sha256, shared in self.objects.items()}
        yield replace(self.task, dispatch_id=dispatch_id).to_json(), objects

    def size_beside(self, present: set[str]) -> int:
        """Return how many bytes it adds to a job that has the objects `present`, by sha256; add its own to that set."""
        new = self.objects.keys() - present
        present |= new
        return sum(len(self.objects[sha256].data) for sha256 in new)


def result_key(secret: bytes, content: str) -> bytes:
    """Return the key that authenticates the result of a task with this content, a hexadecimal digest.

    The key is derived: a restarted server can read the results of jobs it has forgotten, and the same task gives the
    same image.
    """
    return hmac.digest(secret, content.encode(), "sha256")


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
        needs_covalent=objects.needs_covalent,
        beside=_modules_beside(task_file, objects, group.folders),
    )


def _modules_beside(task_file: TaskFile, objects: PackedObjects, folders: tuple[str, ...]) -> dict[str, str]:
    """Return the modules beside the script that the functions refer to; a pickle that was read is not read again."""
    modules: dict[str, str] = {}
    for sha256 in {task.function.sha256 for task in task_file.tasks} & objects.baked.keys() if folders else ():
        key = sha256, folders
        if key not in _beside:
            _make_room(_beside)
            _beside[key] = modules_beside([objects.baked[sha256].data], folders)
        modules |= _beside[key]
    return modules


def _spec(task: StagedTask, head: dict[str, Any], objects: PackedObjects) -> TaskSpec:
    return TaskSpec(
        node_id=task.node_id,
        name=_name(head),
        function=objects.add_pickle(task.function, _function_of(task)),
        hooks=objects.add_hooks(task.hooks),
        python=head["py_version"],
        args=task.args,
        kwargs=task.kwargs,
        kind=task.kind,
    )


def _header(task: StagedTask) -> dict[str, Any]:
    """Return the header of the task's function; its `py_version` is a text. Raises NotPicklable."""
    try:
        head = archive.header(task.function)
        return head | {"py_version": str(head["py_version"])}
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:  # a wrong length can ask for any
        raise not_covalents(_function_of(task), task.function, error) from error


def _function_of(task: StagedTask) -> str:
    return f"The function of node {task.node_id}"


def _name(head: dict[str, Any]) -> str:
    return str(head.get("attrs", {}).get("name") or "task")


# ---- objects ---------------------------------------------------------------------------------------------------------
class PackedObjects:
    """The objects of one task group: small ones are `baked`, by sha256; big ones are `uploads`, by key; each once."""

    def __init__(self, max_baked_bytes: int) -> None:
        self._max = max_baked_bytes
        self.baked: dict[str, SharedBytes] = {}
        self.uploads: dict[str, Path] = {}
        self.needs_covalent = False  # a pickle refers to Covalent's modules

    def add_pickle(self, path: Path, title: str) -> ObjectRef:
        """Add the pickle of a staged archive, which `title` names in an error.

        Raises NotPicklable, OSError, StagingError.
        """
        try:
            size = archive.pickle_size(path)
            if size <= self._max:
                ref = self._bake(pickle := archive.read_pickle(path))
                self._note_covalent(pickle)
                check_names(ref.sha256, pickle, title)
                return ref
            with path.open("rb") as file:
                return self._upload(path, archive.pickled(file))
        except (ValueError, OverflowError, MemoryError) as error:  # a wrong offset can ask for any amount
            raise not_covalents(title, path, error) from error

    def add_hooks(self, path: Path) -> ObjectRef:
        """Add a hooks file. Raises OSError, StagingError."""
        data = needed_hooks(path.read_bytes())
        for pickled in pickles_of_hooks(data):
            self._note_covalent(pickled)
        if len(data) <= self._max:
            return self._bake(data)
        with staged(path, "written"):
            plain = path.with_name(path.name + _PLAIN)
            plain.write_bytes(data)
        return self._uploaded(ObjectRef.of(data, IN_S3), plain)

    def source_of(self, task: TaskSpec) -> ObjectRef | None:
        """Add the source lines of a task's function; None for a function without any, or too big for the image."""
        function = self.baked.get(task.function.sha256)
        data = function_source(task.function.sha256, function.data, task.python) if function else b""
        return self._bake(data) if data else None

    def _note_covalent(self, pickled: bytes) -> None:
        if _COVALENT in pickled and not self.needs_covalent:
            self.needs_covalent = of_pickle(io.BytesIO(pickled)).needs_covalent

    def _bake(self, data: bytes) -> ObjectRef:
        ref = ObjectRef.of(data, IN_IMAGE)
        self.baked[ref.sha256] = shared_bytes(ref.sha256, data)
        return ref

    def _upload(self, path: Path, pickled: IO[bytes]) -> ObjectRef:
        """Write the pickle to a file in the archive's folder, in steps, for the upload to read."""
        digest, plain = hashlib.sha256(), path.with_name(path.name + _PLAIN)
        mentioned, before = False, b""
        with staged(plain, "written"), NamedTemporaryFile(dir=path.parent, prefix="sent-", delete=False) as draft:
            try:
                for step in _steps(pickled):
                    digest.update(step)
                    mentioned = mentioned or _COVALENT in before + step
                    before = step[-len(_COVALENT) :]
                    draft.write(step)
                draft.close()
                Path(draft.name).replace(plain)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
        size = plain.stat().st_size
        if mentioned and size <= _READ_BYTES and not self.needs_covalent:
            with plain.open("rb") as file:
                self.needs_covalent = of_pickle(file).needs_covalent
        return self._uploaded(ObjectRef(digest.hexdigest(), size, IN_S3), plain)

    def _uploaded(self, ref: ObjectRef, plain: Path) -> ObjectRef:
        self.uploads[layout.object_key(ref.sha256)] = plain
        return ref


_MOST_KNOWN = 1024
_names: dict[str, tuple[str, ...]] = {}  # members of the script that a pickle only names, by its sha256
_sources: dict[str, bytes] = {}  # source lines of a function, by the sha256 of its pickle
_beside: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}  # modules beside a script, by its pickle and folders


def check_names(sha256: str, pickle: bytes, title: str) -> None:
    """Raise NotPicklable for a pickle that only names a member of the script."""
    if b"__main__" not in pickle:
        return
    if sha256 not in _names:
        _make_room(_names)
        _names[sha256] = tuple(sorted(of_pickle(io.BytesIO(pickle)).of_main))
    if names := _names[sha256]:
        raise NotPicklable(f"{title} can't be sent to AWS Batch.", advice=travels_by_name(names[0]))


def function_source(sha256: str, pickle: bytes, python: str) -> bytes:
    """Return the source lines of a function; a function that was packed before is not read again."""
    if sha256 not in _sources:
        _make_room(_sources)
        _sources[sha256] = source_lines(pickle, python)
    return _sources[sha256]


def _make_room(cache: dict[Any, Any]) -> None:
    if len(cache) >= _MOST_KNOWN:
        cache.clear()


def _steps(file: IO[bytes]) -> Iterator[bytes]:
    while step := file.read(_STEP_BYTES):
        yield step


def not_covalents(title: str, path: Path, error: Exception) -> NotPicklable:
    """Return the error for a staged file that is no archive of Covalent's; `title` begins its sentence."""
    return NotPicklable(
        f"{title} is not in Covalent's format: {error!r}.",
        advice=f"Look at {path}: was it cut by a full disk, or written by another program?",
    )
