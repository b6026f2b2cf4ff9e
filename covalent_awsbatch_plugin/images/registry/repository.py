# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A repository in a registry, over the OCI distribution API.

https://github.com/opencontainers/distribution-spec
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from urllib.parse import urlencode

from yarl import URL

from ...errors import ImageError, NotAllowed, NotAuthenticated, NotFound, Refused, Throttled, Unreachable
from ..builders.builder import Login
from ..layer import CHUNK_BYTES, Blob, Chunk, digest_of
from ..manifest import INDEXES, MANIFESTS, Descriptor, Manifest
from ..reference import api_host, is_loopback
from .errors import About
from .transport import MOST_ANSWER_BYTES, Answer, Body, Call, RegistryHttp, Tally, location

_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_OCTETS = {"Content-Type": "application/octet-stream"}


class Registry:
    """One repository. It uses the session and tokens of `http`; `tally` counts the requests of this object."""

    def __init__(
        self,
        http: RegistryHttp,
        host: str,
        repository: str,
        login: Login | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.host, self.repository, self.login = host, repository, login
        self.tally = tally or Tally()
        self._http = http
        self._root = _base_url(api_host(host)) / repository

    # ---- manifests ------------------------------------------------------------------------------------------------
    async def manifest_digest(self, version: str) -> str | None:
        """Return the digest that a tag (or digest) names; None if it does not exist."""
        call = self._pull("HEAD", f"manifests/{version}", version, _ACCEPT)
        answer = await self._ask(call, ok=(200, 404))
        if answer.status == 404:
            return None
        if digest := answer.headers.get("Docker-Content-Digest"):
            return digest
        return digest_of((await self.manifest(version))[0])  # the header is optional

    async def manifest(self, version: str) -> tuple[bytes, str]:
        """Return a manifest or index and its media type. Raises NotFound."""
        answer = await self._ask(self._pull("GET", f"manifests/{version}", version, _ACCEPT), ok=(200,))
        if version.startswith("sha256:"):
            self._verify(answer.body, version)
        return answer.body, answer.headers.get("Content-Type", "").partition(";")[0].strip()

    async def put_manifest(self, manifest: Manifest, tag: str) -> None:
        """Put a manifest under a tag. An immutable tag that names the manifest already is a success."""
        body = Body(len(manifest.body), Blob.of(manifest.body).open)
        call = self._push("PUT", f"manifests/{tag}", {"Content-Type": manifest.media_type}, body)

        async def put() -> Answer:
            await self._http.turn(call, "PutManifest")
            return await self._http.ask(call, ok=(200, 201))

        try:
            await self._http.patiently(put)
        except Refused:
            if await self.manifest_digest(tag) != manifest.digest:
                raise

    # ---- blobs ----------------------------------------------------------------------------------------------------
    async def has_blob(self, digest: str) -> bool:
        return (await self._ask(self._pull("HEAD", f"blobs/{digest}", digest), ok=(200, 404))).status == 200

    async def read_blob(self, descriptor: Descriptor) -> bytes:
        """Return a small blob's bytes."""
        if descriptor.size > MOST_ANSWER_BYTES:
            raise ImageError(f"The config of an image in {self.host}/{self.repository} has {descriptor.size} bytes.")
        data = b"".join(await self._http.patiently(lambda: _all(self.blob(descriptor))))
        self._verify(data, descriptor.digest)
        return data

    def blob(self, descriptor: Descriptor) -> Blob:
        """Return a blob of this repository, to be streamed."""
        call = self._pull("GET", f"blobs/{descriptor.digest}", descriptor.digest)
        return Blob(descriptor.digest, descriptor.size, lambda: self._http.stream(call, CHUNK_BYTES, descriptor.size))

    async def upload(self, blob: Blob, mount_from: str | None = None) -> None:
        """Upload a blob: by a mount from another repository of the registry, or else by sending it."""
        await self._http.patiently(lambda: self._upload(blob, mount_from), of=Unreachable)

    async def _upload(self, blob: Blob, mount_from: str | None) -> None:
        answer = await self._begin_upload(blob, mount_from)
        if answer.status == 201:  # mounted
            return
        there = location(answer, self._about(push=True))
        query = "&".join(filter(None, (there.raw_query_string, urlencode({"digest": blob.digest}))))
        url = URL(f"{there.with_query(None).with_fragment(None)}?{query}", encoded=True)
        # One PUT with everything: of several PATCHes, ECR keeps the first and answers 201 to all.
        # https://github.com/aws/containers-roadmap/issues/2831
        request = self._push("PUT", url, _OCTETS, Body(blob.size, blob.open))
        await self._patiently_ask(request, ok=(201, 204))

    async def _begin_upload(self, blob: Blob, mount_from: str | None) -> Answer:
        """Start an upload. The status is 201 if the blob was mounted, 202 with a Location if it must be sent."""
        if mount_from is not None:
            query = urlencode({"mount": blob.digest, "from": mount_from})
            call = self._push("POST", f"blobs/uploads/?{query}", scope=f"mount {mount_from}")
            try:
                return await self._patiently_ask(call, ok=(201, 202))
            except (NotAllowed, NotAuthenticated, NotFound, Refused):
                pass  # a mount is a shortcut: a plain upload may still be allowed
        return await self._patiently_ask(self._push("POST", "blobs/uploads/"), ok=(202,))

    async def _patiently_ask(self, call: Call, ok: tuple[int, ...]) -> Answer:
        """Send a step of an upload; repeat it if it was throttled, but not if it broke off."""
        return await self._http.patiently(lambda: self._http.ask(call, ok), of=Throttled)

    # ---- calls ----------------------------------------------------------------------------------------------------
    async def _ask(self, call: Call, ok: tuple[int, ...]) -> Answer:
        return await self._http.patiently(lambda: self._http.ask(call, ok))

    def _pull(self, method: str, path: str, version: str, headers: Mapping[str, str] | None = None) -> Call:
        about = self._about(push=False, version=version)
        return self._call(method, self._url(path), about, f"pull {self.repository}", headers)

    def _push(
        self,
        method: str,
        path: str | URL,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        scope: str = "",
    ) -> Call:
        url = self._url(path) if isinstance(path, str) else path
        return self._call(method, url, self._about(push=True), f"push {self.repository} {scope}", headers, body)

    def _call(
        self,
        method: str,
        url: URL,
        about: About,
        scope: str,
        headers: Mapping[str, str] | None,
        body: Body | None = None,
    ) -> Call:
        return Call(method, url, self._root.origin(), about, scope, self.login, self.tally, headers or {}, body)

    def _url(self, path: str) -> URL:
        return URL(f"{self._root}/{path}", encoded=True)

    def _about(self, *, push: bool, version: str = "") -> About:
        joint = "@" if version.startswith("sha256:") else ":"
        subject = f"{self.host}/{self.repository}" + (f"{joint}{version}" if version else "")
        return About(self.host, subject, push, self.login is not None)

    def _verify(self, data: bytes, digest: str) -> None:
        if digest_of(data) != digest:
            raise ImageError(
                f"The registry {self.host} sent bytes whose digest is not {digest}.",
                advice="Check for a proxy that changes the registry's responses, then run it again.",
            )


async def _all(blob: Blob) -> list[Chunk]:
    async with aclosing(blob.open()) as chunks:
        return [chunk async for chunk in chunks]


def _base_url(host: str) -> URL:
    """Return the URL of a registry's API: plain HTTP on this machine only."""
    return URL(f"{'http' if is_loopback(host) else 'https'}://{host}/v2/")
