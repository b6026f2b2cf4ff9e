# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The output of a container: one authenticated object with the outcome of each task.

Bytes: magic (8), HMAC-SHA256 of the rest (32), length of the header (8, big-endian), header (JSON), inline parts.
The header names its version. Version 2 added `usage` to each task, and version 3 the outcome `no_room`; older versions
are read, for a job can outlive an update.
Only the task's description and the client have the key, so a result is checked before anything in it is unpickled.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any

VERSION = 3
READABLE_VERSIONS = (1, 2, VERSION)
MAGIC = b"CVAWSB\x00\x01"
_MAC = slice(8, 40)
_LENGTH = slice(40, 48)
_HEADER_AT = 48
_LARGEST_FIGURE = 2**63

# How one task ended.
RETURNED = "returned"
RAISED = "raised"
UNPICKLABLE = "unpicklable"  # returned a value that can't be pickled
NO_ROOM = "no_room"  # returned a value that neither the full disk of the container nor its memory has room for
EXITED = "exited"  # sys.exit, os._exit
KILLED = "killed"  # by a signal that the runner did not send
OUT_OF_MEMORY = "out_of_memory"  # by the kernel, for the container's memory was used up
TERMINATED = "terminated"  # by SIGTERM: timeout, cancel, Spot notice
TIMED_OUT = "timed_out"  # by the runner, for its own time limit was over while its container's other tasks go on
NO_INPUT = "no_input"  # its function, hooks or an argument could not be read, or is not what was packed
NOT_RUN = "not_run"  # an earlier task of its group, whose value it needs, did not return
OUTCOMES = (
    RETURNED, RAISED, UNPICKLABLE, NO_ROOM, EXITED, KILLED, OUT_OF_MEMORY, TERMINATED, TIMED_OUT, NO_INPUT, NOT_RUN,
)  # fmt: skip

# The parts of a result. `output` is Covalent's archive; `error` is the remote traceback, UTF-8; `exception` is pickled.
OUTPUT, STDOUT, STDERR, ERROR, EXCEPTION = PARTS = ("output", "stdout", "stderr", "error", "exception")


class BadEnvelope(ValueError):
    """The bytes are no envelope, were cut, or were not written with this task's key."""


@dataclass(frozen=True)
class Part:
    """One part of a result: inline at `offset` of the body, or, when None, its own object (`layout.part_key`)."""

    size: int
    sha256: str
    offset: int | None = None


@dataclass(frozen=True)
class Usage:
    """The time and the resources of one run of one task. A figure is None where the container could not know it.

    Times are Unix seconds of the container's clock. CPU seconds and memory are what the kernel counted for the task's
    process and the processes that it started and waited for; `peak_rss_bytes` is the largest of these processes.
    `bytes_in` is the size of the function, its hooks and its arguments as files, `bytes_out` the size of all parts.
    """

    started: float | None = None
    ended: float | None = None
    user_cpu_seconds: float | None = None
    system_cpu_seconds: float | None = None
    peak_rss_bytes: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None


@dataclass(frozen=True)
class TaskResult:
    """The result of one task: `signal` is the signal that killed its process.

    `exit_code` is that of its process, 128 + N for signal N, None if the task never ran. `usage` is None for a task
    that never ran, and in an envelope of version 1.
    """

    node_id: int
    outcome: str
    exit_code: int | None = None
    signal: int | None = None
    exception_type: str | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    usage: Usage | None = None


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
        """True if every task returned a value."""
        return all(task.outcome == RETURNED for task in self.tasks)

    @property
    def cut_short(self) -> bool:
        """True if a task was told to stop from outside, so that another attempt should run the job again."""
        return any(task.outcome == TERMINATED for task in self.tasks)

    def inline(self, part: Part) -> bytes:
        """Return the bytes of an inline part. Raises BadEnvelope if they differ from the header."""
        if part.offset is None:
            raise BadEnvelope("this part is an object of its own")
        data = self.body[part.offset : part.offset + part.size]
        if part.offset < 0 or len(data) != part.size or hashlib.sha256(data).hexdigest() != part.sha256:
            raise BadEnvelope("an inline part is not what the header says")
        return data


