# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A small world for the runner: an unpacked image, a real S3 over HTTP, and the runner as a process of its own."""

from __future__ import annotations

import base64
import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cloudpickle
from covalent._workflow.transportable_object import TransportableObject

from covalent_awsbatch_plugin.jobs.definition import results_prefix
from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from covalent_awsbatch_plugin.runner.protocol.envelope import Envelope, Part, TaskResult, unseal
from covalent_awsbatch_plugin.runner.protocol.log_header import MARK
from covalent_awsbatch_plugin.runner.protocol.task import (
    IN_IMAGE,
    IN_S3,
    ContainerFiles,
    ObjectRef,
    Payload,
    TaskFile,
    TaskSpec,
    payload,
)

JOB_ID = "8a7c0f6e-0000-4b1f-9c4d-2f1a5ae7f3b2"
DISPATCH = "d15pa7c4"
REGION = "eu-central-1"
FIRST_INPUT = 1000


@dataclass
class Bucket:
    """A bucket of its own for each test, and the environment a container needs to reach it."""

    name: str
    endpoint: str
    client: Any

    @property
    def env(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        return {**keys, layout.ENV_ENDPOINT: self.endpoint, layout.ENV_BUCKET: self.name, layout.ENV_REGION: REGION}

    def read(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def listed(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name)
        return [item["Key"] for item in found.get("Contents", ())]


@dataclass(frozen=True)
class OutputOf:
    """An argument: the value of another task of the group."""

    node_id: int


def without_header(text: str) -> str:
    """Return a container's output without the lines that open a task's part of the log."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))


@dataclass
class Ran:
    """What one run of the container left."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    bucket: Bucket
    key: bytes
    attempt: str
    job_id: str = JOB_ID

    @property
    def tasks_stderr(self) -> str:
        """The container's stderr without the line that opens a task's part of the log."""
        return without_header(self.stderr.decode())

    @cached_property
    def envelope(self) -> Envelope:
        sealed = self.bucket.read(f"{self.attempt}/result")
        return unseal(sealed, self.key, job_id=self.job_id, attempt=int(self.attempt.rpartition("/")[2]))

    def task(self, node_id: int = 0) -> TaskResult:
        return next(task for task in self.envelope.tasks if task.node_id == node_id)

    def part(self, name: str, node_id: int = 0) -> bytes:
        part = self.task(node_id).parts[name]
        return self.envelope.inline(part) if part.offset is not None else self._large(part)

    def _large(self, part: Part) -> bytes:
        data = self.bucket.read(f"{self.attempt}/parts/{part.sha256}")
        return ObjectRef(part.sha256, part.size, IN_S3).verify(data)

    def archive(self, node_id: int = 0) -> TransportableObject:
        return TransportableObject.deserialize(self.part(envelope.OUTPUT, node_id))

    def value(self, node_id: int = 0) -> Any:
        assert self.task(node_id).outcome == envelope.RETURNED, self.stderr.decode()
        return self.archive(node_id).get_deserialized()

    def text(self, name: str, node_id: int = 0) -> str:
        return self.part(name, node_id).decode()

    def ended(self, node_id: int = 0) -> tuple[str, int | None, int | None]:
        task = self.task(node_id)
        return task.outcome, task.exit_code, task.signal


@dataclass
class Container:
    """An unpacked image with the runner in it, and the tasks to bake into it."""

    root: Path
    bucket: Bucket
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    tasks: list[TaskSpec] = field(default_factory=list)
    inputs: dict[int, ObjectRef] = field(default_factory=dict)
    python: str = sys.executable
    env: dict[str, str] = field(default_factory=dict)
    pickled_by: str = platform.python_version()
    spoil: Callable[[bytes], bytes] = bytes  # what somebody does to the payload in the image
    without: set[str] = field(default_factory=set)  # names that its environment shall not have
    index: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)  # baked in, by sha256

    def bake(self, data: bytes) -> ObjectRef:
        ref = ObjectRef.of(data, IN_IMAGE)
        self.objects[ref.sha256] = data
        return ref

    def upload(self, data: bytes) -> ObjectRef:
        ref = ObjectRef.of(data, IN_S3)
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=layout.object_key(ref.sha256), Body=data)
        return ref

    def add(
        self, function: Callable[..., Any] | bytes, *args: Any, hooks: Any = None, name: str = "f", **kwargs: Any
    ) -> TaskSpec:
        """One more task, with the next node id.

        A function is itself or its pickle; an argument is a value, an ObjectRef of a pickle, or OutputOf.
        """
        packed = function if isinstance(function, bytes) else cloudpickle.dumps(function)
        spec = TaskSpec(
            node_id=len(self.tasks),
            name=name,
            function=self.bake(packed),
            hooks=self.bake(json.dumps(hooks or {}).encode()),
            python=self.pickled_by,
            args=tuple(map(self._input, args)),
            kwargs={key: self._input(value) for key, value in kwargs.items()},
        )
        self.tasks.append(spec)
        return spec

    def _input(self, value: Any) -> int:
        if isinstance(value, OutputOf):
            return value.node_id
        node_id = FIRST_INPUT + len(self.inputs)
        packed = isinstance(value, ObjectRef)
        self.inputs[node_id] = value if packed else self.bake(cloudpickle.dumps(value))
        return node_id

    def description(self) -> TaskFile:
        return TaskFile(self.key.hex(), tuple(self.tasks), self.inputs, "0.240.0")

    def write(self) -> None:
        """The payload, where the runner looks for it."""
        self.write_payload([self])

    def write_payload(self, members: Sequence[Container], each: int = 1) -> None:
        """The payload of an array, for containers of `each` tasks."""
        (self.root / layout.PAYLOAD_FILE).write_bytes(self.spoil(array_payload(members, each).data))

    def start(self, **popen: Any) -> subprocess.Popen[bytes]:
        self.write()
        return self.launch(**popen)

    def launch(self, **popen: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.python, "-s", str(self.root / layout.RUNNER_DIR)], env=self.environment(), cwd=self.root, **popen
        )

    def environment(self) -> dict[str, str]:
        job = {
            layout.ENV_JOB_ID: JOB_ID,
            layout.ENV_JOB_ATTEMPT: "1",
            layout.ENV_DISPATCH_ID: DISPATCH,
            layout.ENV_RESULTS_PREFIX: self.prefix,
            "HOME": os.environ["HOME"],
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.root / "tmp"),
            "NO_PROXY": "127.0.0.1",
        }
        # Where coverage is measured, the processes of the runner count too.
        measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        env = measured | job | self.bucket.env | self.env
        return {name: value for name, value in env.items() if name not in self.without}

    @property
    def prefix(self) -> str:
        return results_prefix(DISPATCH, 0)

    def run(self, timeout: float = 60) -> Ran:
        with self.start(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            stdout, stderr = process.communicate(timeout=timeout)
        return self.ran(process.returncode, stdout, stderr)

    def ran(self, exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> Ran:
        attempt = layout.attempt_prefix(self.prefix, JOB_ID, 1)
        return Ran(exit_code, stdout, stderr, self.bucket, self.key, attempt)


def array_payload(members: Sequence[Container], each: int) -> Payload:
    """The payload of an array's tasks, for containers of `each`; the numbers that no member has stay without tasks."""
    containers = [ContainerFiles() for _ in range(max(member.index for member in members) // each + 1)]
    for member in members:
        container = containers[member.index // each]
        container.tasks[member.index] = member.description().to_json()
        container.objects |= member.objects
    return payload(containers)


def pickle_in(archive: TransportableObject) -> bytes:
    """What a client sends of a function or a value that Covalent's workflow holds."""
    return base64.b64decode(archive.get_serialized())


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def hook(function: Callable[..., Any], *args: Any, retval_keyword: str = "", **kwargs: Any) -> dict[str, Any]:
    """A call_before or call_after as Covalent's client writes it."""
    from covalent._workflow.depscall import DepsCall

    dep = DepsCall(
        function,
        args=list(args),
        kwargs=kwargs,
        retval_keyword=retval_keyword,
        override_reserved_retval_keys=retval_keyword == "files",
    )
    written: dict[str, Any] = dep.to_dict()
    return written
