# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A cache of unpacked images without a container engine: layers are pulled once, and images are hard links to them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ...core.hashing import content_id
from ...images.manifest import LABEL_BASE_LAYERS, MANIFESTS
from .base import Login, PullFailed, reference_of
from .container_python import package_folders
from .layer_files import extract, merge

ACCEPT = ", ".join(MANIFESTS)


@dataclass(frozen=True)
class Image:
    """An unpacked image: its root folder, the `config` of its configuration, and the folders of its packages.

    The root of a composed image lacks the layers of its base, whose packages are in `packages`.
    """

    root: Path
    config: dict[str, Any]
    packages: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Repository:
    """A repository of the registry that `login` is for."""

    login: Login
    name: str


class ImageCache:
    """A cache that unpacks each layer and each image once. They stay until `folder` is removed."""

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        self._layers, self._images = folder / "layers", folder / "images"
        for each in (self._layers, self._images):
            each.mkdir(parents=True, exist_ok=True)
        self._login = Login(registry, password)
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, Image] = {}
        self._pulled: dict[str, Image] = {}  # by the name that was pulled
        self._bases: dict[tuple[str, ...], Path] = {}
        self._lock = asyncio.Lock()

    def pulled(self, image: str) -> Image:
        """Return an image that was pulled by this name."""
        return self._pulled[image]

    async def pull(self, image: str, login: Login | None = None) -> Image:
        """Return an unpacked image. As in ECS, the manifest is pulled every time. Raises PullFailed."""
        repository, reference = _parse(image, login or self._login)
        try:
            async with self._get(repository, f"manifests/{reference}", image) as answer:
                manifest, digest = await answer.json(content_type=None), answer.headers["Docker-Content-Digest"]
            async with self._lock:
                if digest not in self._known:
                    self._known[digest] = await self._unpack(repository, digest, manifest, image)
            self._pulled[image] = self._known[digest]
            return self._known[digest]
        except aiohttp.ClientError as error:
            raise PullFailed(f"Error response from daemon: {error}") from error

    def _get(self, repository: Repository, path: str, image: str) -> _Checked:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        url = f"http://{repository.login.registry}/v2/{repository.name}/{path}"
        auth = aiohttp.BasicAuth("AWS", repository.login.password)
        return _Checked(self._session.get(url, headers={"Accept": ACCEPT}, auth=auth), image)

    async def _unpack(self, repository: Repository, digest: str, manifest: dict[str, Any], image: str) -> Image:
        if "layers" not in manifest:
            raise PullFailed(f"Error response from daemon: {image}: an image index has no layers of its own")
        async with self._get(repository, f"blobs/{manifest['config']['digest']}", image) as answer:
            config = json.loads(await answer.read()).get("config") or {}
        digests = [layer["digest"] for layer in manifest["layers"]]
        below = int((config.get("Labels") or {}).get(LABEL_BASE_LAYERS, 0))
        # A process on this machine needs no more of a composed image's base than its packages: one tree for all images.
        base = await self._base(repository, tuple(digests[:below]), image) if below else None
        root = await self._tree(repository, digests[below:], self._images / digest.replace(":", "-"), image)
        if not below:  # it may become the base of others
            self._bases[tuple(digests)] = root
        return Image(root, config, tuple(package_folders(root) + (package_folders(base) if base else [])))

    async def _base(self, repository: Repository, digests: tuple[str, ...], image: str) -> Path:
        if digests not in self._bases:
            root = self._images / f"base-{content_id(digests)}"
            self._bases[digests] = await self._tree(repository, digests, root, image)
        return self._bases[digests]

    async def _tree(self, repository: Repository, digests: Iterable[str], root: Path, image: str) -> Path:
        layers = [await self._layer(repository, digest, image) for digest in digests]
        try:
            await asyncio.to_thread(merge, layers, root)
        except (OSError, ValueError) as error:
            raise PullFailed(f"Error response from daemon: failed to register layer: {error}") from error
        return root

    async def _layer(self, repository: Repository, digest: str, image: str) -> Path:
        target = self._layers / digest.replace(":", "-")
        if target.exists():
            return target
        archive, partial = target.with_suffix(".tar"), target.with_suffix(".part")
        sha256 = hashlib.sha256()
        async with self._get(repository, f"blobs/{digest}", image) as answer:
            with archive.open("wb") as file:
                async for data in answer.content.iter_chunked(1 << 20):
                    sha256.update(data)
                    file.write(data)
        if digest != f"sha256:{sha256.hexdigest()}":
            raise PullFailed(f"Error response from daemon: filesystem layer verification failed for digest {digest}")
        await asyncio.to_thread(extract, archive, partial)
        archive.unlink()
        return partial.rename(target)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _parse(image: str, login: Login) -> tuple[Repository, str]:
    reference = reference_of(image)
    if reference.registry != login.registry:
        raise PullFailed(f"Error response from daemon: {image}: only the registry {login.registry} can be reached")
    return Repository(login, reference.repository), reference.version


class _Checked:
    """A context that yields a response of status 200. Raises PullFailed with dockerd's text for others."""

    def __init__(self, request: Any, image: str) -> None:
        self._request, self._image = request, image

    async def __aenter__(self) -> aiohttp.ClientResponse:
        answer: aiohttp.ClientResponse = await self._request.__aenter__()
        if answer.status == 200:
            return answer
        try:
            error = (await answer.json(content_type=None))["errors"][0]
        finally:
            answer.release()
        code, message = error["code"].lower().replace("_", " "), error["message"]
        raise PullFailed(f"Error response from daemon: manifest for {self._image} not found: {code}: {message}")

    async def __aexit__(self, *exc: object) -> None:
        await self._request.__aexit__(*exc)
