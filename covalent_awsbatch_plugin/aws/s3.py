# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The S3 bucket: functions and arguments that are not in the image, and results."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..core.files import staged
from ..core.private_files import create_own
from ..errors import NotAllowed, NotFound, Refused, Unreachable
from ..iam import remedy
from .errors import listed_error, translated
from .s3_fast_get import MOST_BYTES, LeftToBotocore, QuickGet, TooLarge
from .session import AWS

KEYS_PER_CALL = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
CHUNK_BYTES = 1024 * 1024
BODY_TRIES = 5  # botocore retries until a response starts; a body that breaks off is requested again here

T = TypeVar("T")


class _Body(io.BytesIO):
    """A part of an object as a file, which aiohttp sends in pieces; it would copy a large body of bytes at once."""

    def __len__(self) -> int:
        return self.getbuffer().nbytes

    @classmethod
    def of(cls, data: bytes) -> bytes | _Body:
        """Return a large part as a file, and a small one as it is."""
        return cls(data) if len(data) > CHUNK_BYTES else data


class Store:
    """One bucket, which must belong to `account`: bucket names are global, and another account may own this one."""

    def __init__(self, aws: AWS, bucket: str, account: str) -> None:
        self._aws, self.bucket, self._account = aws, bucket, account
        self._fast_get = QuickGet(aws)
        self._elsewhere = ""  # the bucket's Region where that is not the connection's
        self._of: dict[str, Any] = {"Bucket": bucket, "ExpectedBucketOwner": account}

    async def call(self, operation: str, **parameters: Any) -> Any:
        """Send one request for this bucket, in its Region, checking its owner. Raises the errors of `AWS.call`."""
        of = f"bucket `{self.bucket}`"
        return await self._aws.call("s3", operation, of=of, region=self._elsewhere, **self._of, **parameters)

    async def region(self) -> str:
        """Return the bucket's Region, which `check` asks for; before that, the connection's."""
        return self._elsewhere or await self._aws.region()

    async def check(self) -> None:
        """Ask for the bucket's Region. Raise NotFound or NotAllowed, with advice, if the bucket cannot be used."""
        try:
            answer = await self.call("HeadBucket")
            there, here = answer.get("BucketRegion"), await self._aws.region()
            self._elsewhere = there if there and there != here else ""
        except (NotFound, Refused) as error:
            if "AWS says: 400" not in error.says:  # S3 gives no message for a HEAD; the advice then has the cause
                error.advice = f"Correct `s3_bucket_name`, or run `aws s3 mb s3://{self.bucket}`."
            raise
        except NotAllowed as error:
            error.advice = (
                f"Bucket names are global: if the bucket is not account {self._account}'s, set `s3_bucket_name` to one"
                " that is. "
                "If it is, grant `s3:ListBucket` on it to the user or role of the Covalent server"
                f"{remedy('s3:ListBucket')}."
            )
            raise

    async def has(self, key: str) -> bool:
        """Return whether the object exists."""
        try:
            await self.call("HeadObject", Key=key)
        except NotFound:
            return False
        return True

    async def put(self, key: str, data: bytes, encryption: Mapping[str, str]) -> None:
        """Upload bytes, in parts if they are many. `encryption` has the parameters of PutObject for it."""
        await self._upload(key, io.BytesIO(data), encryption)

    async def put_file(self, key: str, path: Path, encryption: Mapping[str, str]) -> None:
        """Upload a file of any size in parts, without holding it in memory. `encryption` is as for `put`.

        Raises StagingError if the file cannot be read.
        """
        with staged(path, "read"):
            file = path.open("rb")
        with file:
            await self._upload(key, file, encryption)

    async def _upload(self, key: str, file: BinaryIO, encryption: Mapping[str, str]) -> None:
        extra = {"ExpectedBucketOwner": self._account, **encryption}

        async def put() -> None:
            self._aws.calls["s3:PutObject"] += 1
            file.seek(0)
            with translated("s3:PutObject", f"bucket `{self.bucket}`"):
                client = await self._aws.client("s3", region=self._elsewhere)
                await client.upload_fileobj(file, self.bucket, key, ExtraArgs=extra, Processing=_Body.of)

        await self._aws.patiently(put)

    async def get(self, key: str, most: int = MOST_BYTES) -> bytes | None:
        """Return the object's bytes; None if it does not exist. Raises TooLarge for more than `most` bytes, unread."""
        try:
            with translated("s3:GetObject", f"bucket `{self.bucket}`"):
                return await self._fast_get.get(self.bucket, key, self._account, self._elsewhere, most)
        except LeftToBotocore:
            body = await self._read(key, lambda stream: self._whole(stream, key, most))
            self._fast_get.reached(self.bucket, self._elsewhere)
            return body

    async def _whole(self, body: Any, key: str, most: int) -> bytes:
        data = bytearray()
        while chunk := await self._chunk(body, CHUNK_BYTES):
            data += chunk
            if len(data) > most:
                raise TooLarge(self.bucket, key, most)
        return bytes(data)

    async def get_file(self, key: str, path: Path, most: int) -> bool:
        """Stream the object to a file; return False if it does not exist or has more than `most` bytes.

        Raises StagingError if the file cannot be written.
        """

        async def save(body: Any) -> bool:
            size = 0
            with staged(path, "written"), create_own(path) as file:
                while size <= most and (chunk := await self._chunk(body, CHUNK_BYTES)):
                    size += len(chunk)
                    file.write(chunk)
            return size <= most

        return bool(await self._read(key, save))

    async def _read(self, key: str, use: Callable[[Any], Awaitable[T]]) -> T | None:
        """Return the result of `use` for the object's body; None if the object does not exist."""
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

    async def _chunk(self, body: Any, size: int) -> bytes:
        with translated("s3:GetObject", f"bucket `{self.bucket}`"):
            return bytes(await body.read(size))

    async def keys(self, prefix: str, *, once: bool = False) -> list[str]:
        """Return every key below a prefix; with `once`, an outage is the caller's."""
        return [item["Key"] async for item in self.objects(prefix, once=once)]

    def objects(self, prefix: str, *, once: bool = False) -> AsyncIterator[Mapping[str, Any]]:
        """Yield every object below a prefix, as ListObjectsV2 describes it; with `once`, an outage is the caller's."""
        of, more = f"bucket `{self.bucket}`", {"region": self._elsewhere, **self._of}
        return self._aws.items("s3", "ListObjectsV2", "Contents", of=of, once=once, Prefix=prefix, **more)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, 1,000 per request; an object that does not exist is no error.

        S3 answers 200 where it deleted nothing, with an error for each key: the first one is raised at the end.
        """
        failures: list[Mapping[str, Any]] = []
        for start in range(0, len(keys), KEYS_PER_CALL):
            objects = [{"Key": key} for key in keys[start : start + KEYS_PER_CALL]]
            answer = await self.call("DeleteObjects", Delete={"Objects": objects, "Quiet": True})
            failures += answer.get("Errors", ())
        if failures:
            raise listed_error(failures[0], "s3:DeleteObjects", f"bucket `{self.bucket}`")

    @contextlib.asynccontextmanager
    async def _body(self, key: str) -> AsyncIterator[Any]:
        try:
            answer = await self.call("GetObject", Key=key)
        except NotFound as error:
            if "NoSuchBucket" in error.says:
                raise
            yield None
            return
        async with answer["Body"]:  # its value would be aiohttp's response, which cannot read a part
            yield answer["Body"]
