# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Images on this machine without an engine: layers come from the registry once, and images are hard links to them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp

from ...images.manifest import LABEL_BASE_LAYERS, MANIFESTS
from .base import PullFailed, reference_of

ACCEPT = ", ".join(MANIFESTS)
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class Image:
    """An unpacked image: its root folder and the `config` of its configuration."""

    root: Path
    config: dict[str, Any]


class ImageCache:
    """Unpacks each layer and each image once; images stay until `folder` goes."""

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        self._layers, self._images = folder / "layers", folder / "images"
        for each in (self._layers, self._images):
            each.mkdir(parents=True, exist_ok=True)
        self._registry, self._login = registry, aiohttp.BasicAuth("AWS", password)
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, Image] = {}
        self._lock = asyncio.Lock()

    async def pull(self, image: str) -> Image:
        """The registry is asked every time, as ECS does; raises PullFailed."""
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
        named = reference_of(image)
        if named.registry != self._registry:
            raise PullFailed(f"Error response from daemon: {image}: only the registry {self._registry} can be reached")
        return named.repository, named.version

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
        # of a composed image: the base image's layers are of no use to a process on this machine
        skipped = int((config.get("Labels") or {}).get(LABEL_BASE_LAYERS, 0))
        layers = [await self._layer(repository, each["digest"], image) for each in manifest["layers"][skipped:]]
        root = self._images / digest.replace(":", "-")
        await asyncio.to_thread(_merge, layers, root)
        return Image(root, config)

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
    """A response that is 200; raises PullFailed in dockerd's words for another."""

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
        code, said = error["code"].lower().replace("_", " "), error["message"]
        raise PullFailed(f"Error response from daemon: manifest for {self._image} not found: {code}: {said}")

    async def __aexit__(self, *exc: object) -> None:
        await self._request.__aexit__(*exc)


def _extract(archive: Path, folder: Path) -> None:
    """Devices are left out and owners are this user: there is no container to need them."""
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
    """The layers, lower first, as one tree of hard links; a `.wh.` entry removes what lower layers had."""
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
    gone = [target / name.removeprefix(WHITEOUT) for name in files if name.startswith(WHITEOUT) and name != OPAQUE]
    for path in [*gone, *(target.iterdir() if OPAQUE in files else ())]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        target.unlink()
    os.link(source, target, follow_symlinks=False)
