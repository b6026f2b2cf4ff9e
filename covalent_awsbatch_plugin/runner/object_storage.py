# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' `Storage` for functions in a container: objects of S3, read and written with the job role.

The names are those of https://lithops-cloud.github.io/docs/source/api_storage.html
"""

from __future__ import annotations

import fnmatch
import io
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

from .bucket import S3, StorageError, explain
from .client_settings import ClientSettings
from .protocol import layout

PUBLIC = "covalent_awsbatch_plugin.lithops_compat"  # by this name pickles refer to the classes, on both sides
BACKEND = "aws_s3"
ENV_SESSION = "COVALENT_AWSBATCH_LITHOPS_SESSION"  # the executor's id, so that its `clean` finds its objects
GIVE_UP_S = 60.0

_numbers = itertools.count()


class StorageNoSuchKeyError(Exception):
    """An object of this key is not in the bucket."""

    __module__ = PUBLIC


class CloudObject:
    """The place of an object; it travels to functions and back."""

    __module__ = PUBLIC

    def __init__(self, backend: str, bucket: str, key: str) -> None:
        self.backend, self.bucket, self.key = backend, bucket, key

    def __repr__(self) -> str:
        return f"<CloudObject at {self.backend}://{self.bucket}/{self.key}>"


class Storage:
    """Objects of S3. Every method raises StorageNoSuchKeyError for an absent object, and else StorageError."""

    __module__ = PUBLIC
    _prefix = f"{layout.S3_ROOT}/results/lithops"  # where the job role may write

    def __init__(self, config: Any = None, backend: str | None = None, storage_config: Any = None) -> None:
        self.backend = BACKEND
        self.bucket = os.environ.get(layout.ENV_BUCKET, "")
        self.session = os.environ.get(ENV_SESSION, "session")
        self._stores: dict[str, Any] = {}

    def __reduce__(self) -> Any:
        return Storage, ()

    def get_client(self) -> Any:
        """Refuse: Lithops gives boto3's client here, and this package has none in a container."""
        raise NotImplementedError("Storage.get_client() is not available: use boto3.client('s3') in your function.")

    def create_bucket(self, bucket: str) -> None:
        """Refuse: buckets are made outside of jobs."""
        raise NotImplementedError(f"Storage.create_bucket() is not available: run `aws s3 mb s3://{bucket}`.")

    def get_storage_config(self) -> dict[str, Any]:
        """Return the backend's name and the bucket."""
        return {"backend": self.backend, BACKEND: {"storage_bucket": self.bucket}}

    # ---- objects ----------------------------------------------------------------------------------------------------
    def put_object(self, bucket: str, key: str, body: str | bytes | IO[str] | IO[bytes]) -> None:
        """Write an object from text, bytes or an open file."""
        data = body if isinstance(body, str | bytes | bytearray | memoryview) else body.read()
        with self._explained("s3:PutObject", bucket, key):
            self._store(bucket).put(key, data.encode() if isinstance(data, str) else bytes(data))

    def get_object(
        self, bucket: str, key: str, stream: bool = False, extra_get_args: Mapping[str, Any] | None = None
    ) -> Any:
        """Return an object's bytes, or a readable stream of them; `Range` in `extra_get_args` is HTTP's."""
        span = _range(extra_get_args or {})
        with self._explained("s3:GetObject", bucket, key):
            store = self._store(bucket)
            if span:
                first, last = span
                end = store.head(key)["size"] if last is None else last + 1
                data = bytes(store.get_range(key, start=first, end=end))
            elif stream:
                return ObjectStream(store.get(key).stream())
            else:
                data = bytes(store.get(key).bytes())
        return io.BytesIO(data) if stream else data

    def head_object(self, bucket: str, key: str) -> dict[str, Any]:
        """Return an object's size, time and ETag, under the names of HTTP's headers."""
        with self._explained("s3:GetObject", bucket, key):
            meta = self._store(bucket).head(key)
        return {"content-length": meta["size"], "last-modified": meta["last_modified"], "etag": meta["e_tag"]}

    def head_bucket(self, bucket: str) -> dict[str, Any]:
        """Return {} for a bucket that can be listed."""
        with self._explained("s3:ListBucket", bucket, ""):
            next(iter(self._store(bucket).list(chunk_size=1)), None)
        return {}

    def list_objects(
        self, bucket: str, prefix: str | None = None, match_pattern: str | None = None
    ) -> list[dict[str, Any]]:
        """Return key, size and time of each object whose key begins with `prefix` and matches the shell's pattern."""
        folder = (prefix or "").rpartition("/")[0]  # the client lists whole folders
        with self._explained("s3:ListBucket", bucket, prefix or ""):
            objects = list(itertools.chain.from_iterable(self._store(bucket).list(folder or None, chunk_size=1000)))
        return [
            {"Key": item["path"], "Size": item["size"], "LastModified": item["last_modified"]}
            for item in objects
            if item["path"].startswith(prefix or "")
            and (match_pattern is None or fnmatch.fnmatch(item["path"], match_pattern))
        ]

    def list_keys(self, bucket: str, prefix: str | None = None) -> list[str]:
        """Return the keys that begin with `prefix`."""
        return [item["Key"] for item in self.list_objects(bucket, prefix)]

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object; an absent one is no error."""
        self.delete_objects(bucket, [key])

    def delete_objects(self, bucket: str, key_list: Iterable[str]) -> None:
        """Delete objects; an absent one is no error."""
        if keys := list(key_list):
            with self._explained("s3:DeleteObject", bucket, keys[0]):
                self._store(bucket).delete(keys)

    def upload_file(
        self, file_name: str, bucket: str, key: str | None = None, extra_args: Any = None, config: Any = None
    ) -> bool:
        """Write an object from a file of any size, in parts."""
        with self._explained("s3:PutObject", bucket, key or file_name), open(file_name, "rb") as file:
            self._store(bucket).put(key or os.path.basename(file_name), file)
        return True

    def download_file(
        self, bucket: str, key: str, file_name: str | None = None, extra_args: Any = None, config: Any = None
    ) -> bool:
        """Read an object into a file, in parts."""
        path = file_name or key
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with self._explained("s3:GetObject", bucket, key), open(path, "wb") as file:
            for chunk in self._store(bucket).get(key).stream():
                file.write(chunk)
        return True

    # ---- cloud objects ----------------------------------------------------------------------------------------------
    def put_cloudobject(
        self, body: str | bytes | IO[str] | IO[bytes], bucket: str | None = None, key: str | None = None
    ) -> CloudObject:
        """Write an object and return its place; without a key it is deleted by the executor's `clean`."""
        name = f"{self._prefix}/{self.session}/cloudobject-{os.urandom(8).hex()}-{next(_numbers)}"
        place = CloudObject(BACKEND, bucket or self.bucket, key or name)
        self.put_object(place.bucket, place.key, body)
        return place

    def get_cloudobject(self, cloudobject: CloudObject, stream: bool = False) -> Any:
        """Return a cloud object's bytes, or a readable stream of them."""
        return self.get_object(cloudobject.bucket, cloudobject.key, stream)

    def delete_cloudobject(self, cloudobject: CloudObject) -> None:
        """Delete a cloud object."""
        self.delete_cloudobjects([cloudobject])

    def delete_cloudobjects(self, cloudobjects: Iterable[CloudObject]) -> None:
        """Delete cloud objects."""
        for each in list(cloudobjects):
            self.delete_objects(each.bucket, [each.key])

    # ---- the S3 client ----------------------------------------------------------------------------------------------
    def _store(self, bucket: str) -> Any:
        if bucket not in self._stores:
            self._stores[bucket] = self._open(bucket)
        return self._stores[bucket]

    def _open(self, bucket: str) -> Any:
        return S3(bucket, ClientSettings.of(os.environ), give_up_s=GIVE_UP_S).store

    def _explained(self, action: str, bucket: str, key: str) -> _Explained:
        return _Explained(action, bucket, key)


class _Explained:
    """A context manager that turns the S3 client's errors into StorageNoSuchKeyError or StorageError."""

    def __init__(self, action: str, bucket: str, key: str) -> None:
        self._action, self._bucket, self._key = action, bucket, key

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from obstore.exceptions import BaseError

        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
            raise StorageNoSuchKeyError(f"There is no object s3://{self._bucket}/{self._key}.") from None
        if isinstance(error, BaseError):
            raise StorageError(explain(self._action, self._bucket, self._key, str(error))) from None


class ObjectStream(io.RawIOBase):
    """The bytes of an object as they arrive."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks, self._rest = iter(chunks), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = bytes(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _range(arguments: Mapping[str, Any]) -> tuple[int, int | None] | None:
    """Return the first and last byte of HTTP's `Range: bytes=FIRST-LAST`; None without one."""
    if "Range" not in arguments:
        return None
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", str(arguments["Range"]))
    if match is None:
        raise ValueError(f"The Range {arguments['Range']!r} must look like bytes=0-99.")
    return int(match[1]), int(match[2]) if match[2] else None
