# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A cache of unpacked images without a container engine: layers are pulled once, and images are hard links to them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp

from ...core.hashing import content_id
from ...images.manifest import LABEL_BASE_LAYERS, MANIFESTS
from .base import PullFailed, reference_of
from .container_python import package_folders

ACCEPT = ", ".join(MANIFESTS)
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class Image:
    """An unpacked image: its root folder, the `config` of its configuration, and the folders of its packages.

    The root of a composed image lacks the layers of its base, whose packages are in `packages`.
    """

    root: Path
    config: dict[str, Any]
    packages: tuple[Path, ...] = ()


class ImageCache:
    """A cache that unpacks each layer and each image once. They stay until `folder` is removed."""

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        self._layers, self._images = folder / "layers", folder / "images"
        for each in (self._layers, self._images):
            each.mkdir(parents=True, exist_ok=True)
        self._registry, self._login = registry, aiohttp.BasicAuth("AWS", password)
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, Image] = {}
        self._bases: dict[tuple[str, ...], Path] = {}
        self._lock = asyncio.Lock()

    async def pull(self, image: str) -> Image:
        """Return an unpacked image. As in ECS, the manifest is pulled every time. Raises PullFailed."""
        repository, reference = self._parse(image)
        path = f"{repository}/manifests/{reference}"
        try:
            async with self._get(path, image) as answer:
                manifest, digest = await answer.json(content_type=None), answer.headers["Docker-Content-Digest"]
            async with self._lock:
                if digest not in self._known:
                    self._known[digest] = await self._unpack(repository, digest, manifest, image)
            return self._known[digest]
        except aiohttp.ClientError as error:
            raise PullFailed(f"Error response from daemon: {error}") from error

    def _parse(self, image: str) -> tuple[str, str]:
        reference = reference_of(image)
        if reference.registry != self._registry:
            raise PullFailed(f"Error response from daemon: {image}: only the registry {self._registry} can be reached")
        return reference.repository, reference.version

    def _get(self, path: str, image: str) -> _Checked:
        if self._session is None:
            self._session = aiohttp.ClientSession(auth=self._login)
        url = f"http://{self._registry}/v2/{path}"
        return _Checked(self._session.get(url, headers={"Accept": ACCEPT}), image)

    async def _unpack(self, repository: str, digest: str, manifest: dict[str, Any], image: str) -> Image:
        if "layers" not in manifest:
            raise PullFailed(f"Error response from daemon: {image}: an image index has no layers of its own")
        async with self._get(f"{repository}/blobs/{manifest['config']['digest']}", image) as answer:
            config = json.loads(await answer.read()).get("config") or {}
        digests = [layer["digest"] for layer in manifest["layers"]]
        below = int((config.get("Labels") or {}).get(LABEL_BASE_LAYERS, 0))
        # A process on this machine needs no more of a composed image's base than its packages: one tree for all images.
        base = await self._base(repository, tuple(digests[:below]), image) if below else None
        root = await self._tree(repository, digests[below:], self._images / digest.replace(":", "-"), image)
        if not below:  # it may become the base of others
            self._bases[tuple(digests)] = root
        return Image(root, config, tuple(package_folders(root) + (package_folders(base) if base else [])))

    async def _base(self, repository: str, digests: tuple[str, ...], image: str) -> Path:
        if digests not in self._bases:
            root = self._images / f"base-{content_id(digests)}"
            self._bases[digests] = await self._tree(repository, digests, root, image)
        return self._bases[digests]

    async def _tree(self, repository: str, digests: Iterable[str], root: Path, image: str) -> Path:
        layers = [await self._layer(repository, digest, image) for digest in digests]
        await asyncio.to_thread(_merge, layers, root)
        return root

    async def _layer(self, repository: str, digest: str, image: str) -> Path:
        target = self._layers / digest.replace(":", "-")
        if target.exists():
            return target
        archive, partial = target.with_suffix(".tar"), target.with_suffix(".part")
        async with self._get(f"{repository}/blobs/{digest}", image) as answer:
            with archive.open("wb") as file:
                async for data in answer.content.iter_chunked(1 << 20):
                    file.write(data)
        await asyncio.to_thread(_extract, archive, partial)
        archive.unlink()
        return partial.rename(target)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


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


def _extract(archive: Path, folder: Path) -> None:
    """Unpack a layer without devices, and with this user as the owner of each file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tarfile.open(archive) as tar:
        members = [m for m in tar if (m.isfile() or m.isdir() or m.issym() or m.islnk()) and _inside(m.name)]
        for member in members:
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            member.mode |= 0o700 if member.isdir() else 0o400
        tar.extraction_filter = lambda member, _folder: member  # known since 3.11.4, harmless before
        tar.extractall(folder, members)  # noqa: S202 - checked above


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _merge(layers: list[Path], root: Path) -> None:
    """Make one tree of hard links from layers, lowest first. A `.wh.` entry removes a name of lower layers."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for layer in layers:
        for folder, folders, files in os.walk(layer):
            target = root / Path(folder).relative_to(layer)
            target.mkdir(exist_ok=True)
            _remove_whiteouts(target, files)
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in (*files, *links):
                if not name.startswith(WHITEOUT):
                    _link(Path(folder) / name, target / name)


def _remove_whiteouts(target: Path, files: list[str]) -> None:
    removed = [target / name.removeprefix(WHITEOUT) for name in files if name.startswith(WHITEOUT) and name != OPAQUE]
    for path in [*removed, *(target.iterdir() if OPAQUE in files else ())]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        target.unlink()
    os.link(source, target, follow_symlinks=False)
