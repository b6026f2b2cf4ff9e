# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The records of DescribeJobs that this package expects, and how a real one differs from them.

The fields are those of https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..jobs.outcomes.causes import Cause
from ..jobs.outcomes.classify import why

# The kinds of ends that the checks bring about.
VALUE, RAISED, DIED, ARRAY, OUT_OF_MEMORY = "value", "raised", "died", "array", "out of memory"
CANCELLED, CANCELLED_EARLY, TIMED_OUT, NOT_SEEN = "cancelled", "cancelled before it ran", "timed out", "not seen"

MISSING, TYPE, TEXT, NEW, ORDER = "missing", "type", "text", "new", "order"
NUMBER, FLAG = (int, float), bool
FREE = object()  # any JSON: fields that nothing here reads
_CONTAINER: dict[str, Any] = {
    "exitCode": NUMBER, "reason": str, "logStreamName": str, "taskArn": str, "containerInstanceArn": str,
    "image": str, "command": list, "jobRoleArn": str, "executionRoleArn": str, "volumes": list, "environment": list,
    "mountPoints": list, "readonlyRootFilesystem": FLAG, "ulimits": list, "privileged": FLAG, "user": str,
    "vcpus": NUMBER, "memory": NUMBER, "instanceType": str, "networkInterfaces": list, "resourceRequirements": list,
    "linuxParameters": FREE, "logConfiguration": FREE, "secrets": list, "networkConfiguration": FREE,
    "fargatePlatformConfiguration": FREE, "ephemeralStorage": FREE, "runtimePlatform": FREE,
    "repositoryCredentials": FREE, "enableExecuteCommand": FLAG,
}  # fmt: skip
_ATTEMPT: dict[str, Any] = {
    "container": {name: _CONTAINER[name] for name in (
        "exitCode", "reason", "logStreamName", "taskArn", "containerInstanceArn", "networkInterfaces")},
    "startedAt": NUMBER, "stoppedAt": NUMBER, "statusReason": str, "taskProperties": list,
}  # fmt: skip
_JOB: dict[str, Any] = {
    "jobArn": str, "jobId": str, "jobName": str, "jobQueue": str, "jobDefinition": str, "status": str,
    "statusReason": str, "createdAt": NUMBER, "startedAt": NUMBER, "stoppedAt": NUMBER, "attempts": [_ATTEMPT],
    "container": _CONTAINER, "retryStrategy": FREE, "timeout": {"attemptDurationSeconds": NUMBER},
    "arrayProperties": {"size": NUMBER, "index": NUMBER, "statusSummary": FREE,
                        "statusSummaryLastUpdatedAt": NUMBER},
    "dependsOn": list, "parameters": FREE, "tags": FREE, "propagateTags": FLAG, "platformCapabilities": list,
    "isCancelled": FLAG, "isTerminated": FLAG, "shareIdentifier": str, "schedulingPriority": NUMBER,
    "nodeDetails": FREE, "nodeProperties": FREE, "eksProperties": FREE, "eksAttempts": list, "ecsProperties": FREE,
    "consumableResourceProperties": FREE,
}  # fmt: skip

