# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What travels out of the container: one authenticated object that says how each task ended.

Bytes: magic (8), HMAC-SHA256 of the rest (32), length of the header (8, big-endian), header (JSON), inline parts.
The key lies beside the task's description and on the client only, so a result is checked before anything in it is
unpickled.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any

from .layout import FORMAT_VERSION

MAGIC = b"CVAWSB\x00\x01"
_MAC = slice(8, 40)
_LENGTH = slice(40, 48)
_HEADER_AT = 48

# How one task ended.
RETURNED = "returned"
RAISED = "raised"
UNPICKLABLE = "unpicklable"  # returned a value that can't be pickled
EXITED = "exited"  # sys.exit, os._exit
KILLED = "killed"  # by a signal that nobody here sent
OUT_OF_MEMORY = "out_of_memory"  # by the kernel, for the container's memory was used up
TERMINATED = "terminated"  # by SIGTERM: timeout, cancel, Spot notice
TIMED_OUT = "timed_out"  # by the runner, for its own time limit was over while its container's other tasks go on
NO_INPUT = "no_input"  # its function, hooks or an argument could not be read, or is not what was packed
NOT_RUN = "not_run"  # an earlier task of its group, whose value it needs, did not return
OUTCOMES = (
    RETURNED, RAISED, UNPICKLABLE, EXITED, KILLED, OUT_OF_MEMORY, TERMINATED, TIMED_OUT, NO_INPUT, NOT_RUN,
)  # fmt: skip

# What a task leaves. Values are Covalent's archives; `error` is the remote traceback, UTF-8; `exception` is pickled.
OUTPUT, STDOUT, STDERR, ERROR, EXCEPTION = PARTS = ("output", "stdout", "stderr", "error", "exception")


class BadEnvelope(ValueError):
    """The bytes are no envelope, were cut, or were not written with this task's key."""


@dataclass(frozen=True)
class Part:
    """One thing a task left: inline at `offset` of the body, or, when None, its own object (`layout.part_key`)."""

    size: int
    sha256: str
    offset: int | None = None


@dataclass(frozen=True)
class TaskResult:
    """`exit_code` is the task's own, 128 + N for signal N, None if it never ran; `signal` is what killed it."""

    node_id: int
    outcome: str
    exit_code: int | None = None
    signal: int | None = None
    exception_type: str | None = None
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class Envelope:
    """The result of one attempt of one job."""

    job_id: str
    attempt: int
    python: str
    tasks: tuple[TaskResult, ...]
    body: bytes = field(default=b"", repr=False)

    @property
    def returned(self) -> bool:
        """Whether every task returned a value."""
        return all(task.outcome == RETURNED for task in self.tasks)

    @property
    def cut_short(self) -> bool:
        """Whether another attempt should run it again: it was told to stop from outside."""
        return any(task.outcome == TERMINATED for task in self.tasks)

    def inline(self, part: Part) -> bytes:
        """The bytes of an inline part; raises BadEnvelope when the header lies about them."""
        if part.offset is None:
            raise BadEnvelope("this part is an object of its own")
        data = self.body[part.offset : part.offset + part.size]
        if part.offset < 0 or len(data) != part.size or hashlib.sha256(data).hexdigest() != part.sha256:
            raise BadEnvelope("an inline part is not what the header says")
        return data


def seal(envelope: Envelope, key: bytes) -> bytes:
    """The bytes to write."""
    fields = {k: v for k, v in asdict(envelope).items() if k != "body"}
    header = json.dumps({"version": FORMAT_VERSION, **fields}, sort_keys=True).encode()
    signed = len(header).to_bytes(8, "big") + header + envelope.body
    return MAGIC + hmac.digest(key, signed, "sha256") + signed


def unseal(data: bytes, key: bytes, *, job_id: str, attempt: int) -> Envelope:
    """The envelope of this very attempt, with parts that are what it says; raises BadEnvelope for any other bytes."""
    if data[: len(MAGIC)] != MAGIC or len(data) < _HEADER_AT:
        raise BadEnvelope("these bytes are no result of a task, or a later format")
    if not hmac.compare_digest(hmac.digest(key, data[_LENGTH.start :], "sha256"), data[_MAC]):
        raise BadEnvelope("the result was not written with this task's key, or was cut or changed")
    end = _HEADER_AT + int.from_bytes(data[_LENGTH], "big")
    try:
        return _opened(json.loads(data[_HEADER_AT:end]), data[end:], job_id, attempt)
    except (KeyError, TypeError, RecursionError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadEnvelope("its header, though written with this task's key, is none that a runner writes") from error


def _opened(header: dict[str, Any], body: bytes, job_id: str, attempt: int) -> Envelope:
    if (header["job_id"], header["attempt"]) != (job_id, attempt):
        raise BadEnvelope(
            f"the result is of job {header['job_id']}, attempt {header['attempt']}; expected {job_id}, {attempt}"
        )
    tasks = tuple(_task_result(**told) for told in header["tasks"])
    envelope = Envelope(job_id, attempt, _typed(header["python"], str), tasks, body)
    for task in tasks:
        for part in task.parts.values():
            if part.offset is not None:
                envelope.inline(part)
    return envelope


def _task_result(*, parts: dict[str, Any], **told: Any) -> TaskResult:
    """Strict: a user's function can get at its key, and names and numbers of a result become paths on the client."""
    named = _typed(parts, dict).items()
    result = TaskResult(**told, parts={_one_of(PARTS, name): _part(**part) for name, part in named})
    _typed(result.node_id, int)
    _one_of(OUTCOMES, result.outcome)
    for optional, kind in ((result.exit_code, int), (result.signal, int), (result.exception_type, str)):
        _typed(optional, kind, NoneType)
    return result


def _part(**told: Any) -> Part:
    part = Part(**told)
    _typed(part.size, int)
    _typed(part.sha256, str)
    _typed(part.offset, int, NoneType)
    return part


def _typed(value: Any, *kinds: type) -> Any:
    """The value; raises TypeError where JSON had another kind, a boolean for a number too."""
    if type(value) not in kinds:
        raise TypeError(value)
    return value


def _one_of(known: tuple[str, ...], value: Any) -> str:
    if value not in known:
        raise TypeError(value)
    return str(value)
