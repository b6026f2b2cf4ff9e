# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Names in AWS's alphabets and lengths, the same ones for the same task."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

JOB_NAME_CHARS = 128  # SubmitJob: letters, digits, - and _, the first one alphanumeric
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]+")


def job_name(dispatch_id: str, task_group_id: int) -> str:
    """What the job of a task group is called; the same group always gives the same name."""
    return _fitted(f"covalent-{dispatch_id}-{task_group_id}", JOB_NAME_CHARS)


def definition_name(prefix: str, definition: Mapping[str, Any]) -> str:
    """Named by content, so that what is registered already is found and never registered twice."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def tags(dispatch_id: str, task_group_id: int, host: str) -> dict[str, str]:
    """Tags by which what is ours is found again: by dispatch, and by the machine that submitted."""
    return {
        "covalent:plugin": "awsbatch",
        "covalent:dispatch": dispatch_id[:256],
        "covalent:group": str(task_group_id),
        "covalent:host": re.sub(r"[^\w .:/=+@-]", "-", host)[:256],
    }


def _fitted(name: str, length: int) -> str:
    clean = _FOREIGN.sub("-", name)
    if clean == name and len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{clean[: length - 13]}-{digest}"