def seal(envelope: Envelope, key: bytes) -> bytes:
    """Return the bytes of an envelope, authenticated with `key`."""
    fields = {k: v for k, v in asdict(envelope).items() if k != "body"}
    header = json.dumps({"version": VERSION, **fields}, sort_keys=True).encode()
    signed = len(header).to_bytes(8, "big") + header + envelope.body
    return MAGIC + hmac.digest(key, signed, "sha256") + signed


def unseal(data: bytes, key: bytes, *, job_id: str, attempt: int) -> Envelope:
    """Return the envelope of this attempt, with its inline parts checked. Raises BadEnvelope for any other bytes."""
    if data[: len(MAGIC)] != MAGIC or len(data) < _HEADER_AT:
        raise BadEnvelope("these bytes are no result of a task, or a later format")
    if not hmac.compare_digest(hmac.digest(key, data[_LENGTH.start :], "sha256"), data[_MAC]):
        raise BadEnvelope("the result was not written with this task's key, or was cut or changed")
    end = _HEADER_AT + int.from_bytes(data[_LENGTH], "big")
    try:
        return _opened(json.loads(data[_HEADER_AT:end]), data[end:], job_id, attempt)
    except BadEnvelope:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadEnvelope("its header, though written with this task's key, is none that a runner writes") from error


def _check_version(version: Any) -> None:
    """Raise BadEnvelope for a version that this code can't read."""
    if _typed(version, int) in READABLE_VERSIONS:
        return
    *others, last = map(str, READABLE_VERSIONS)
    formats = f"{', '.join(others)} and {last}"
    raise BadEnvelope(
        f"the result has format {version}, and this covalent-awsbatch-plugin reads formats {formats}: "
        "read it with the version of covalent-awsbatch-plugin that submitted the job"
    )


def _opened(header: dict[str, Any], body: bytes, job_id: str, attempt: int) -> Envelope:
    _check_version(header["version"])
    if (header["job_id"], header["attempt"]) != (job_id, attempt):
        raise BadEnvelope(
            f"the result is of job {header['job_id']}, attempt {header['attempt']}; expected {job_id}, {attempt}"
        )
    tasks = tuple(_task_result(**fields) for fields in header["tasks"])
    envelope = Envelope(job_id, attempt, _typed(header["python"], str), tasks, body)
    for task in tasks:
        for part in task.parts.values():
            if part.offset is not None:
                envelope.inline(part)
    return envelope


def _task_result(*, parts: dict[str, Any], usage: Any = None, **fields: Any) -> TaskResult:
    """Return the result of a task, after strict checks.

    A user's function can read its key, and names and numbers of a result become paths on the client.
    """
    part_items = _typed(parts, dict).items()
    result = TaskResult(
        **fields,
        parts={_one_of(PARTS, name): _part(**part) for name, part in part_items},
        usage=None if usage is None else _usage(**usage),
    )
    _typed(result.node_id, int)
    _one_of(OUTCOMES, result.outcome)
    for optional, kind in ((result.exit_code, int), (result.signal, int), (result.exception_type, str)):
        _typed(optional, kind, NoneType)
    return result


def _usage(**figures: Any) -> Usage:
    """Return the usage. Raises TypeError for a figure of another type, negative, not finite or above 2^63."""
    for name, figure in figures.items():
        kinds = (int, NoneType) if name.endswith("_bytes") or name.startswith("bytes_") else (int, float, NoneType)
        _typed(figure, *kinds)
        if figure is not None and not (figure == 0 or 0 < figure < _LARGEST_FIGURE):
            raise TypeError(figure)
    return Usage(**figures)


def _part(**fields: Any) -> Part:
    part = Part(**fields)
    _typed(part.size, int)
    _typed(part.sha256, str)
    _typed(part.offset, int, NoneType)
    return part


def _typed(value: Any, *kinds: type) -> Any:
    """Return the value. Raises TypeError where JSON had another type, also for a boolean instead of a number."""
    if type(value) not in kinds:
        raise TypeError(value)
    return value


def _one_of(names: tuple[str, ...], value: Any) -> str:
    if value not in names:
        raise TypeError(value)
    return str(value)
