# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The readers of bytes that others wrote, each with valid seeds: a reader returns, or raises its own error only."""

from __future__ import annotations

import contextlib
import hmac
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.dependencies.lock import Target, read_lock
from covalent_awsbatch_plugin.images import reference
from covalent_awsbatch_plugin.images.base_facts import facts_of_config
from covalent_awsbatch_plugin.images.layer import layer
from covalent_awsbatch_plugin.images.manifest import (
    MANIFESTS,
    OCI,
    Descriptor,
    assemble,
    check_platform,
    compose,
    read_image,
    read_manifest,
    select_platform,
)
from covalent_awsbatch_plugin.images.registry.auth import token_in
from covalent_awsbatch_plugin.images.registry.errors import About, error_of
from covalent_awsbatch_plugin.jobs.outcomes.classify import why
from covalent_awsbatch_plugin.jobs.outcomes.errors import error_text
from covalent_awsbatch_plugin.jobs.outcomes.records import Unreadable, records_of
from covalent_awsbatch_plugin.runner.job import Job
from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from covalent_awsbatch_plugin.runner.protocol.task import (
    IN_IMAGE,
    ContainerFiles,
    ObjectRef,
    TaskFile,
    TaskSpec,
    payload,
)
from covalent_awsbatch_plugin.runner.unpack import JobPayload, NoJob, unpack_image
from covalent_awsbatch_plugin.settings import Given, resolve
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.ledger import Entry, Ledger

KEY, JOB = b"k" * 32, "7d3bb84c-8fd4-4d0a-b2a9-000000000000"
ABOUT = About("registry.example", "team/base:1", push=False, login=False)
TARGET = Target("linux/amd64", "3.11")


@dataclass(frozen=True)
class FuzzTarget:
    """A reader; `ours` are the errors that it may raise, and `seeds` are bytes that it reads without one."""

    read: Callable[[bytes], object]
    ours: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]

    def run(self, data: bytes) -> bool:
        """Return whether the reader took the data. Any error that is not its own passes through."""
        try:
            self.read(data)
        except self.ours:
            return False
        return True


# ---- envelopes -------------------------------------------------------------------------------------------------------
def _envelope(data: bytes) -> None:
    envelope.unseal(data, KEY, job_id=JOB, attempt=1)


def _sealed_header(data: bytes) -> None:
    """Read a header that was sealed with the right key, and is none that a runner writes."""
    signed = len(data).to_bytes(8, "big") + data
    _envelope(envelope.MAGIC + hmac.digest(KEY, signed, "sha256") + signed)


def _envelope_seed() -> bytes:
    tasks = (envelope.TaskResult(0, envelope.RETURNED, 0, None, None, {}, envelope.Usage()),)
    return envelope.seal(envelope.Envelope(JOB, 1, "3.11.7", tasks), KEY)


def _header_seed() -> bytes:
    sealed = _envelope_seed()
    return sealed[sealed.index(b"{") :]


# ---- images ----------------------------------------------------------------------------------------------------------
_CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Env": ["PATH=/bin", "PYTHON_VERSION=3.11.7"], "Labels": {"covalent.awsbatch.libc": "glibc 2.36"}},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
    "history": [{"created_by": "debian.sh --arch 'amd64' out/ 'bookworm'"}],
}
_BASE = assemble(OCI, json.dumps(_CONFIG).encode(), [Descriptor(OCI.layer, "sha256:" + "0" * 64, 9)])
_INDEX = {
    "manifests": [
        {"mediaType": OCI.manifest, "digest": _BASE.digest, "size": 9}
        | {"platform": {"os": "linux", "architecture": "amd64"}}
    ]
}


def _manifest(data: bytes) -> None:
    for media_type in MANIFESTS:
        manifest = read_manifest(data, media_type)
        assert all(type(each.digest) is str and type(each.size) is int for each in manifest.layers)


def _index(data: bytes) -> None:
    select_platform(data, "linux/amd64")


def _config(data: bytes) -> None:
    image = read_image(_BASE.manifest, data)
    facts_of_config(image)
    check_platform(image, "linux/amd64")
    compose(image, [layer({"a": b"a"})])


def _registry_answer(data: bytes) -> None:
    for status in (400, 401, 403, 404, 418, 429, 500):
        assert error_of(status, data, ABOUT).text()
    token_in(data)


def _reference(data: bytes) -> None:
    found = reference.parse(data.decode(errors="surrogateescape"))
    assert reference.parse(str(found)) == found


