# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An engine whose jobs finish at once, so that the client alone is measured.

Instead of starting a container it calls the task's function here and writes what the container would have written, so
the client sees a real job that ended. It knows the containers of this plugin, of covalent-awsbatch-plugin 0.42.0 and of
lithops 3.8.0. Of one task in a million nobody would know the difference, but for its speed.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import pickle
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cloudpickle
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.s3.models import S3Backend, s3_backends

from covalent_awsbatch_plugin.local.engines.base import Container, Exit, Login
from covalent_awsbatch_plugin.local.engines.image_cache import ImageCache
from covalent_awsbatch_plugin.runner.bucket import Store
from covalent_awsbatch_plugin.runner.protocol import archive, bundle, envelope, layout
from covalent_awsbatch_plugin.runner.protocol.task import CALL, TaskFile
from covalent_awsbatch_plugin.runner.shared_container import Load
from covalent_awsbatch_plugin.runner.unpack import Download, JobPayload, Unpacked, unpack_image

PYTHON = "3.11.0"
_SCRATCH = TemporaryDirectory()


class Instant:
    """The port of `local.engines.engine.Engine`."""

    name = "instant"
    note = "engine instant: no container is started; each job ends at once with what its container would have left."

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        self._images = ImageCache(folder, registry, password)
        self._roots: dict[str, Path] = {}
        self._login: Login | None = None
        self._pulling = asyncio.Lock()

    async def pull(self, image: str, login: Login | None = None) -> None:
        """Remember who pulls; the layers are fetched once, where a task needs them."""
        self._login = login

    async def keep(self, image: str) -> None:
        """Nothing to keep."""

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> Ended:
        environment = container.environment
        if layout.ENV_RESULTS_PREFIX in environment:
            tasks = await self._tasks(container)
            if Load.of(environment):
                await asyncio.to_thread(_shared, tasks, environment)
            else:
                _ours(tasks, environment)
        elif "COVALENT_TASK_FUNC_FILENAME" in environment:
            _old_plugin(environment)
        elif "__LITHOPS_PAYLOAD" in environment:
            _lithops(environment)
        return Ended()

    async def _tasks(self, container: Container) -> Unpacked:
        """Its part of the payload, which is in its image or in the bucket."""
        environment = container.environment
        payload = JobPayload.of(environment)
        if not payload.digest:
            return unpack_image(payload, await self._root(container.image))
        download = Download(Path(_SCRATCH.name))
        assert download.fetch(payload, lambda: _Bucket(environment[layout.ENV_BUCKET])) == 0, download.error(payload)
        return download.unpacked()

    async def _root(self, image: str) -> Path:
        async with self._pulling:
            if image not in self._roots:
                self._roots[image] = (await self._images.pull(image, self._login)).root
        return self._roots[image]

    async def close(self) -> None:
        await self._images.close()


class Ended:
    """A container that ended well before anybody looked."""

    async def wait(self) -> Exit:
        return Exit(0)

    async def signal(self, number: int) -> None:
        """It has ended."""

    async def close(self) -> None:
        """Nothing is left."""


def _s3() -> S3Backend:
    return s3_backends[ACCOUNT]["aws"]


def _put(bucket: str, key: str, data: bytes) -> None:
    _s3().put_object(bucket, key, data)


def _get(bucket: str, key: str) -> bytes:
    found = _s3().get_object(bucket, key)
    assert found is not None, key
    data: bytes = found.value
    return data


