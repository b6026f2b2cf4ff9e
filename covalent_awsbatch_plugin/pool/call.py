# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of one call of a pool, and its end. There may be a hundred thousand of them: each is small."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Protocol

from ..errors import Lost
from ..runner.protocol.task import IN_IMAGE, ObjectRef
from ..settings import Settings
from ..tasks.array_package import PickledFunction
from ..tasks.staging import RemoteTraceback
from .staged_calls import SharedObject


class StoredPart(Protocol):
    """A value that is too big for its envelope: it lies in the bucket until it is asked for."""

    def path(self) -> Path:
        """Return a file with the pickle, fetched and checked at the first call. Raises Lost or a ServiceError."""
        ...


class CallEnd:
    """The end of one call. Nothing is unpickled before `value` or `error` is asked for.

    `data` is the pickle of the value, or of the exception where `failed` is its error of the JobFailed family; `text`
    is the traceback in the container. `never_ran`: it was cancelled before its container started.
    """

    __slots__ = ("data", "failed", "never_ran", "text")

    def __init__(
        self,
        data: bytes | StoredPart = b"",
        failed: BaseException | None = None,
        text: str = "",
        *,
        never_ran: bool = False,
    ) -> None:
        self.data, self.failed, self.text, self.never_ran = data, failed, text, never_ran

    def value(self) -> Any:
        """Return the call's value. Raises its error; Lost where the value can't be unpickled here."""
        if self.failed is not None:
            raise self.error()
        try:
            if isinstance(self.data, bytes):
                return pickle.loads(self.data)
            with self.data.path().open("rb") as file:
                return pickle.load(file)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise Lost(
                f"The value of the call can't be unpickled here: {error!r}.",
                advice="Import the modules that its class needs, or return plain data.",
            ) from error

    def error(self) -> BaseException:
        """Return the call's own exception where its class can be imported here, else `failed`."""
        assert self.failed is not None
        if not isinstance(self.data, bytes) or not self.data:
            return self.failed
        try:
            original: BaseException = pickle.loads(self.data)
        except Exception:  # noqa: BLE001 - its class can't be imported here, or does not unpickle
            original = self.failed
        if self.text:
            original.__cause__ = RemoteTraceback(self.text)
        self.data, self.failed, self.text = b"", original, ""  # the same exception each time
        return original


NO_FUNCTION = PickledFunction("", ObjectRef.of(b"", IN_IMAGE), b"", "", "")  # of a call that can't be pickled


class Listener(Protocol):
    """An object that waits for calls."""

    def ended(self, call: Call) -> None:
        """Note that a call has ended. It is called in the loop's thread, and must not block."""
        ...


class _Nobody:
    def ended(self, call: Call) -> None:
        """Do nothing."""


NOBODY = _Nobody()  # of the other calls of an array that an earlier process submitted
NOT_ASKED_FOR = CallEnd()


class Array(Protocol):
    """The array of a call, as far as the call knows it."""

    settings: Settings

    def job_id_of(self, call: Call) -> str | None:
        """Return the id of a call's job, None before the submission."""
        ...

    def has_begun(self, call: Call) -> bool:
        """Return whether the container of a call was surely seen to start."""
        ...


class Call:
    """One call. `data` and `shared` are its pickled arguments; `key` is its identity, b"" in a pool without a name.

    `number` is its node id. `array` is known once it waits for no array any more, and `index` is its place in it.
    `end` is set once, and `listener` is told. `tries` counts submissions, and
    `earlier_attempts` the attempts of the jobs before. Changed in the loop's thread only, once it
    was given to the engine.
    """

    __slots__ = (
        "array",
        "data",
        "earlier_attempts",
        "end",
        "function",
        "index",
        "key",
        "listener",
        "number",
        "shared",
        "tries",
    )

    def __init__(
        self,
        function: PickledFunction,
        data: bytes,
        shared: tuple[SharedObject, ...],
        number: int,
        listener: Listener,
        key: bytes = b"",
    ) -> None:
        self.function, self.data, self.shared = function, data, shared
        self.number, self.listener, self.key = number, listener, key
        self.array: Array | None = None
        self.index, self.tries, self.earlier_attempts = 0, 1, 0
        self.end: CallEnd | None = None

    @property
    def job_id(self) -> str | None:
        """The id of the AWS Batch job, `parent:index` in an array; None before it is submitted."""
        return self.array.job_id_of(self) if self.array else None

    @property
    def state(self) -> str:
        """One of PENDING, SUBMITTED, RUNNING, SUCCEEDED, FAILED and CANCELLED."""
        if self.end and self.end.never_ran:
            return "CANCELLED"
        if self.end:
            return "FAILED" if self.end.failed is not None else "SUCCEEDED"
        if not self.job_id:
            return "PENDING"
        return "RUNNING" if self.array and self.array.has_begun(self) else "SUBMITTED"