# ---- files of the user -----------------------------------------------------------------------------------------------
_LOCK = b"""lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11"
[[packages]]
name = "six"
version = "1.17.0"
index = "https://pypi.org/simple"
marker = "python_version >= '3.8'"
wheels = [{ url = "https://host.example/six-1.17.0-py2.py3-none-any.whl", \
upload-time = 2024-12-04T17:35:26Z, size = 11050, \
hashes = { sha256 = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274" } }]
[[packages]]
name = "mine"
directory = { path = "mine", editable = true }
"""


def _lock(data: bytes) -> None:
    lock = read_lock(data.decode(errors="replace"), TARGET, "the lock", PurePath("/somewhere"))
    assert lock.digest


def _ledger(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-fuzz-") as folder:
        Path(folder, f"{JOB}.json").write_bytes(data)
        ledger = Ledger(Path(folder))
        list(ledger.jobs())
        list(ledger.unsettled())
        ledger.of_task("d", (0,))


def _ledger_seed() -> bytes:
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-fuzz-") as folder:
        Ledger(Path(folder)).note(JOB, [Entry("d", (0,), JobHandle(JOB, "f", "c0", "bucket", "p", "i"))])
        return Path(folder, f"{JOB}.json").read_bytes()


def _settings(data: bytes) -> None:
    with contextlib.suppress(ValueError, RecursionError):  # of json: whoever gives settings has an object
        values = json.loads(data)
        if isinstance(values, dict):
            _resolved(values)


def _resolved(values: dict[str, object]) -> None:
    with contextlib.suppress(errors.SettingError):
        resolve(Given(values, "here"))
        return


# ---- records and tasks -----------------------------------------------------------------------------------------------
def _records(data: bytes) -> None:
    for detail in records_of(data).details:
        assert error_text(why(detail)).encode()


def _payload_file(data: bytes) -> None:
    root = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-fuzz-"))
    try:
        path = root / layout.PAYLOAD_FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        job = Job.open(root, unpack_image(JobPayload("", 0, 0), root), {})
        shutil.rmtree(job.work)
        job.to_fetch()
        for task in job.file.tasks:
            job.waits_for(task)
            job.bytes_in(task)
            job.log_header(task)
    finally:
        shutil.rmtree(root)


def _description(data: bytes) -> None:
    _payload_file(payload([ContainerFiles({0: data}, {})]).data)


def _task_seed() -> bytes:
    ref = ObjectRef.of(b"pickle", IN_IMAGE)
    tasks = (TaskSpec(0, "f", ref, ref, "3.11.7", (1,), {"x": 2}, sources=ref),)
    return TaskFile(KEY.hex(), tasks, {1: ref, 2: ref}, "0.235", "d").to_json()


_JOB = {"jobId": JOB, "jobName": "f", "status": "FAILED", "statusReason": "Essential container in task exited"}
_RECORD = {"jobs": [_JOB | {"container": {"exitCode": 137, "reason": "OutOfMemoryError: killed"}, "attempts": []}]}
_GIVEN = {"vcpu": 1, "memory": 2, "time_limit": 60, "container_image_uri": "python:3.11", "environment": ["six"]}
_ERROR = {"errors": [{"code": "DENIED", "message": "no"}], "token": "x"}

TARGETS = {
    "envelopes": FuzzTarget(_envelope, (envelope.BadEnvelope,), (_envelope_seed(),)),
    "sealed headers": FuzzTarget(_sealed_header, (envelope.BadEnvelope,), (_header_seed(),)),
    "manifests": FuzzTarget(_manifest, (errors.ImageError,), (_BASE.manifest.body,)),
    "indexes": FuzzTarget(_index, (errors.ImageError,), (json.dumps(_INDEX).encode(),)),
    "image configs": FuzzTarget(_config, (errors.ImageError,), (_BASE.config,)),
    "registry answers": FuzzTarget(_registry_answer, (), (json.dumps(_ERROR).encode(),)),
    "references": FuzzTarget(
        _reference, (errors.SettingError,), (b"python:3.11-slim", b"host:5000/a/b@sha256:" + b"0" * 64)
    ),
    "lock files": FuzzTarget(_lock, (errors.EnvironmentFailed,), (_LOCK,)),
    "ledger files": FuzzTarget(_ledger, (), (_ledger_seed(),)),
    "settings": FuzzTarget(_settings, (), (json.dumps(_GIVEN).encode(),)),
    "Batch records": FuzzTarget(_records, (Unreadable,), (json.dumps(_RECORD).encode(),)),
    "payload files": FuzzTarget(_payload_file, (NoJob,), (payload([ContainerFiles({0: _task_seed()})]).data,)),
    "task descriptions": FuzzTarget(_description, (NoJob,), (_task_seed(),)),
}