class _Bucket(Store):
    """What the runner reads of a bucket."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        data = _get(self._name, key)
        return [data[begin:end] for begin, end in ranges]


# ---- this plugin: a sealed envelope ---------------------------------------------------------------------------------
def _ours(tasks: Unpacked, environment: dict[str, str]) -> None:
    job, attempt = environment[layout.ENV_JOB_ID], int(environment[layout.ENV_JOB_ATTEMPT])
    sealed = _sealed(tasks, int(environment.get(layout.ENV_ARRAY_INDEX, 0)), job, attempt)
    key = layout.result_key(environment[layout.ENV_RESULTS_PREFIX], job, attempt)
    _put(environment[layout.ENV_BUCKET], key, sealed)


def _shared(tasks: Unpacked, environment: dict[str, str]) -> None:
    """Write the bundle of a container that several calls of a pool share."""
    load = Load.of(environment)
    assert load and environment[layout.ENV_BUNDLES]
    job, attempt = environment[layout.ENV_JOB_ID], int(environment[layout.ENV_JOB_ATTEMPT])
    results = [(each, _sealed(tasks, each, layout.member_id(job, each), attempt)) for each in load.members]
    key = bundle.bundle_key(environment[layout.ENV_RESULTS_PREFIX], job, attempt, 0)
    _put(environment[layout.ENV_BUCKET], key, bundle.pack(results))


def _sealed(tasks: Unpacked, number: int, job: str, attempt: int) -> bytes:
    """Run one task; return its sealed result."""
    file = TaskFile.from_json(tasks.task(number))
    (task,) = file.tasks
    function, args = (
        _function(tasks, task.function.sha256),
        [_load(tasks, file.inputs[node].sha256) for node in task.args],
    )
    if task.kind == CALL:
        ((args, kwargs),) = args
        output = cloudpickle.dumps(function(*args, **kwargs))
    else:
        output = _archived(function(*args))
    parts = {
        envelope.OUTPUT: envelope.Part(len(output), hashlib.sha256(output).hexdigest(), 0),
        envelope.STDOUT: envelope.Part(0, hashlib.sha256(b"").hexdigest(), len(output)),
        envelope.STDERR: envelope.Part(0, hashlib.sha256(b"").hexdigest(), len(output)),
    }
    result = envelope.TaskResult(task.node_id, envelope.RETURNED, 0, parts=parts)
    return envelope.seal(envelope.Envelope(job, attempt, PYTHON, (result,), output), bytes.fromhex(file.result_key))


def _load(tasks: Unpacked, sha256: str) -> Any:
    return pickle.load(tasks.object(sha256))


_functions: dict[str, Any] = {}  # by sha256, so that each is unpickled once


def _function(tasks: Unpacked, sha256: str) -> Any:
    if sha256 not in _functions:
        _functions[sha256] = _load(tasks, sha256)
    return _functions[sha256]


def _archived(value: Any) -> bytes:
    path = Path(_SCRATCH.name, "output")
    archive.save(value, path)
    return path.read_bytes()


# ---- covalent-awsbatch-plugin 0.42.0: covalent_aws_plugins/exec.py -------------------------------------------------
def _old_plugin(environment: dict[str, str]) -> None:
    bucket, result = environment["S3_BUCKET_NAME"], environment["RESULT_FILENAME"]
    function, args, kwargs = pickle.loads(_get(bucket, environment["COVALENT_TASK_FUNC_FILENAME"]))
    output = cloudpickle.dumps(function(*args, **kwargs))
    printed = result.rsplit(".", maxsplit=1)[0].replace("result", "io_output") + ".json"
    _put(bucket, printed, json.dumps(["", "", None, None]).encode())
    _put(bucket, result, output)


# ---- lithops 3.8.0: aws_batch/entry_point.py, worker/handler.py, worker/jobrunner.py -------------------------------
def _lithops(environment: dict[str, str]) -> None:
    payload = json.loads(environment["__LITHOPS_PAYLOAD"])
    if environment["__LITHOPS_ACTION"] == "get_metadata":
        bucket = payload[payload["lithops"]["storage"]]["storage_bucket"] if "lithops" in payload else _bucket(payload)
        told = {
            "preinstalls": [],
            "python_version": environment.get("PYTHON_VERSION", "3.11"),
            "lithops_version": "3.8.0",
        }
        _put(bucket, f"{payload['runtime_name']}.meta", json.dumps(told).encode())
        return
    size, index = payload["chunksize"], int(environment.get(layout.ENV_ARRAY_INDEX, 0))
    for call in payload["call_ids"][index * size : (index + 1) * size]:
        _lithops_call(payload, call)


def _bucket(payload: dict[str, Any]) -> str:
    bucket: str = payload[payload["backend"]]["storage_bucket"]
    return bucket


def _lithops_call(payload: dict[str, Any], call: str) -> None:
    began, bucket = time.time(), _bucket(payload["config"] | {"backend": payload["config"]["lithops"]["storage"]})
    function = pickle.loads(_lithops_function(bucket, payload["func_key"]))
    first, last = payload["data_byte_ranges"][int(call)]
    data = pickle.loads(_get(bucket, payload["data_key"])[first : last + 1])
    result = pickle.dumps(function(**data))
    folder = f"lithops.jobs/{payload['job_key']}/{call}"
    _put(bucket, f"{folder}/{call:0>12}.init", b"")
    _put(bucket, f"{folder}/status.json", json.dumps(_status(payload, call, began, result)).encode())


@functools.lru_cache(10)
def _lithops_function(bucket: str, key: str) -> bytes:
    told: bytes = pickle.loads(_get(bucket, key))["func"]
    return told


def _status(payload: dict[str, Any], call: str, began: float, result: bytes) -> dict[str, Any]:
    """With the result within, as for any that is not big."""
    now = time.time()
    log = base64.b64encode(zlib.compress(b"function log\n" * 20)).decode()
    return {
        "exception": False,
        "activation_id": f"{call:0>12}",
        "python_version": "3.11",
        "worker_start_tstamp": began,
        "host_submit_tstamp": payload["host_submit_tstamp"],
        "call_id": call,
        "job_id": payload["job_id"],
        "executor_id": payload["executor_id"],
        "chunksize": payload["chunksize"],
        "worker_calls": payload["chunksize"],
        "worker_cold_start": True,
        "type": "__end__",
        "worker_func_cpu_usage": [0.0, 0.0],
        "worker_func_cpu_system_time": 0.0,
        "worker_func_cpu_user_time": 0.01,
        "worker_func_sent_net_io": 0,
        "worker_func_recv_net_io": 0,
        "worker_func_rss": 100000000,
        "worker_func_vms": 200000000,
        "worker_func_uss": 50000000,
        "worker_peak_memory_start": 90000000.0,
        "worker_func_start_tstamp": began,
        "worker_func_end_tstamp": now,
        "worker_func_exec_time": now - began,
        "func_result_size": float(len(result)),
        "result": str(result),
        "worker_result_upload_time": 0.0,
        "worker_peak_memory_end": 90000000.0,
        "worker_end_tstamp": now,
        "logs": log,
    }
