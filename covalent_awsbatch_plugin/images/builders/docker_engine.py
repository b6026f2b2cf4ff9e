# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The operations of a Docker engine that building needs. The SDK blocks, so it runs in a small pool of threads."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar, cast

import docker
import docker.errors

from ...errors import ImageError, NotAuthenticated
from ..layer import Chunk, Entry, File, Layer, stored_gzip, tar
from ..manifest import DOCKER, Descriptor, Image
from ..reference import Reference
from .builder import Login
from .docker_client import docker_client

T = TypeVar("T")

THREADS = 4
ANSWER_S = 600  # the engine unpacks a layer of some GB before it answers
PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class EngineImage:
    """An image that the engine has; `pulled` if the engine knows its digest in a registry."""

    id: str
    pulled: bool


class Engine:
    """The engine of DOCKER_HOST, or else this machine's."""

    async def __aenter__(self) -> Self:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        try:
            self._client = await self._do(_connect)
        except BaseException:
            self._pool.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._do(self._client.close)
        self._pool.shutdown(wait=False)

    async def find(self, name: str) -> EngineImage | None:
        """Return the image with this name, digest or id; None if the engine does not have it."""
        return await self._do(lambda: self._find(name))

    async def pull(self, reference: Reference, platform: str, login: Login | None) -> None:
        """Pull an image. Raises ImageError or NotAuthenticated, in the engine's words."""
        await self._do(lambda: self._pull(reference, platform, login))

    async def load(self, image: Image, layers: Sequence[Layer], tag: str) -> None:
        """Load an image whose base the engine has; then its id is the digest of its config."""
        await self._do(lambda: self._load(image, layers, tag))

    async def export(self, image: EngineImage, folder: Path) -> tuple[bytes, list[tuple[Descriptor, Path]]]:
        """Return config and layers of an image, bottom up, the layers as files in `folder` for a registry."""
        return await self._do(lambda: self._export(image, folder))

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # ---- in a thread of the pool -----------------------------------------------------------------------------------
    def _find(self, name: str) -> EngineImage | None:
        try:
            with _translated(f"The Docker engine could not look for {name}."):
                details = self._client.api.inspect_image(name)
        except _Absent:
            return None
        return EngineImage(details["Id"], bool(details.get("RepoDigests")))

    def _pull(self, reference: Reference, platform: str, login: Login | None) -> None:
        auth = {"username": login.username, "password": login.password} if login else None
        happened = f"The Docker engine could not pull {reference}."
        with _translated(happened):
            events = self._client.api.pull(
                reference.name, reference.version, stream=True, decode=True, platform=platform, auth_config=auth
            )
            _read(events, happened)

    def _load(self, image: Image, layers: Sequence[Layer], tag: str) -> None:
        happened = f"The Docker engine could not load {tag}."
        with _translated(happened):
            _read(self._client.api.load_image(_pieces(tar(load_archive(image, layers, tag)))), happened)
        loaded = self._find(tag)
        # With the containerd image store, an image's id is the digest of its manifest.
        if loaded is None or loaded.id not in (image.manifest.config.digest, image.digest):
            raise ImageError(f"The Docker engine loaded {tag} with another digest than expected.", says=str(loaded))

    def _export(self, image: EngineImage, folder: Path) -> tuple[bytes, list[tuple[Descriptor, Path]]]:
        with (
            _translated(f"The Docker engine could not export {image.id}."),
            tempfile.TemporaryFile(dir=folder) as file,
        ):
            for piece in self._client.api.get_image(image.id):
                file.write(piece)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                return _unpack(archive, folder)


def _connect() -> Any:  # the SDK has types for some of its calls only
    try:
        return docker_client(ANSWER_S)
    except docker.errors.DockerException as error:
        raise ImageError(
            "The Docker engine does not answer.",
            says=str(error),
            advice='Start a Docker engine, or set DOCKER_HOST. The setting `builder` = "registry" needs no engine.',
        ) from error


