# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The input of a container: one description of a task group, and references to its objects by content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from .layout import FORMAT_VERSION

IN_IMAGE = "image"
IN_S3 = "s3"

# What a task runs: an electron of Covalent; one call of a pool; or several calls of one function, one after another.
FUNCTION, CALL, CALLS = KINDS = ("function", "call", "calls")


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
