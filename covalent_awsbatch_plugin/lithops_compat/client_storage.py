# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' `Storage` in the user's process: the same as in a container, with the user's AWS credentials."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ..pool.background_loop import background_loop
from ..runner import object_storage
from ..runner.object_storage import PUBLIC
from ..runner.protocol import layout
from ..settings import Settings
from ..tasks.client import connect
from .lithops_config import LithopsOptions


class Storage(object_storage.Storage):
    """Objects of S3, with the credentials, the Region and the bucket of the settings."""

    __module__ = PUBLIC
    _prefix = f"{layout.S3_ROOT}/objects/lithops"  # where the user who submits jobs may write

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        backend: str | None = None,
        storage_config: Mapping[str, Any] | None = None,
        *,
        settings: Settings | None = None,
        session: str = "",
    ) -> None:
        super().__init__()
        options = {"storage": backend} if backend else {}
        self._settings = settings or LithopsOptions.read(config or storage_config, None, options, {}).settings()
        self.bucket = self._settings.s3_bucket_name
        self.session = session or f"session-{uuid.uuid4().hex[:12]}"

    def delete_session(self, session: str) -> None:
        """Delete the cloud objects of an executor, of its functions too."""
        for prefix in (self._prefix, object_storage.Storage._prefix):
            self.delete_objects(self.bucket, self.list_keys(self.bucket, f"{prefix}/{session}/"))

    def _open(self, bucket: str) -> Any:
        from obstore.store import S3Store

        region, url = background_loop().run(_place(self._settings))
        config = {"region": region, "endpoint": url, **_encryption(self._settings)}
        return S3Store(
            bucket,
            config={name: value for name, value in config.items() if value},  # type: ignore[arg-type]
            client_options={"allow_http": url.startswith("http://")},
            credential_provider=lambda: background_loop().run(_keys(self._settings)),
        )


def _encryption(settings: Settings) -> dict[str, str]:
    names = {"ServerSideEncryption": "server_side_encryption", "SSEKMSKeyId": "sse_kms_key_id"}
    return {names[name]: value for name, value in settings.encryption.items()}


async def _place(settings: Settings) -> tuple[str, str]:
    """Return the bucket's Region and the URL of S3 there. Raises one error that lists what is wrong."""
    async with connect(settings) as client:
        resources = await client.services.resources(settings)
        region = resources.bucket_region
        return region, str((await client.services.aws.client("s3", region=region)).meta.endpoint_url)


async def _keys(settings: Settings) -> Any:
    """Return the user's credentials, in the words of the S3 client."""
    async with connect(settings) as client:
        keys, end = await client.services.aws.keys(), await client.services.aws.credentials_end()
    credentials = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key, "expires_at": end}
    return credentials | ({"token": keys.token} if keys.token else {})
