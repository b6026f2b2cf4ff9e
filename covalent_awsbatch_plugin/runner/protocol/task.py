# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What travels into the container: one description of a task group, and the objects it names by content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from .layout import FORMAT_VERSION

IN_IMAGE = "image"
IN_S3 = "s3"

FUNCTION = "function"  # the one kind of task today


@dataclass(frozen=True)
class ObjectRef:
    """A function, an argument or a hooks file, named by what it contains.

    Functions and arguments are pickles, without Covalent's archive around them: its text of the value may hold an
    address, and then the same task would have another name in each process. `place` is `IN_IMAGE`, beside the
    description (`layout.object_file`), or `IN_S3`, an object of its own (`layout.object_key`); `size` is in bytes.
    """

    sha256: str
    size: int
    place: str

    @classmethod
    def of(cls, data: bytes, place: str) -> ObjectRef:
        return cls(hashlib.sha256(data).hexdigest(), len(data), place)

    def verify(self, data: bytes) -> bytes:
        """The same bytes; raises ValueError when they are not what was packed."""
        if len(data) != self.size or hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"object {self.sha256} was packed with {self.size} bytes, and {len(data)} others came")
        return data


@dataclass(frozen=True)
class TaskSpec:
    """One electron: `args` and `kwargs` give the node ids of its inputs, in Covalent's sense.

    `python` is the version that pickled the function. `kind` is what the runner has to run.
    """

    node_id: int
    name: str
    function: ObjectRef
    hooks: ObjectRef
    python: str
    args: tuple[int, ...] = ()
    kwargs: dict[str, int] = field(default_factory=dict)
    kind: str = FUNCTION


@dataclass(frozen=True)
class TaskFile:
    """A task group: `tasks` run in this order; an input is a value in `inputs` or the output of an earlier task.

    `result_key` authenticates the result (hex, 32 bytes). It lies where the description does, in the image or the
    payload, and never in the job's environment.
    `covalent` is the client's version, for the sentence that says what an image lacks; "" when nobody knows.
    `dispatch_id` is "" where the job's environment tells it; an array whose tasks are of several dispatches can't.
    """

    result_key: str
    tasks: tuple[TaskSpec, ...]
    inputs: dict[int, ObjectRef]
    covalent: str = ""
    dispatch_id: str = ""

    def to_json(self) -> bytes:
        """The same task gives the same bytes, on every machine."""
        body = {"version": FORMAT_VERSION, **vars(self)}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), default=vars).encode()

    @classmethod
    def from_json(cls, text: bytes) -> TaskFile:
        """Raises ValueError for a version this code does not read."""
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
    if (kind := body["kind"]) != FUNCTION:
        raise ValueError(f"its node {body['node_id']} is of the kind {kind!r}, and this runner runs functions only")
    return TaskSpec(
        node_id=body["node_id"],
        name=body["name"],
        function=ObjectRef(**body["function"]),
        hooks=ObjectRef(**body["hooks"]),
        python=body["python"],
        args=tuple(body["args"]),
        kwargs=dict(body["kwargs"]),
        kind=kind,
    )
