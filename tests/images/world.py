# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A small world for images: registries over HTTP on 127.0.0.1, and base images of a few bytes in them."""

from __future__ import annotations

import base64
import json
import platform as machine
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from covalent_awsbatch_plugin.images.builders.builder import Login, Repository
from covalent_awsbatch_plugin.images.layer import File, Layer, compressed_layer, layer
from covalent_awsbatch_plugin.images.manifest import DOCKER, OCI, Descriptor, Family, Image, Manifest, assemble
from covalent_awsbatch_plugin.images.registry.repository import Blob, Registry
from covalent_awsbatch_plugin.images.registry.transport import RegistryHttp
from covalent_awsbatch_plugin.local.ecr.blobs import BlobStore
from covalent_awsbatch_plugin.local.ecr.registry import Manifest as StoredManifest
from covalent_awsbatch_plugin.local.ecr.registry import Registry as LocalRegistry
from covalent_awsbatch_plugin.local.ecr.registry import TagExists

LOGIN = Login("AWS", "a password that only this registry knows")
AMD64 = "linux/amd64"
HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[machine.machine()]  # what an engine on this machine runs
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# ---- a registry ------------------------------------------------------------------------------------------------------
class Catalog:
    """The repositories of the in-repo registry, without the ECR API: all that is asked for exists but `missing`."""

    def __init__(self) -> None:
        self.immutable = self.open = False
        self.missing: set[str] = set()
        self.manifests: dict[str, dict[str, StoredManifest]] = {}
        self.tagged: dict[str, dict[str, str]] = {}
        self._blobs: dict[str, dict[str, int]] = {}

    def login_is_valid(self, password: str) -> bool:
        return self.open or password == LOGIN.password

    def denial(self, password: str, repository: str, actions: tuple[str, ...]) -> str | None:
        return None

    def blobs(self, repository: str) -> dict[str, int] | None:
        return None if repository in self.missing else self._blobs.setdefault(repository, {})

    def put(self, repository: str, tag: str | None, manifest: StoredManifest, size: int) -> None:
        tags = self.tagged.setdefault(repository, {})
        if self.immutable and tag in tags:  # as ECR: refused even when it is the same image
            raise TagExists(f"The image tag '{tag}' already exists in the '{repository}' repository")
        self.manifests.setdefault(repository, {})[manifest.digest] = manifest
        if tag:
            tags[tag] = manifest.digest

    def get(self, repository: str, reference: str) -> StoredManifest | None:
        digest = self.tagged.get(repository, {}).get(reference, reference)
        return self.manifests.get(repository, {}).get(digest)

    def delete(self, repository: str, reference: str) -> bool:
        return self.manifests.get(repository, {}).pop(reference, None) is not None

    def tags(self, repository: str) -> list[str]:
        return sorted(self.tagged.get(repository, {}))

    def digests(self, repository: str) -> list[str]:
        return list(self.manifests.get(repository, {}))


@dataclass
class Site:
    """A registry that runs. `log` and `trouble` work in the one of this repository only."""

    host: str
    catalog: Catalog
    blobs: BlobStore | None = None
    registry: LocalRegistry | None = None
    log: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    trouble: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None

    def repository(self, name: str = "tasks", login: Login | None = LOGIN) -> Repository:
        return Repository(self.host, name, login)

    def uploads(self) -> list[str]:
        """The uploads whose bytes arrived here."""
        return [line for line in self.log if line.startswith("PUT") and "/blobs/" in line]


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The application on a free port; gives `127.0.0.1:port`."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def local_site(folder: Path) -> AsyncIterator[Site]:
    """The registry of the offline AWS."""
    catalog = Catalog()
    blobs = BlobStore(folder)
    site = Site("", catalog, blobs, LocalRegistry(blobs, catalog))

    @web.middleware
    async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
        site.log.append(f"{request.method} {request.path_qs}")
        site.headers.append(dict(request.headers))
        answer = await site.trouble(request) if site.trouble else None
        return answer if answer is not None else await handler(request)

    assert site.registry is not None
    app = site.registry.app()
    app.middlewares.insert(0, watched)
    async with serving(app) as site.host:
        yield site


