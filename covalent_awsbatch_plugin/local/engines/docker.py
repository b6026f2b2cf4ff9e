# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An engine that runs a job as a Docker container, with the registry's image, a memory limit and the host's network.

AWS Batch uses the host's network on EC2, too. With it, 127.0.0.1 is the same inside and outside of the container.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container as DockerContainer
from docker.types import LogConfig, Mount

from ...images.builders.docker_client import docker_client
from .base import Container, Exit, Login, PullFailed, StartFailed, reference_of, stop_signal

SECRET_FOLDER = "run/covalent-awsbatch-local"  # noqa: S105 - a name
SECRET_NAME = "authorization-token"  # noqa: S105 - a file's name
LABEL = "covalent.awsbatch.local"  # holds the registry's host:port, which marks containers of this offline AWS
FOLDER_LABEL = f"{LABEL}.folder"  # holds its engine's folder, which no other offline AWS has at the same time
NAME_CHARACTERS = 128
NOT_SEEN = "bind source path does not exist"  # the error of an engine that runs on another machine
THREADS_A_JOB = 3  # one reads the output, one waits for the end, one serves other calls
ENGINE_ERRORS = (DockerException, OSError)  # exceptions of requests are OSErrors
KEPT_TAG = f"covalent-awsbatch-local/python:3.{sys.version_info.minor}"
T = TypeVar("T")


class DockerEngine:
    """The Docker engine. `slots` is the number of containers at a time. Pulled images are removed at its end."""

    name = "docker"
    note = "engine docker: jobs run as real containers, with their memory limits, on this machine's network."

    def __init__(self, registry: str, password: str, slots: int, folder: Path = Path()) -> None:
        self._folder, self._registry, self._password = folder, registry, password
        self._threads = ThreadPoolExecutor(slots * THREADS_A_JOB + 2, thread_name_prefix="docker")
        self._client = docker_client(120, max_pool_size=slots * THREADS_A_JOB + 2)
        self._pulling = asyncio.Lock()  # layers that two images share are fetched once
        self._pulled: set[str] = set()
        self._secrets = _Secrets()

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking function in a thread of this engine."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def pull(self, image: str, login: Login | None = None) -> None:
        async with self._pulling:
            try:
                await self.call(self._pull, image, login or Login(self._registry, self._password))
            except ENGINE_ERRORS as error:
                raise PullFailed(f"Error response from daemon: {_daemon_text(error)}") from error

    def _pull(self, image: str, login: Login) -> None:
        is_ours = image.startswith(f"{login.registry}/")
        reference = reference_of(image)
        auth = {"username": "AWS", "password": login.password} if is_ours else {}
        self._client.images.pull(reference.name, tag=reference.version, auth_config=auth)
        self._pulled.add(image)

    async def keep(self, image: str) -> None:
        """Tag an image as KEPT_TAG, so that its layers stay for the next offline AWS."""
        await self.pull(image)
        await self.call(self._keep, image)

    def _keep(self, image: str) -> None:
        new = self._client.images.get(image)
        with suppress(*ENGINE_ERRORS):
            old = self._client.images.get(KEPT_TAG)
            if old.id != new.id:
                self._client.images.remove(KEPT_TAG)
        new.tag(*KEPT_TAG.split(":"))

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> RunningContainer:
        created = None
        try:
            created = await self.call(self._create, container)
            await self.call(created.start)
        except ENGINE_ERRORS as error:
            if created is not None:
                await self.call(self.forget, created)
            raise StartFailed(f"Error response from daemon: {_daemon_text(error)}") from error
        return RunningContainer(self, created, on_output)

    def _create(self, container: Container) -> DockerContainer:
        if container.secret is None:
            return self._create_with(container, container.environment)
        environment = {**container.environment, container.secret_variable: f"/{SECRET_FOLDER}/{SECRET_NAME}"}
        if self._secrets.are_seen:
            try:
                return self._create_with(container, environment, [self._secrets.mount(container)])
            except APIError as error:
                if NOT_SEEN not in _daemon_text(error):
                    raise
                self._secrets.are_seen = False
        created = self._create_with(container, environment)
        created.put_archive("/", _archive(container.secret))
        return created

    def _create_with(
        self, container: Container, environment: Mapping[str, str], mounts: Sequence[Mount] = ()
    ) -> DockerContainer:
        limit = f"{container.memory_mib}m"
        return self._client.containers.create(
            container.image,
            container.command or None,
            name=container.name[:NAME_CHARACTERS],
            environment=dict(environment),
            mounts=list(mounts),
            network_mode="host",
            mem_limit=limit,
            memswap_limit=limit,  # the same: no swap
            nano_cpus=int(min(container.vcpus, os.cpu_count() or 1) * 1_000_000_000),
            shm_size=f"{container.shared_memory_mib}m" if container.shared_memory_mib else None,
            log_config=LogConfig(type=LogConfig.types.JSON),
            labels={LABEL: self._registry, FOLDER_LABEL: str(self._folder)},
        )

    def forget(self, container: DockerContainer) -> None:
        """Remove a container, and the file of its secret."""
        _remove(container)
        self._secrets.forget(str(container.name))

    async def close(self) -> None:
        await self.call(self._clean)
        self._secrets.folder.cleanup()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _clean(self) -> None:
        for container in self._client.containers.list(all=True, filters={"label": f"{LABEL}={self._registry}"}):
            _remove(container)
        for image in self._pulled:
            with suppress(*ENGINE_ERRORS):
                self._client.images.remove(image, force=True)


