# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Names in AWS's alphabets and lengths; the same task always gets the same name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

JOB_NAME_CHARS = 128  # SubmitJob: letters, digits, - and _, the first one alphanumeric
JOB_NAME_BEGINS = "covalent-"
TAG_PLUGIN, TAG_DISPATCH, TAG_GROUP, TAG_HOST = (
    "covalent:plugin",
    "covalent:dispatch",
    "covalent:group",
    "covalent:host",
)
TAG_SUBMISSION = "covalent:submission"  # distinguishes two submissions of one task, which have the same name
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]+")


def job_name(groups: Sequence[tuple[str, int]], tries: int = 1) -> str:
    """Return the job's name for these task groups (dispatch id, group id).

    An array job is named after its first task and a hash of all its tasks, so that no other array has its name. A
    repeated submission differs by `tries`.
    """
    dispatch_id, task_group_id = groups[0]
    name = f"{JOB_NAME_BEGINS}{dispatch_id}-{task_group_id}"
    if len(groups) > 1:
        everyone = "\n".join(f"{dispatch} {group}" for dispatch, group in groups)
        name += f"-x{len(groups)}-{hashlib.sha256(everyone.encode()).hexdigest()[:12]}"
    if tries > 1:
        name += f"-try{tries}"
    return _fitted(name, JOB_NAME_CHARS)


def definition_name(prefix: str, definition: Mapping[str, Any]) -> str:
    """Return a name made from the content, so that a registered definition is found again."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def log_stream_prefix(prefix: str, image: str) -> str:
    """Return the `awslogs-stream-prefix` of all jobs of one image: FilterLogEvents with it follows a whole array.

    The first 16 digits of the image's digest, so that a stream and its image can be matched by eye. A stream is
    `prefix/container/ECS task id`, of at most 512 characters without `:` and `*`:
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html
    """
    digest = image.partition("@sha256:")[2] or hashlib.sha256(image.encode()).hexdigest()
    return f"{prefix}-{digest[:16]}"


def tags(dispatch_id: str, task_group_id: int, host: str) -> dict[str, str]:
    """Return tags by which the job is found again: by dispatch, and by the submitting machine."""
    return {
        TAG_PLUGIN: "awsbatch",
        TAG_DISPATCH: tag_value(dispatch_id),
        TAG_GROUP: str(task_group_id),
        TAG_HOST: tag_value(host),
    }


def tag_value(text: str) -> str:
    """Return the text in the alphabet of tags, at most 256 characters."""
    return re.sub(r"[^\w .:/=+@-]", "-", text)[:256]


def _fitted(name: str, length: int) -> str:
    clean = _FOREIGN.sub("-", name)
    if clean == name and len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{clean[: length - 13]}-{digest}"
