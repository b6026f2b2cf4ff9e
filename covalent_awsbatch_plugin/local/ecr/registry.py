# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An OCI distribution registry as ECR's is: Basic login with ECR's token, repositories that ECR's API has created.

The protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md. Blobs lie on disk; repositories,
tags and manifests lie with the `Catalog`, which is the ECR API, so that both always tell the same.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from ...images.manifest import INDEXES
from ..iam.required_actions import registry_actions
from .blobs import BlobRefused, BlobStore, Upload

MANIFEST_BYTES = 4 * 1024 * 1024  # the distribution specification asks registries to take at least this much
CHUNK = 1 << 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was pushed; the digest is of these very bytes."""

    data: bytes
    media_type: str
    digest: str


class TagTaken(Exception):
    """The repository's tags are immutable, and this one is another image's."""


class Catalog(Protocol):
    """What the registry asks of the ECR API."""

    def login_is_valid(self, password: str) -> bool: ...
    def denial(self, password: str, repository: str, actions: tuple[str, ...]) -> str | None:
        """Why this login may not do that to a repository; None where it may."""

    def blobs(self, repository: str) -> dict[str, int] | None:
        """Sizes of the blobs a repository holds, by digest, to be changed in place; None: no such repository."""

    def put(self, repository: str, tag: str | None, manifest: Manifest, size: int) -> None:
        """Raises TagTaken."""

    def get(self, repository: str, reference: str) -> Manifest | None: ...
    def delete(self, repository: str, reference: str) -> bool: ...
    def tags(self, repository: str) -> list[str]: ...
    def digests(self, repository: str) -> list[str]: ...


class Registry:
    """Routes over a blob store and a catalog; `mounting=False` answers every cross-repository mount with an upload."""

    def __init__(self, blobs: BlobStore, catalog: Catalog, *, mounting: bool = True) -> None:
        self.blobs, self.catalog, self.mounting = blobs, catalog, mounting
        self._uploads: dict[str, Upload] = {}

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._login, self._repository], client_max_size=MANIFEST_BYTES)
        blob, upload = "/v2/{name:.+}/blobs/{digest}", "/v2/{name:.+}/blobs/uploads/{id}"
        manifest = "/v2/{name:.+}/manifests/{reference}"
        app.router.add_get("/v2/", self._ping)
        app.router.add_post("/v2/{name:.+}/blobs/uploads/", self._begin)
        app.router.add_get(upload, self._progress)
        app.router.add_patch(upload, self._append)
        app.router.add_put(upload, self._finish)
        app.router.add_delete(upload, self._abort)
        app.router.add_get(blob, self._blob)  # HEAD too
        app.router.add_get(manifest, self._manifest)
        app.router.add_put(manifest, self._put_manifest)
        app.router.add_delete(manifest, self._delete_manifest)
        app.router.add_get("/v2/{name:.+}/tags/list", self._tags)
        return app

    # ---- who, and where -----------------------------------------------------------------------------------------
    @web.middleware
    async def _login(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.catalog.login_is_valid(_password(request)):
            challenge = f'Basic realm="http://{request.host}/",service="ecr.amazonaws.com"'
            return problem(401, "UNAUTHORIZED", "Not Authorized", {"WWW-Authenticate": challenge})
        if name := request.match_info.get("name"):
            actions = registry_actions(request.method, request.path)
            if denied := self.catalog.denial(_password(request), name, actions):
                return problem(403, "DENIED", denied)
        return await handler(request)

    @web.middleware
    async def _repository(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.match_info.get("name")
        if name is not None and self.catalog.blobs(name) is None:
            return problem(404, "NAME_UNKNOWN", f"The repository with name '{name}' does not exist in the registry")
        return await handler(request)

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    # ---- blobs in -----------------------------------------------------------------------------------------------
    async def _begin(self, request: web.Request) -> web.Response:
        name, mount, source = request.match_info["name"], request.query.get("mount"), request.query.get("from")
        if mount and source and self._mount(name, mount, source):
            return created(f"/v2/{name}/blobs/{mount}", mount)
        upload = self.blobs.begin()
        self._uploads[upload.id] = upload
        return _accepted(name, upload)

    def _mount(self, name: str, digest: str, source: str) -> bool:
        # ECR mounts only what a manifest in the source names: a blob nobody refers to is uploaded again.
        held, target = self.catalog.blobs(source) or {}, self.catalog.blobs(name)
        if not self.mounting or target is None or digest not in held or not self._is_named(source, digest):
            return False
        target[digest] = held[digest]
        return True

    def _is_named(self, repository: str, digest: str) -> bool:
        manifests = (self.catalog.get(repository, each) for each in self.catalog.digests(repository))
        return any(digest in named_blobs(json.loads(m.data)) for m in manifests if m)

    async def _append(self, request: web.Request) -> web.Response:
        upload = self._upload(request)
        if upload is None:
            return _no_upload()
        begins = request.headers.get("Content-Range", "").partition("-")[0]
        if begins and int(begins) != upload.size:
            return problem(416, "BLOB_UPLOAD_INVALID", f"the next byte is {upload.size}, not {begins}")
        await _receive(request, upload)
        return _accepted(request.match_info["name"], upload)

    async def _finish(self, request: web.Request) -> web.Response:
        upload, name, digest = self._upload(request), request.match_info["name"], request.query.get("digest", "")
        if upload is None:
            return _no_upload()
        await _receive(request, upload)
        del self._uploads[upload.id]
        try:
            size = self.blobs.finish(upload, digest)
        except BlobRefused as refused:
            return problem(400, "DIGEST_INVALID", str(refused))
        self._hold(name)[digest] = size
        return created(f"/v2/{name}/blobs/{digest}", digest)

    def _hold(self, name: str) -> dict[str, int]:
        held = self.catalog.blobs(name)
        return {} if held is None else held

    async def _progress(self, request: web.Request) -> web.Response:
        upload = self._upload(request)
        return _no_upload() if upload is None else _accepted(request.match_info["name"], upload, 204)

    async def _abort(self, request: web.Request) -> web.Response:
        upload = self._uploads.pop(request.match_info["id"], None)
        if upload is None:
            return _no_upload()
        upload.abort()
        return web.Response(status=204)

    def _upload(self, request: web.Request) -> Upload | None:
        return self._uploads.get(request.match_info["id"])

    # ---- blobs and manifests out --------------------------------------------------------------------------------
    async def _blob(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        if digest not in self._hold(request.match_info["name"]):
            return problem(404, "BLOB_UNKNOWN", f"blob {digest} unknown to registry")
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        return web.FileResponse(self.blobs.path(digest), chunk_size=CHUNK, headers=headers)

    async def _manifest(self, request: web.Request) -> web.Response:
        manifest = self.catalog.get(request.match_info["name"], request.match_info["reference"])
        if manifest is None:
            return problem(404, "MANIFEST_UNKNOWN", "Requested image not found")
        headers = {"Docker-Content-Digest": manifest.digest, "Content-Type": manifest.media_type}
        return web.Response(body=manifest.data, headers=headers)

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({"name": name, "tags": self.catalog.tags(name)})

    # ---- manifests in -------------------------------------------------------------------------------------------
    async def _put_manifest(self, request: web.Request) -> web.Response:
        name, reference, data = request.match_info["name"], request.match_info["reference"], await request.read()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        try:
            body = json.loads(data)
            manifest = Manifest(data, request.headers.get("Content-Type") or body["mediaType"], digest)
        except (ValueError, KeyError, TypeError):
            return problem(400, "MANIFEST_INVALID", "the manifest is no JSON, or does not say what it is")
        if ":" in reference and reference != digest:
            return problem(400, "DIGEST_INVALID", f"the manifest has the digest {digest}, not {reference}")
        if missing := self._missing(name, manifest.media_type, body):
            return problem(400, "MANIFEST_BLOB_UNKNOWN", f"the repository does not hold {missing}")
        try:
            size = sum(part["size"] for part in [body.get("config", {"size": 0}), *body.get("layers", [])])
            self.catalog.put(name, None if ":" in reference else reference, manifest, size)
        except TagTaken as taken:
            return problem(400, "TAG_INVALID", str(taken))
        return created(f"/v2/{name}/manifests/{digest}", digest)

    def _missing(self, name: str, media_type: str, body: dict[str, Any]) -> str | None:
        """The first thing a manifest names and the repository does not hold."""
        if media_type in INDEXES:
            parts = [m["digest"] for m in body["manifests"]]
            return next((digest for digest in parts if self.catalog.get(name, digest) is None), None)
        held = self._hold(name)
        return next((digest for digest in named_blobs(body) if digest not in held), None)

    async def _delete_manifest(self, request: web.Request) -> web.Response:
        if self.catalog.delete(request.match_info["name"], request.match_info["reference"]):
            return web.Response(status=202)
        return problem(404, "MANIFEST_UNKNOWN", "Requested image not found")


def named_blobs(manifest: dict[str, Any]) -> list[str]:
    """Digests of the config and the layers of an image manifest; none for an index."""
    parts = [manifest.get("config"), *manifest.get("layers", [])]
    return [part["digest"] for part in parts if part]


def problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as the specification words it; `code` is one of its own."""
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)


def created(location: str, digest: str) -> web.Response:
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _no_upload() -> web.Response:
    return problem(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")


def _accepted(name: str, upload: Upload, status: int = 202) -> web.Response:
    location = f"/v2/{name}/blobs/uploads/{upload.id}"
    headers = {"Location": location, "Range": f"0-{max(upload.size - 1, 0)}", "Docker-Upload-UUID": upload.id}
    return web.Response(status=status, headers=headers)


async def _receive(request: web.Request, upload: Upload) -> None:
    async for data in request.content.iter_chunked(CHUNK):
        upload.write(data)


def _password(request: web.Request) -> str:
    """What follows `AWS:` in a Basic login; empty for anybody else."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, password = b64decode(encoded).decode().partition(":")
    except (Base64Error, UnicodeDecodeError):
        return ""
    return password if (scheme, user) == ("Basic", "AWS") else ""
