# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The input of a container: descriptions of its task groups, references to objects, and the payload with all of them.

Bytes of a payload: a head, a row for each container, a list for each container, then the objects (functions, hooks,
arguments), each content once. A row has the place and the sha256 of its container's list; a list has the descriptions
of the container's tasks, and the place, size and sha256 of each object. Head and rows prove all the rest: an image's
digest proves them in an image, and the job's environment has their sha256 where the payload is an object
(docs/decisions/0003).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from .layout import ENV_CONTAINERS, ENV_PAYLOAD, FORMAT_VERSION, payload_key

IN_IMAGE = "image"
IN_S3 = "s3"

# What a task runs: an electron of Covalent; one call of a pool; or several calls of one function, one after another.
FUNCTION, CALL, CALLS = KINDS = ("function", "call", "calls")

MAGIC = b"CVAWSPL"
HEAD = Struct(">7sBQQ")  # magic, version of the format, how many containers, where the objects begin
ROW = Struct(">QQ32s")  # where a container's list begins, its bytes, its sha256


@dataclass(frozen=True)
class ObjectRef:
    """A reference to a function, an argument or a hooks file by the sha256 of its content; `size` is in bytes.

    Functions and arguments are pickles, without Covalent's archive around them: its text of the value may contain an
    address, and then the same task would have another name in each process. `place` is `IN_IMAGE`, in the same payload
    as the description, or `IN_S3`, a separate object in the bucket (`layout.object_key`).
    """

    sha256: str
    size: int
    place: str

    @classmethod
    def of(cls, data: bytes, place: str) -> ObjectRef:
        """Return the reference to `data`."""
        return cls(hashlib.sha256(data).hexdigest(), len(data), place)

    def verify(self, data: bytes) -> bytes:
        """Return `data`. Raises ValueError if its size or digest differs from the reference."""
        if len(data) != self.size or hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"object {self.sha256} was packed with {self.size} bytes, and {len(data)} others came")
        return data


@dataclass(frozen=True)
class TaskSpec:
    """One electron of Covalent, or calls of a pool; `args` and `kwargs` are the node ids of its inputs.

    `python` is the version that pickled the function. `hooks` is None where there are none. With `kind` CALL the one
    input is the pickle of a pair of arguments and keyword arguments, and with CALLS several of these
    (`runner.calls.packed_calls`); the other inputs of the task file are objects that a pair names by their sha256.
    `sources` are the lines of the function in the user's script, for tracebacks (`script.SourceLines`); they don't
    belong to the task's content.
    """

    node_id: int
    name: str
    function: ObjectRef
    hooks: ObjectRef | None
    python: str
    args: tuple[int, ...] = ()
    kwargs: dict[str, int] = field(default_factory=dict)
    kind: str = FUNCTION
    sources: ObjectRef | None = None


@dataclass(frozen=True)
class TaskFile:
    """A task group: `tasks` run in this order; an input is a value in `inputs` or the output of an earlier task.

    `result_key` authenticates the result (hex, 32 bytes). The image or the payload contains it, and never the job's
    environment.
    `covalent` is the version on the client, for advice on what an image lacks; "" when it is unknown.
    `dispatch_id` is "" where the job's environment has it; in an array the tasks may be of several dispatches.
    """

    result_key: str
    tasks: tuple[TaskSpec, ...]
    inputs: dict[int, ObjectRef]
    covalent: str = ""
    dispatch_id: str = ""

    def to_json(self) -> bytes:
        """Return the JSON of the task group: the same on every machine for the same tasks."""
        body = {"version": FORMAT_VERSION, **vars(self)}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), default=vars).encode()

    @classmethod
    def from_json(cls, text: bytes) -> TaskFile:
        """Return the task group in a JSON text. Raises ValueError for a version this code does not read."""
        body = json.loads(text)
        if (version := body["version"]) != FORMAT_VERSION:
            raise ValueError(f"it is of version {version}, and this runner reads version {FORMAT_VERSION} only")
        return cls(
            result_key=body["result_key"],
            tasks=tuple(_task_spec(t) for t in body["tasks"]),
            inputs={int(node): ObjectRef(**ref) for node, ref in body["inputs"].items()},
            covalent=body["covalent"],
            dispatch_id=body["dispatch_id"],
        )


def _task_spec(body: dict[str, Any]) -> TaskSpec:
    if (kind := body["kind"]) not in KINDS:
        raise ValueError(f"its node {body['node_id']} is of the kind {kind!r}, which this runner does not know")
    return TaskSpec(
        node_id=body["node_id"],
        name=body["name"],
        function=ObjectRef(**body["function"]),
        hooks=ObjectRef(**body["hooks"]) if body["hooks"] else None,
        python=body["python"],
        args=tuple(body["args"]),
        kwargs=dict(body["kwargs"]),
        kind=kind,
        sources=ObjectRef(**body["sources"]) if body.get("sources") else None,
    )


# ---- the payload ---------------------------------------------------------------------------------------------------
class BadPayload(ValueError):
    """The bytes are no payload of this format, or were changed or cut; the message is half a sentence."""


