# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of a run: JSON without the account's names, to be sent to the project. docs/check.md has its schema."""

from __future__ import annotations

import getpass
import platform
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..aws.ecr import registry_of
from ..core.resource_names import bare_role
from ..iam import ecr_repository
from ..settings import Settings
from .plan import Usage
from .record_model import differences
from .run_state import Result, RunState
from .scrubber import Scrubber

SCHEMA = 1
# Settings that are no names of the account's.
SHOWN = (
    "region", "vcpu", "memory", "num_gpus", "platform", "assign_public_ip", "retry_attempts", "time_limit", "poll_freq",
    "array_linger", "max_baked_mib", "builder", "sse",
)  # fmt: skip


def own_names(settings: Settings, account: str = "", arn: str = "") -> dict[str, list[str]]:
    """Return the names that a record must not have, by their kind."""
    roles = [settings.batch_execution_role_name, settings.batch_job_role_name]
    user = arn.rpartition(":")[2].split("/")[1:]
    registry = registry_of(settings.ecr_repo_name).get("registryId", "")
    names = {
        "account": [account, str(registry)],
        "bucket": [settings.s3_bucket_name],
        "repository": [settings.ecr_repo_name, ecr_repository(settings.ecr_repo_name)[2]],
        "image": [settings.container_image_uri],
        "queue": [settings.batch_queue, settings.batch_queue.rpartition("/")[2]],
        "role": [*roles, *map(bare_role, roles)],
        "log-group": [settings.batch_job_log_group_name],
        "definition": [settings.batch_job_definition_name, settings.batch_job_definition_name.partition("-check")[0]],
        "profile": [settings.profile],
        "kms-key": [settings.kms_key],
        "share": [settings.share_identifier],
        "file": [settings.credentials, settings.cache_dir, str(Path.home())],
        "user": [*user, _user()],
        "host": [socket.gethostname(), socket.gethostname().partition(".")[0]],
    }
    return {kind: [name for name in own if name] for kind, own in names.items()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an entry in the password database
        return ""


def run_record(
    state: RunState, results: Sequence[Result], settings: Settings, usage: Usage, names: dict[str, list[str]]
) -> dict[str, Any]:
    """Return the record of a run, scrubbed."""
    scrubber = Scrubber(names)
    numbers = {job: number for number, job in enumerate(state.kinds, 1)}
    shown = {name: getattr(settings, name) for name in SHOWN}
    return {
        "schema": SCHEMA,
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "began": state.began,
        "settings": scrubber.plain(shown),
        "usage": asdict(usage) | {"usd": round(usage.usd, 2)},
        "checks": [scrubber.plain(asdict(result)) for result in results],
        "jobs": [
            {"number": numbers[job], "kind": state.kinds[job], "record": scrubber.record(record)}
            for job, record in state.records.items()
            if job in numbers
        ],
        "differences": scrubber.plain([asdict(each) for each in _differences(state)]),
    }


def _differences(state: RunState) -> Iterable[Any]:
    found = (differences(record, state.kinds[job]) for job, record in state.records.items() if job in state.kinds)
    return sorted({each for some in found for each in some})