_ALWAYS = ("jobId", "jobName", "jobQueue", "jobDefinition", "status", "createdAt")
_RAN = (
    "statusReason", "startedAt", "stoppedAt", "attempts", "timeout.attemptDurationSeconds",
    "container.exitCode", "container.logStreamName",
    "attempts.-1.container.exitCode", "attempts.-1.container.logStreamName", "attempts.-1.startedAt",
    "attempts.-1.stoppedAt", "attempts.-1.statusReason",
)  # fmt: skip
REQUIRED: Mapping[str, tuple[str, ...]] = {
    VALUE: _RAN,
    RAISED: _RAN,
    DIED: _RAN,
    OUT_OF_MEMORY: (*_RAN, "container.reason"),
    TIMED_OUT: _RAN,
    CANCELLED: _RAN,
    CANCELLED_EARLY: ("statusReason",),
    NOT_SEEN: (),
    ARRAY: ("arrayProperties.size", "arrayProperties.statusSummary"),
}
CAUSES: Mapping[str, tuple[Cause, ...]] = {
    VALUE: (Cause.SUCCESS,),
    RAISED: (Cause.USER_ERROR,),
    DIED: (Cause.KILLED_BY_SIGNAL, Cause.OUT_OF_MEMORY, Cause.USER_ERROR),
    OUT_OF_MEMORY: (Cause.OUT_OF_MEMORY,),
    TIMED_OUT: (Cause.TIMED_OUT,),
    CANCELLED: (Cause.CANCELLED,),
    CANCELLED_EARLY: (Cause.CANCELLED,),
}
_KINDS = {str: "a text", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True, order=True)
class Difference:
    """A difference between a job's record and the expected one; `path` has * for the index of a list."""

    kind: str
    path: str
    problem: str
    text: str

    @property
    def is_wrong(self) -> bool:
        """False for a field that is new and that nothing reads."""
        return self.problem != NEW


def differences(record: Mapping[str, Any], kind: str) -> list[Difference]:
    """Return how the record of a job with this kind of end differs from the expected one."""
    found = [
        Difference(kind, path.replace("-1", "*"), MISSING, "the field is missing")
        for path in (*_ALWAYS, *REQUIRED[kind])
        if _at(record, path) is None
    ]
    found += _unlike(kind, "", record, _JOB)
    found += _disorder(record, kind)
    if kind in CAUSES and not any(each.problem == MISSING for each in found):
        cause = why(record).cause
        if cause not in CAUSES[kind]:
            expected = " or ".join(CAUSES[kind])
            words = f"it is understood as {cause}, and the end was {expected}: {record.get('statusReason')!r}"
            found.append(Difference(kind, "statusReason", TEXT, words))
    return sorted(set(found))


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, list):
            value = value[int(name)] if value else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _unlike(kind: str, path: str, value: Any, expected: Any) -> Iterator[Difference]:
    """Yield the fields below a value whose type is not the expected one, and those that are not known."""
    if expected is FREE or value is None:
        return
    if isinstance(expected, dict) and isinstance(value, Mapping):
        for name, field in value.items():
            place = f"{path}.{name}" if path else name
            if name in expected:
                yield from _unlike(kind, place, field, expected[name])
            else:
                yield Difference(kind, place, NEW, f"a new field, {_KINDS.get(type(field), 'null')}")
    elif isinstance(expected, list) and isinstance(value, list):
        for item in value:
            yield from _unlike(kind, f"{path}.*", item, expected[0])
    elif not _fits(value, expected):
        yield Difference(kind, path, TYPE, f"{_KINDS.get(type(value), 'null')}, not {_name(expected)}")


def _fits(value: Any, expected: Any) -> bool:
    if isinstance(expected, dict | list):
        return False
    return isinstance(value, expected) and (expected is FLAG or not isinstance(value, bool))


def _name(expected: Any) -> str:
    kind = type(expected) if isinstance(expected, dict | list) else expected
    return _KINDS[kind[0] if isinstance(kind, tuple) else kind]


def _disorder(record: Mapping[str, Any], kind: str) -> Iterator[Difference]:
    names = [name for name in ("createdAt", "startedAt", "stoppedAt") if isinstance(record.get(name), int)]
    for earlier, later in itertools.pairwise(names):
        if record[earlier] > record[later]:
            yield Difference(kind, later, ORDER, f"it is before {earlier}")


def issue_text(found: list[Difference], version: str, place: str) -> str:
    """Return the text of an issue about differences, ready to be pasted; `place` is like "eu-west-1, Fargate"."""
    lines = [f"- `{each.path}` of a job that ended as *{each.kind}*: {each.text}" for each in found]
    head = f"AWS Batch describes jobs otherwise than covalent-awsbatch-plugin {version} expects ({place})."
    return "\n".join((f"### {head}", "", *lines, "", "The record of `covalent-awsbatch check --json` is attached."))
