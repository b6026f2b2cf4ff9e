# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The bucket: functions and arguments too big for the image go in, results come out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from ..thought.errors import NotFound
from .aws import AWS, translated

KEYS_PER_CALL = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
CHUNK_BYTES = 1024 * 1024


class Store:
    """One bucket, which must belong to `account`: a bucket's name is global, and a stranger may have taken it."""

    def __init__(self, aws: AWS, bucket: str, account: str) -> None:
        self._aws, self.bucket = aws, bucket
        self._of: dict[str, Any] = {"Bucket": bucket, "ExpectedBucketOwner": account}

    async def _call(self, operation: str, **parameters: Any) -> Any:
        return await self._aws.call("s3", operation, of=f"bucket `{self.bucket}`", **self._of, **parameters)

    async def check(self) -> None:
        """Raises NotFound, NotAllowed, ... when the bucket can't be used."""
        await self._call("HeadBucket")

    async def has(self, key: str) -> bool:
        """Whether an object lies there."""
        try:
            await self._call("HeadObject", Key=key)
        except NotFound:
            return False
        return True

    async def put_file(self, key: str, path: Path) -> None:
        """Uploads a file of any size in parts, never wholly in memory."""
        self._aws.calls["s3:PutObject"] += 1
        with translated("s3:PutObject", f"bucket `{self.bucket}`"):
            client = await self._aws.client("s3")
            await client.upload_file(
                str(path), self.bucket, key, ExtraArgs={"ExpectedBucketOwner": self._of["ExpectedBucketOwner"]}
            )

    async def get(self, key: str) -> bytes | None:
        """The object's bytes, None where there is none."""
        async with self._body(key) as body:
            return None if body is None else await body.read()

    async def get_file(self, key: str, path: Path) -> bool:
        """Streams the object into a file; False where there is none."""
        async with self._body(key) as body:
            if body is None:
                return False
            with path.open("wb") as file:
                async for chunk in body.iter_chunks(CHUNK_BYTES):
                    file.write(chunk)
            return True

    async def keys(self, prefix: str) -> list[str]:
        """Every key below a prefix."""
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await self._call("ListObjectsV2", Prefix=prefix, **token)
            found += [item["Key"] for item in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, keys: Sequence[str]) -> None:
        """Deletes objects, 1,000 a call; those that are gone already are fine."""
        for start in range(0, len(keys), KEYS_PER_CALL):
            objects = [{"Key": key} for key in keys[start : start + KEYS_PER_CALL]]
            await self._call("DeleteObjects", Delete={"Objects": objects, "Quiet": True})

    @contextlib.asynccontextmanager
    async def _body(self, key: str) -> AsyncIterator[Any]:
        try:
            answer = await self._call("GetObject", Key=key)
        except NotFound as error:
            if "NoSuchBucket" in error.says:
                raise
            yield None
            return
        with translated("s3:GetObject", f"bucket `{self.bucket}`"):
            async with answer["Body"] as body:
                yield body