def end_containers(folder: Path) -> None:
    """Remove the containers of an offline AWS that was killed and whose engine had this folder."""
    client = docker_client(60)
    try:
        for container in client.containers.list(all=True, filters={"label": f"{FOLDER_LABEL}={folder}"}):
            _remove(container)
    finally:
        client.close()


class RunningContainer:
    """A started Docker container, whose output and end two threads follow."""

    def __init__(self, engine: DockerEngine, container: DockerContainer, on_output: Callable[[bytes], None]) -> None:
        self._engine, self._container = engine, container
        loop = asyncio.get_running_loop()

        def forward(data: bytes) -> None:
            loop.call_soon_threadsafe(on_output, data)

        self._output = loop.create_task(engine.call(_follow, container, forward))
        self._ended = loop.create_task(engine.call(container.wait, timeout=None))

    async def wait(self) -> Exit:
        code = (await asyncio.shield(self._ended))["StatusCode"]
        await asyncio.shield(self._output)
        await self._engine.call(self._container.reload)
        return Exit(code, self._container.attrs["State"]["OOMKilled"])

    async def signal(self, number: int) -> None:
        if number == SIGTERM:
            number = stop_signal(self._container.attrs.get("Config") or {})
        with suppress(APIError):  # it has ended already
            await self._engine.call(self._container.kill, signal=Signals(number).name)

    async def close(self) -> None:
        if not self._ended.done():
            await self.signal(SIGKILL)
        await self._engine.call(self._engine.forget, self._container)
        await asyncio.gather(self._ended, self._output, return_exceptions=True)


class _Secrets:
    """Secret files that are mounted into containers: a copy takes a third of an empty container's run time.

    `are_seen` tells whether the engine can mount this machine's files. Otherwise secrets are copied.
    """

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="covalent-awsbatch-local-secrets-")  # readable for this user only
        self.are_seen = True

    def mount(self, container: Container) -> Mount:
        assert container.secret is not None
        file = Path(self.folder.name, container.name[:NAME_CHARACTERS])
        file.write_bytes(container.secret)
        file.chmod(0o444)  # readable for every user of the container
        return Mount(f"/{SECRET_FOLDER}/{SECRET_NAME}", str(file), type="bind", read_only=True)

    def forget(self, name: str) -> None:
        Path(self.folder.name, name).unlink(missing_ok=True)


def _follow(container: DockerContainer, forward: Callable[[bytes], object]) -> None:
    chunks: Iterator[bytes] = container.logs(stream=True, follow=True)
    for data in chunks:
        forward(data)


def _remove(container: DockerContainer) -> None:
    with suppress(NotFound):
        container.remove(force=True, v=True)


def _archive(secret: bytes) -> bytes:
    """Return a tar file with the secret, readable for every user of the container."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo(SECRET_FOLDER)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        file = tarfile.TarInfo(f"{SECRET_FOLDER}/{SECRET_NAME}")
        file.size, file.mode = len(secret), 0o444
        tar.addfile(file, io.BytesIO(secret))
    return archive.getvalue()


def _daemon_text(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)
