# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The container's access to the bucket: reading and writing objects, and the error text when that fails."""

from __future__ import annotations

import datetime
import os
import random
import re
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .client_settings import CA_FILE, ClientSettings, only_own_variables, proxy_of
from .kept_file import KeptFile, is_full

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHUNK = 8 * 1024 * 1024
_MAX_PARTS = 10_000  # of a multipart upload: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_AT_ONCE = 6  # chunks under way: 48 MiB of memory at most
_TRIES, _TRIES_S = 6, 10.0  # of the client for one request, whatever `give_up_s`: they bridge a single failure
_LONGEST_PAUSE_S = 8.0
_SILENCE_S = 30.0


# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# S3 does not know an upload any more that it completed with an answer that was lost: the object is written anew.
_PASSING = {"InternalError", "NoSuchUpload", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"}
_NEVER_PASSING = ("//169.254.", "certificate", "dns error", "redirect without location")
T = TypeVar("T")


class StorageError(Exception):
    """An object could not be read or written; the message is one line that says what to do."""


class _AnotherAnswer(Exception):
    """A success that S3 did not send, such as a captive portal's page."""


class Store(Protocol):
    """A bucket. Every method raises StorageError."""

    def get(self, key: str, file: KeptFile, most: int) -> None:
        """Download an object of at most `most` bytes into an empty file."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return ranges of an object's bytes, each without its last index; fewer bytes where the object ends."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""

    def put_file(self, key: str, file: KeptFile) -> None:
        """Write an object from a file that may be larger than the memory."""


class S3:
    """A bucket through obstore, which gets its settings from the job and its credentials from the job role.

    Source: https://developmentseed.org/obstore/latest/authentication/
    """

    def __init__(self, bucket: str, settings: ClientSettings, *, give_up_s: float) -> None:
        try:
            from obstore.exceptions import BaseError, GenericError
            from obstore.store import S3Store
        except ImportError as error:
            raise StorageError(
                f"the S3 client of this image can't be loaded: {error}. "
                "It is built for the platform the job was submitted for, with glibc: use such a base image "
                "(container_image_uri)"
            ) from error
        self._errors = (BaseError, OSError, ValueError, _AnotherAnswer)
        self._no_answer, self._give_up_s = (GenericError, _AnotherAnswer), give_up_s
        self._bucket = bucket
        with self._explained("s3:GetObject", ""), only_own_variables():
            self._store = S3Store(
                bucket,
                config=settings.config(),  # type: ignore[arg-type]
                client_options={
                    "allow_http": settings.endpoint.startswith("http://"),
                    "read_timeout": f"{min(_SILENCE_S, max(_TRIES_S, give_up_s)):.0f}s",
                    "timeout": "15min",
                },
                retry_config={
                    "max_retries": _TRIES,
                    "retry_timeout": datetime.timedelta(seconds=_TRIES_S),
                    "backoff": {
                        "init_backoff": datetime.timedelta(seconds=0.1),
                        "max_backoff": datetime.timedelta(seconds=_LONGEST_PAUSE_S),
                        "base": 2,
                    },
                },
            )

    @property
    def store(self) -> Any:
        """The S3 client, which raises its own errors."""
        return self._store

    def get(self, key: str, file: KeptFile, most: int) -> None:
        def save() -> None:
            file.clear()
            answer = self._store.get(key)
            if not answer.meta["e_tag"]:
                raise _AnotherAnswer("the answer is not one of S3: it has no ETag")
            for chunk in answer.stream(min_chunk_size=_CHUNK):
                if file.size + len(chunk) > most:
                    raise StorageError(f"s3://{self._bucket}/{key} has more than {most:,} bytes.")
                file.write(chunk)

        with self._explained("s3:GetObject", key):
            self._patiently(save)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        starts, ends = zip(*ranges, strict=True)
        with self._explained("s3:GetObject", key):
            parts = self._patiently(lambda: self._store.get_ranges(key, starts=starts, ends=ends))
            return [bytes(part) for part in parts]

    def put(self, key: str, data: bytes) -> None:
        with self._explained("s3:PutObject", key):
            self._patiently(lambda: self._store.put(key, data, use_multipart=False))

    def put_file(self, key: str, file: KeptFile) -> None:
        chunk = max(_CHUNK, file.size // (_MAX_PARTS - 1))
        with self._explained("s3:PutObject", key):
            self._patiently(
                lambda: self._store.put(key, file.path() or file.chunks(), chunk_size=chunk, max_concurrency=_AT_ONCE)
            )

    def _patiently(self, work: Callable[[], T]) -> T:
        """Return the result of `work`; repeat it while no answer of S3 comes, or a part of one, or somebody else's.

        The client itself repeats a request that got no answer, for a few seconds.
        """
        began, pause = time.monotonic(), 0.1
        while True:
            try:
                return work()
            except self._no_answer as error:
                waited = time.monotonic() - began
                if waited + pause > self._give_up_s or is_final(str(error)):
                    raise
            time.sleep(random.uniform(0, pause))  # noqa: S311 - so that many containers don't ask together
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _explained(self, action: str, key: str) -> _Explained:
        return _Explained(self._errors, lambda error: explain(action, self._bucket, key, str(error)))


class _Explained:
    """A context manager that turns the client's errors into StorageError."""

    def __init__(self, errors: tuple[type[BaseException], ...], words: Callable[[BaseException], str]) -> None:
        self._errors, self._words = errors, words

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and is_full(error):
            raise StorageError(
                "the disk of the container has no room for the task's function or an argument."
            ) from None
        if isinstance(error, self._errors):
            raise StorageError(self._words(error)) from None


def is_final(message: str) -> bool:
    """Return whether no repetition helps after the client's message: S3 refused, or the way to it is set wrong."""
    if code := re.search(r"<Code>(.*?)</Code>", message):
        return code[1] not in _PASSING
    return any(words in message.lower() for words in _NEVER_PASSING)


def explain(action: str, bucket: str, key: str, message: str) -> str:
    """Return one line from the client's message, which may contain the XML of S3's answer, and what to do."""
    verb = "read" if action == "s3:GetObject" else "written"
    code, text = (re.search(rf"<{tag}>(.*?)</{tag}>", message, re.DOTALL) for tag in ("Code", "Message"))
    words = f"{code[1]}: {text[1] if text else ''}" if code else message.partition("\n")[0]
    return " ".join(
        f"s3://{bucket}/{key} could not be {verb}: {words.strip()}. {_remedy(action, bucket, message)}".split()
    )


def _remedy(action: str, bucket: str, message: str) -> str:
    """Return what to do, by the cause that the client's message names."""
    if "//169.254." in message:
        return "No credentials were found: the job definition must name a job role (batch_job_role_name)."
    if "NoSuchBucket" in message:
        return f"There is no bucket {bucket} (s3_bucket_name)."
    if "NoSuchKey" in message:
        return "It was deleted after the job was submitted, perhaps by a lifecycle rule of the bucket."
    if "range is not satisfiable" in message:
        return "It was cut after the job was submitted: look at who may write to the bucket."
    if "kms:" in message or "KMS." in message:
        return "The job role (batch_job_role_name) needs kms:GenerateDataKey and kms:Decrypt on the key (kms_key)."
    if "resource-based policy" in message:
        return "The bucket's policy denies it: if the policy demands encryption, set sse or kms_key as it says."
    if "without LOCATION" in message or "AuthorizationHeaderMalformed" in message or "PermanentRedirect" in message:
        return "The bucket is in another Region than this job was told: submit the task again."
    if "RequestTimeTooSkewed" in message:
        return "The clock of the instance is wrong: use a machine image that sets it, such as an ECS-optimized one."
    if "403" in message or "AccessDenied" in message:
        return f"The job role (batch_job_role_name) needs {action} on this bucket's covalent-awsbatch/*."
    return _network_remedy(message)


def _network_remedy(message: str) -> str:
    if "certificate" in message.lower():
        return (
            "The certificate is not one that the image trusts: where a proxy or an endpoint has its own, name a file"
            f" with its CA in the base image ({CA_FILE} or AWS_CA_BUNDLE)."
        )
    if variable := proxy_of(message, os.environ):
        return f"The base image sets {variable}: that proxy must reach S3, or NO_PROXY must name S3's host."
    if "dns error" in message:
        return "The VPC must resolve AWS's names (enableDnsSupport, or its own DNS server)."
    return "The network of the compute environment must reach S3 (a NAT gateway or an S3 endpoint)."
