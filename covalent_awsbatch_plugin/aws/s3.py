# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The bucket: functions and arguments that are not in the image go in, results come out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..core.files import staged
from ..core.private_files import create_own
from ..errors import NotAllowed, NotFound, Refused, Unreachable
from ..iam import remedy
from .errors import translated
from .s3_fast_get import LeftToBotocore, QuickGet
from .session import AWS

KEYS_PER_CALL = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
CHUNK_BYTES = 1024 * 1024
BODY_TRIES = 5  # botocore tries again until an answer begins; a body that breaks off is ours to ask for again

T = TypeVar("T")


class Store:
    """One bucket, which must belong to `account`: a bucket's name is global, and a stranger may have taken it."""

    def __init__(self, aws: AWS, bucket: str, account: str) -> None:
        self._aws, self.bucket, self._account = aws, bucket, account
        self._fast_get = QuickGet(aws)
        self._of: dict[str, Any] = {"Bucket": bucket, "ExpectedBucketOwner": account}

    async def _call(self, operation: str, **parameters: Any) -> Any:
        return await self._aws.call("s3", operation, of=f"bucket `{self.bucket}`", **self._of, **parameters)

    async def check(self) -> None:
        """Raises NotFound or NotAllowed, which say what to do, when the bucket can't be used."""
        try:
            await self._call("HeadBucket")
        except (NotFound, Refused) as error:
            if "AWS says: 400" not in error.says:  # S3 has no words for a HEAD; there the advice has them
                error.advice = f"Correct s3_bucket_name, or run `aws s3 mb s3://{self.bucket}`."
            raise
        except NotAllowed as error:
            error.advice = (
                f"Buckets' names are global: if this is not account {self._account}'s, name one that is; "
                f"if it is, give the user or role that runs Covalent `s3:ListBucket` on it{remedy('s3:ListBucket')}."
            )
            raise

    async def has(self, key: str) -> bool:
        """Whether an object lies there."""
        try:
            await self._call("HeadObject", Key=key)
        except NotFound:
            return False
        return True

    async def put(self, key: str, data: bytes) -> None:
        """Uploads bytes, in parts where they are many."""
        await self._upload(key, io.BytesIO(data))

    async def put_file(self, key: str, path: Path) -> None:
        """Uploads a file of any size in parts, never wholly in memory. Raises StagingError when it can't be read."""
        with staged(path, "read"):
            file = path.open("rb")
        with file:
            await self._upload(key, file)

    async def _upload(self, key: str, file: BinaryIO) -> None:
        owner = {"ExpectedBucketOwner": self._account}

        async def put() -> None:
            self._aws.calls["s3:PutObject"] += 1
            file.seek(0)
            with translated("s3:PutObject", f"bucket `{self.bucket}`"):
                client = await self._aws.client("s3")
                await client.upload_fileobj(file, self.bucket, key, ExtraArgs=owner)

        await self._aws.newly_signed_in(put)

    async def get(self, key: str) -> bytes | None:
        """The object's bytes, None where there is none."""
        try:
            with translated("s3:GetObject", f"bucket `{self.bucket}`"):
                return await self._fast_get.get(self.bucket, key, self._account)
        except LeftToBotocore:
            return await self._read(key, self._chunk)

    async def get_file(self, key: str, path: Path) -> bool:
        """Streams the object into a file; False where there is none. Raises StagingError when it can't be written."""

        async def save(body: Any) -> bool:
            with staged(path, "written"), create_own(path) as file:
                while chunk := await self._chunk(body, CHUNK_BYTES):
                    file.write(chunk)
            return True

        return bool(await self._read(key, save))

    async def _read(self, key: str, use: Callable[[Any], Awaitable[T]]) -> T | None:
        """What `use` makes of the object's body, None where there is no object."""
        for tries_left in reversed(range(BODY_TRIES)):
            async with self._body(key) as body:
                if body is None:
                    return None
                try:
                    return await use(body)
                except Unreachable:
                    if not tries_left:
                        raise
        raise AssertionError("the last try returns or raises")

    async def _chunk(self, body: Any, size: int | None = None) -> bytes:
        with translated("s3:GetObject", f"bucket `{self.bucket}`"):
            return bytes(await body.read(size))

    async def keys(self, prefix: str) -> list[str]:
        """Every key below a prefix."""
        of = f"bucket `{self.bucket}`"
        items = self._aws.items("s3", "ListObjectsV2", "Contents", of=of, **self._of, Prefix=prefix)
        return [item["Key"] async for item in items]

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
        async with answer["Body"]:  # which gives aiohttp's response, that reads no part
            yield answer["Body"]