class _Absent(ImageError):
    """The engine does not have the image."""


@contextmanager
def _translated(happened: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise _Absent(happened, says=error.explanation or str(error)) from error
    except docker.errors.APIError as error:
        raise _refusal(happened, error.explanation or str(error)) from error
    except (docker.errors.DockerException, OSError) as error:
        raise ImageError(
            happened, says=str(error), advice="Check that the engine runs and that its disk is not full."
        ) from error


def _read(events: Iterable[Mapping[str, Any]], happened: str) -> None:
    """Read the engine's events. An error after the first byte is an event, not an exception of the SDK."""
    for event in events:
        if "error" in event:
            raise _refusal(happened, str(event["error"]))


def _refusal(happened: str, says: str) -> ImageError | NotAuthenticated:
    """Return the error for a refusal; of what a registry answers to the engine, only the text is known."""
    if "unauthorized" in says or "no basic auth credentials" in says:
        return NotAuthenticated(
            f"{happened} The registry did not accept the login.",
            says=says,
            advice="Log in again: the login may have expired, or belong to another registry.",
        )
    return ImageError(happened, says=says)


def load_archive(image: Image, layers: Sequence[Layer], tag: str) -> dict[str, Entry]:
    """Return the input of `docker load`: Docker's manifest.json, and an OCI layout for the containerd image store.

    The base's layers are named but not included: the engine opens the file of a layer only if it lacks the layer.
    """
    manifest = image.manifest
    names = [_blob_path(layer.digest) for layer in manifest.layers]
    described = Descriptor(manifest.media_type, manifest.digest, len(manifest.body)).to_json()
    index = {"schemaVersion": 2, "manifests": [described | {"annotations": {"io.containerd.image.name": tag}}]}
    return {
        "manifest.json": _json([{"Config": _blob_path(manifest.config.digest), "RepoTags": [tag], "Layers": names}]),
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(index),
        _blob_path(manifest.digest): manifest.body,
        _blob_path(manifest.config.digest): image.config,
        **{_blob_path(layer.digest): File(layer.data) for layer in layers},
    }


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(body: object) -> bytes:
    return json.dumps(body, sort_keys=True).encode()


def _pieces(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield small chunks: HTTP's chunked encoding copies each chunk."""
    for chunk in chunks:
        view = memoryview(chunk)
        yield from (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


def _unpack(archive: tarfile.TarFile, folder: Path) -> tuple[bytes, list[tuple[Descriptor, Path]]]:
    [contents] = json.loads(_member(archive, "manifest.json").read())
    config = _member(archive, contents["Config"]).read()
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    layers = []
    for name, diff_id in zip(contents["Layers"], diff_ids, strict=True):
        path = folder / diff_id.replace(":", "-")
        layers.append((_compress(_plain(_member(archive, name)), diff_id, path), path))
    return config, layers


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise ImageError(f"The Docker engine exported an image without {name}.")
    return file


def _plain(file: IO[bytes]) -> IO[bytes]:
    """Return the tar itself: the containerd image store exports layers as they were pulled."""
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if compressed else file


def _compress(file: IO[bytes], diff_id: str, path: Path) -> Descriptor:
    """Write a layer as stored gzip, like the package's own layers, so that its digest is the same everywhere."""
    diff, digest, size = hashlib.sha256(), hashlib.sha256(), 0
    with path.open("wb") as out:
        for chunk in stored_gzip(_hashed(file, diff)):
            digest.update(chunk)
            size += out.write(chunk)
    if f"sha256:{diff.hexdigest()}" != diff_id:
        raise ImageError(f"The Docker engine exported layer {diff_id} with other bytes.")
    return Descriptor(DOCKER.layer, f"sha256:{digest.hexdigest()}", size)


def _hashed(file: IO[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    while chunk := file.read(PIECE_BYTES):
        digest.update(chunk)
        yield chunk