@contextmanager
def debian_registry(folder: Path) -> Iterator[str]:
    """Debian's `docker-registry` with Basic login, as ECR has it; gives its host."""
    program, htpasswd = shutil.which("docker-registry"), shutil.which("htpasswd")
    assert program and htpasswd, "`make engine` installs docker-registry and apache2-utils"
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    passwords = subprocess.run(
        [htpasswd, "-Bbn", LOGIN.username, LOGIN.password], check=True, capture_output=True, text=True
    )
    (folder / "htpasswd").write_text(passwords.stdout)
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": host, "secret": "a test's"},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(settings))  # YAML reads JSON
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(host, process)
            yield host
        finally:
            process.terminate()


def _wait_for(host: str, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    name, _, port = host.partition(":")
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((name, int(port)), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)


# ---- base images -----------------------------------------------------------------------------------------------------
def base_of(
    layers: Sequence[Layer], family: Family = OCI, python: str | None = "3.11.7", platform: str = AMD64
) -> Image:
    """A base image of these layers."""
    system, architecture = platform.split("/")[:2]
    config = {
        "os": system,
        "architecture": architecture,
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *([f"PYTHON_VERSION={python}"] if python else [])],
            "Entrypoint": ["/wrapper.sh"],
            "Cmd": ["python3"],
            "WorkingDir": "/home",
            "User": "1000",
        },
        "rootfs": {"type": "layers", "diff_ids": [x.diff_id for x in layers]},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    body = json.dumps(config).encode()
    return assemble(family, body, [Descriptor(family.layer, x.digest, x.size) for x in layers])


def some_layers(number: int, content: str = "") -> list[Layer]:
    return [layer({f"base/{i}": f"layer {i} {content}".encode()}) for i in range(number)]


async def put_base(into: Repository, image: Image, layers: Sequence[Layer], tag: str = "3.11") -> str:
    """Push a base image by hand; gives its name."""
    async with RegistryHttp() as http:
        registry = Registry(http, into.host, into.name, into.login)
        for each in {x.digest: x for x in layers}.values():
            await registry.upload(Blob.of(each.data))
        await registry.upload(Blob.of(image.config))
        await registry.put_manifest(image.manifest, tag)
    return f"{into.uri}:{tag}"


async def put_index(into: Repository, manifests: dict[str, Image], tag: str, family: Family = OCI) -> str:
    """Push an index of images that are there; gives its name."""
    entries = []
    for platform, image in manifests.items():
        described = Descriptor(image.manifest.media_type, image.digest, len(image.manifest.body)).to_json()
        system, architecture, *variant = platform.split("/")
        where = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        entries.append(described | {"platform": where})
    body = json.dumps({"schemaVersion": 2, "mediaType": family.index, "manifests": entries}).encode()
    async with RegistryHttp() as http:
        await Registry(http, into.host, into.name, into.login).put_manifest(Manifest(body, family.index), tag)
    return f"{into.uri}:{tag}"


def shell_layer() -> Layer:
    """A container's file system with /bin/sh and a `python3` that prints its arguments and a task file."""
    shell = Path("/bin/sh").resolve()
    linked = subprocess.run(["ldd", shell], check=True, capture_output=True, text=True).stdout
    libraries = [Path(path) for path in re.findall(r"(/\S+) \(0x", linked)]
    python = b'#!/bin/sh\necho "$0 $@"\nread -r line < /covalent/tasks/0.json || true\necho "$line"\n'
    files = {str(path).lstrip("/"): File(path.read_bytes(), executable=True) for path in libraries}
    return layer({**files, "bin/sh": File(shell.read_bytes(), True), "usr/local/bin/python3": File(python, True)})


def task_layer(text: str = "a task") -> Layer:
    return compressed_layer({"covalent/tasks/0.json": text.encode()}, "task")


def runner_layer(size: int = 200_000) -> Layer:
    """Of a size that is asked for before it is sent."""
    return layer({"covalent/runner/code": bytes(size)}, "runner")


FAMILIES = [pytest.param(OCI, id="oci"), pytest.param(DOCKER, id="docker-v2")]


def basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