@dataclass(frozen=True)
class Head:
    """The head of a payload: its number of containers, and the offset of its objects in bytes."""

    containers: int
    objects_at: int

    def to_bytes(self) -> bytes:
        """Return the `HEAD.size` bytes with which a payload begins."""
        return HEAD.pack(MAGIC, FORMAT_VERSION, self.containers, self.objects_at)

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Return the head of a payload that begins with `data`. Raises BadPayload for another format or version."""
        if len(data) < HEAD.size or not data.startswith(MAGIC):
            raise BadPayload("its beginning is not that of a payload")
        _, version, containers, objects_at = HEAD.unpack_from(data)
        if version != FORMAT_VERSION:
            raise BadPayload(f"its format is version {version}, and this runner reads version {FORMAT_VERSION} only")
        return cls(containers, objects_at)


@dataclass(frozen=True)
class Row:
    """The place of a container's list: its begin and size in bytes, and its sha256."""

    begin: int
    size: int
    sha256: bytes

    def to_bytes(self) -> bytes:
        """Return the `ROW.size` bytes of this row."""
        return ROW.pack(self.begin, self.size, self.sha256)

    @classmethod
    def from_bytes(cls, data: bytes) -> Row:
        """Return the row in `data`. Raises BadPayload where it is cut."""
        if len(data) != ROW.size:
            raise BadPayload("its rows were cut")
        return cls(*ROW.unpack(data))


def row_at(index: int) -> int:
    """Return where the row of container `index` begins; of one more than the last container: where the rows end."""
    return HEAD.size + index * ROW.size


@dataclass(frozen=True)
class PackedObject:
    """An object of a container: its sha256, its offset from `Head.objects_at` and its size, both in bytes."""

    sha256: str
    offset: int
    size: int


@dataclass(frozen=True)
class ContainerList:
    """The content for one container: the JSON of each task's description by the task's number, and the objects."""

    tasks: Mapping[int, bytes]
    objects: Sequence[PackedObject]

    def to_bytes(self) -> bytes:
        """Return the list as JSON; the same content gives the same bytes."""
        objects = json.dumps([list(vars(each).values()) for each in self.objects], separators=(",", ":")).encode()
        tasks = b",".join(b'"%d":%b' % (number, description) for number, description in self.tasks.items())
        return b'{"objects":%b,"tasks":{%b}}' % (objects, tasks)

    @classmethod
    def from_bytes(cls, data: bytes) -> ContainerList:
        """Return the list in `data`, whose sha256 was checked. Raises BadPayload for what no client writes."""
        try:
            body: dict[str, Any] = json.loads(data)
            tasks = {int(number): json.dumps(description).encode() for number, description in body["tasks"].items()}
            return cls(tasks, tuple(PackedObject(*fields) for fields in body["objects"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadPayload(f"the list of its files can't be read: {error!r}") from error


# ---- the writing of a payload, on the client -------------------------------------------------------------------------
@dataclass(frozen=True)
class Payload:
    """Bytes in `chunks`, which are not copied together before they are sent.

    `digest` is the sha256 of head and rows: it names the object in the bucket and lets each of the `containers` check
    what it reads.
    """

    digest: str
    containers: int
    chunks: tuple[bytes, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return sum(map(len, self.chunks))

    @property
    def data(self) -> bytes:
        """All chunks in one."""
        return b"".join(self.chunks)

    @property
    def key(self) -> str:
        """The key of the object in the bucket."""
        return payload_key(self.digest)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a job with this payload in the bucket; they don't grow with its tasks."""
        return {ENV_PAYLOAD: self.digest, ENV_CONTAINERS: str(self.containers)}


@dataclass
class ContainerFiles:
    """The content for one container: the JSON of each task's description by the task's number, objects by sha256."""

    tasks: dict[int, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)


def payload(containers: Sequence[ContainerFiles]) -> Payload:
    """Return the payload of these containers, with each object once; the same input gives the same bytes."""
    objects = _Objects()
    lists = [ContainerList(each.tasks, objects.add_all(each)).to_bytes() for each in containers]
    begin, rows = row_at(len(lists)), []
    for text in lists:
        rows.append(Row(begin, len(text), hashlib.sha256(text).digest()).to_bytes())
        begin += len(text)
    index = b"".join((Head(len(lists), begin).to_bytes(), *rows))
    return Payload(hashlib.sha256(index).hexdigest(), len(lists), (index, *lists, *objects.data))


class _Objects:
    """The objects in sequence, each content once; those of one container alone are adjacent: one range reads them."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self._packed: dict[str, PackedObject] = {}
        self._end = 0

    def add_all(self, container: ContainerFiles) -> list[PackedObject]:
        return [self._add(sha256, data) for sha256, data in container.objects.items()]

    def _add(self, sha256: str, data: bytes) -> PackedObject:
        if sha256 not in self._packed:
            self._packed[sha256] = PackedObject(sha256, self._end, len(data))
            self.data.append(data)
            self._end += len(data)
        return self._packed[sha256]
