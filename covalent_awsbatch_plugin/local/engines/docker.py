# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Runs a job as a container of a Docker engine: the image from the registry, the job's memory, the host's network.

The host's network, as AWS Batch has it on EC2, is also what makes 127.0.0.1 the same inside and outside.
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
from signal import SIGKILL, Signals
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container as DockerContainer
from docker.types import LogConfig, Mount

from ...images.builders.docker_client import docker_client
from .base import Container, Exit, PullFailed, StartFailed, reference_of

SECRET_FOLDER = "run/covalent-awsbatch-local"  # noqa: S105 - a name
SECRET_NAME = "authorization-token"  # noqa: S105 - a file's name
LABEL = "covalent.awsbatch.local"  # the registry's host:port; what belongs to this offline AWS
NAME_CHARACTERS = 128
NOT_SEEN = "bind source path does not exist"  # what an engine says that has other files than this machine
THREADS_A_JOB = 3  # its output, its end, and one for whatever else is asked of it
REFUSED = (DockerException, OSError)  # what requests raises is an OSError
KEPT = f"covalent-awsbatch-local/python:3.{sys.version_info.minor}"
T = TypeVar("T")


class DockerEngine:
    """`slots`: containers at a time. Images that were pulled are removed again at the end, but for what was kept."""

    name = "docker"
    note = "engine docker: jobs run as real containers, with their memory limits, on this machine's network."

    def __init__(self, registry: str, password: str, slots: int) -> None:
        self._registry, self._login = registry, {"username": "AWS", "password": password}
        self._threads = ThreadPoolExecutor(slots * THREADS_A_JOB + 2, thread_name_prefix="docker")
        self._client = docker_client(120, max_pool_size=slots * THREADS_A_JOB + 2)
        self._pulling = asyncio.Lock()  # layers that two images share are fetched once
        self._pulled: set[str] = set()
        self._secrets = _Secrets()

    async def call(self, deed: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Does it in a thread of this engine's own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(deed, *args, **kwargs))

    async def pull(self, image: str) -> None:
        async with self._pulling:
            try:
                await self.call(self._pull, image)
            except REFUSED as error:
                raise PullFailed(f"Error response from daemon: {_said(error)}") from error

    def _pull(self, image: str) -> None:
        login = self._login if image.startswith(f"{self._registry}/") else {}
        named = reference_of(image)
        self._client.images.pull(named.name, tag=named.version, auth_config=login)
        self._pulled.add(image)

    async def keep(self, image: str) -> None:
        """Its layers stay with the engine, under the tag KEPT, so that the next offline AWS need not fetch them."""
        await self.pull(image)
        await self.call(self._keep, image)

    def _keep(self, image: str) -> None:
        new = self._client.images.get(image)
        with suppress(*REFUSED):
            old = self._client.images.get(KEPT)
            if old.id != new.id:
                self._client.images.remove(KEPT)
        new.tag(*KEPT.split(":"))

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> RunningContainer:
        made = None
        try:
            made = await self.call(self._create, container)
            await self.call(made.start)
        except REFUSED as error:
            if made is not None:
                await self.call(self.forget, made)
            raise StartFailed(f"Error response from daemon: {_said(error)}") from error
        return RunningContainer(self, made, on_output)

    def _create(self, container: Container) -> DockerContainer:
        if container.secret is None:
            return self._made(container, container.environment)
        environment = {**container.environment, container.secret_variable: f"/{SECRET_FOLDER}/{SECRET_NAME}"}
        if self._secrets.are_seen:
            try:
                return self._made(container, environment, [self._secrets.mount(container)])
            except APIError as error:
                if NOT_SEEN not in _said(error):
                    raise
                self._secrets.are_seen = False
        made = self._made(container, environment)
        made.put_archive("/", _archive(container.secret))
        return made

    def _made(
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
            labels={LABEL: self._registry},
        )

    def forget(self, made: DockerContainer) -> None:
        """Removes it, and its secret here."""
        _remove(made)
        self._secrets.forget(str(made.name))

    async def close(self) -> None:
        await self.call(self._clean)
        self._secrets.folder.cleanup()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _clean(self) -> None:
        for left in self._client.containers.list(all=True, filters={"label": f"{LABEL}={self._registry}"}):
            _remove(left)
        for image in self._pulled:
            with suppress(*REFUSED):
                self._client.images.remove(image, force=True)


class RunningContainer:
    def __init__(self, engine: DockerEngine, container: DockerContainer, on_output: Callable[[bytes], None]) -> None:
        self._engine, self._container = engine, container
        loop = asyncio.get_running_loop()

        def hand_over(data: bytes) -> None:
            loop.call_soon_threadsafe(on_output, data)

        self._output = loop.create_task(engine.call(_follow, container, hand_over))
        self._ended = loop.create_task(engine.call(container.wait, timeout=None))

    async def wait(self) -> Exit:
        code = (await asyncio.shield(self._ended))["StatusCode"]
        await asyncio.shield(self._output)
        await self._engine.call(self._container.reload)
        return Exit(code, self._container.attrs["State"]["OOMKilled"])

    async def signal(self, number: int) -> None:
        with suppress(APIError):  # it has ended already
            await self._engine.call(self._container.kill, signal=Signals(number).name)

    async def close(self) -> None:
        if not self._ended.done():
            await self.signal(SIGKILL)
        await self._engine.call(self._engine.forget, self._container)
        await asyncio.gather(self._ended, self._output, return_exceptions=True)


class _Secrets:
    """Files that containers see as their own: copying one into a container takes a third of an empty one's life.

    `are_seen`: whether the engine has this machine's files; else they are copied.
    """

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="covalent-awsbatch-local-secrets-")  # nobody else looks into it
        self.are_seen = True

    def mount(self, container: Container) -> Mount:
        assert container.secret is not None
        file = Path(self.folder.name, container.name[:NAME_CHARACTERS])
        file.write_bytes(container.secret)
        file.chmod(0o444)  # for any user of the container
        return Mount(f"/{SECRET_FOLDER}/{SECRET_NAME}", str(file), type="bind", read_only=True)

    def forget(self, name: str) -> None:
        Path(self.folder.name, name).unlink(missing_ok=True)


def _follow(container: DockerContainer, hand_over: Callable[[bytes], object]) -> None:
    chunks: Iterator[bytes] = container.logs(stream=True, follow=True)
    for data in chunks:
        hand_over(data)


def _remove(container: DockerContainer) -> None:
    with suppress(NotFound):
        container.remove(force=True, v=True)


def _archive(secret: bytes) -> bytes:
    """Readable for any user of the container: it is the container's own, and nobody else's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo(SECRET_FOLDER)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        file = tarfile.TarInfo(f"{SECRET_FOLDER}/{SECRET_NAME}")
        file.size, file.mode = len(secret), 0o444
        tar.addfile(file, io.BytesIO(secret))
    return archive.getvalue()


def _said(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)
