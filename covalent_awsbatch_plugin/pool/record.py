# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of a named pool on this machine: which call is in which job. It is only appended to.

A record is a file of frames: size and CRC-32 of the rest (4 bytes each, big-endian), the size of a JSON text (4), that
text, and for an array the identities of its calls, `KEY_BYTES` each. A process that is killed leaves at most one frame
half written, at the end, and a reader stops there. Whoever appends holds the lock of the pool.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import Struct
from typing import IO, Any

from ..core.files import atomic_write
from ..core.private_files import OTHERS, open_own, own_folder
from ..core.user_dirs import state_dir
from ..errors import PoolInUse, StagingError, UnknownFormat
from ..tasks.array_results import array_key
from ..tasks.events import expanded, runs
from ..tasks.job_handle import JobHandle
from ..tasks.result_secret import result_secret

VERSION = 1
KEY_BYTES = 16
_HEAD = Struct(">II")
_SIZE = Struct(">I")
_RECORD, _LOCK = "record", "lock"


@dataclass(eq=False)
class ArrayRecord:
    """One array of a pool: its job's handle, without an id until the job is known, and the identities of its calls.

    `job` has the settings by which results are found and errors are worded. `since` is the Unix time before the
    submission. `failed` are the indexes of calls whose failure was told. `key` is known of an imported pool only.
    `gone`: no job came of it. `over`: its artifacts at AWS were cleaned up.
    """

    array_id: str
    handle: JobHandle
    keys: bytes = field(repr=False)
    chunksize: int
    numbers: Sequence[int] = field(repr=False)  # the node ids of its calls
    job: Mapping[str, Any]
    since: float
    failed: set[int] = field(default_factory=set)
    key: bytes = field(default=b"", repr=False)
    gone: bool = False
    over: bool = False

    @property
    def size(self) -> int:
        """The number of its calls."""
        return len(self.keys) // KEY_BYTES

    @property
    def settled(self) -> bool:
        """True once its job's id is known."""
        return bool(self.handle.job_id)

    def call_keys(self) -> Iterator[bytes]:
        """Yield the identity of each call."""
        for at in range(0, len(self.keys), KEY_BYTES):
            yield self.keys[at : at + KEY_BYTES]


@dataclass(eq=False)
class PoolRecord:
    """A record as it was read: the pool's `name`, its dispatch id, and its arrays in the order of their submission."""

    path: Path
    name: str = ""
    dispatch_id: str = ""
    since: float = 0.0
    arrays: dict[str, ArrayRecord] = field(default_factory=dict)
    end: int = 0  # bytes up to the last whole frame

    def places(self) -> dict[bytes, tuple[ArrayRecord, int]]:
        """Return the newest array and the index in it of each call that may have a result, by identity."""
        places: dict[bytes, tuple[ArrayRecord, int]] = {}
        for array in self.arrays.values():
            for index, key in enumerate(array.call_keys()):
                if array.gone or index in array.failed:
                    places.pop(key, None)
                else:
                    places[key] = array, index
        return places

    @property
    def next_number(self) -> int:
        """The node id of the next call."""
        return 1 + max((max(array.numbers) for array in self.arrays.values()), default=-1)

    def _take(self, body: dict[str, Any], blob: bytes) -> None:
        match body["frame"]:
            case "pool":
                if body["version"] != VERSION:
                    raise UnknownFormat(
                        f"The record {self.path} has format {body['version']!r:.20}, and this covalent-awsbatch-plugin "
                        f"reads format {VERSION}.",
                        advice="Use the version of covalent-awsbatch-plugin that wrote it.",
                    )
                self.name, self.dispatch_id, self.since = body["name"], body["dispatch_id"], body["since"]
            case "array":
                self.arrays[body["id"]] = ArrayRecord(
                    body["id"], _handle(body["handle"]), blob, body["chunksize"], expanded(body["numbers"]),
                    body["job"], body["since"], key=bytes.fromhex(body.get("key", "")),
                )  # fmt: skip
            case "job":
                self.arrays[body["id"]].handle = _handle(body["handle"])
            case "failed":
                self.arrays[body["id"]].failed |= set(body["calls"])
            case "gone":
                self.arrays[body["id"]].gone = True
            case "over":
                self.arrays[body["id"]].over = True


def _handle(body: Any) -> JobHandle:
    handle = JobHandle.from_json(body)
    if handle is None:
        raise TypeError(body)
    return handle


def frame(body: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    text = json.dumps(body, separators=(",", ":")).encode()
    data = _SIZE.pack(len(text)) + text + blob
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def array_frame(array: ArrayRecord) -> bytes:
    """Return the frame that begins an array."""
    body = {
        "frame": "array", "id": array.array_id, "handle": array.handle.to_json(), "chunksize": array.chunksize,
        "numbers": runs(array.numbers), "job": dict(array.job), "since": array.since,
    }  # fmt: skip
    return frame(body | ({"key": array.key.hex()} if array.key else {}), array.keys)


def read_record(path: Path) -> PoolRecord:
    """Return the record in a file, up to its last whole frame. Raises OSError, UnknownFormat."""
    record = PoolRecord(path)
    with open_own(path, OTHERS) as file:
        for body, blob, end in _frames(file):
            try:
                record._take(body, blob)
            except (KeyError, TypeError, ValueError):
                return record
            record.end = end
    return record


def _frames(file: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes, int]]:
    """Yield body, identities and end of each whole frame."""
    end = 0
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        size, crc = _HEAD.unpack(head)
        data = file.read(size)
        if len(data) != size or zlib.crc32(data) != crc or size < _SIZE.size:
            return
        (text,) = _SIZE.unpack_from(data)
        try:
            body = json.loads(data[_SIZE.size : _SIZE.size + text])
        except ValueError:
            return
        end += _HEAD.size + size
        yield body, data[_SIZE.size + text :], end


# ---- on this machine -------------------------------------------------------------------------------------------------
def pools_folder() -> Path:
    """Return the folder with a folder for each named pool of this user."""
    return state_dir() / "pools"


def read_records() -> list[PoolRecord]:
    """Return the records of this user's pools, by name; one that can't be read is left out."""
    records = []
    for path in sorted(pools_folder().glob(f"*/{_RECORD}")):
        with contextlib.suppress(OSError, UnknownFormat):
            records.append(read_record(path))
    return records


def user_of(name: str) -> str:
    """Return which process uses a pool now, in words; "" where none does."""
    with contextlib.suppress(OSError), open_own(pools_folder() / name / _LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read(200).decode(errors="replace").strip() or "another process"
    return ""


class OpenRecord:
    """The record of a pool that this process uses: nobody else can append to it until `close`.

    Any thread may call its methods. Raises PoolInUse, StagingError and UnknownFormat.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = pools_folder() / name
        self._thread = threading.Lock()
        self._closed = False
        try:
            own_folder(pools_folder())
            own_folder(self._folder)
            self._held = self._locked()
            self.record = self._read()
            self._file = self._appendable()
        except OSError as error:
            raise StagingError(
                f"The record of the pool {name!r} in {self._folder} can't be used: {error.strerror or error}.",
                advice="It must belong to this user alone (mode 0600), and its disk needs room.",
            ) from error
        self.places = self.record.places()
        if not self.record.dispatch_id:
            self._begin(f"{name}-{os.urandom(6).hex()}")

    def _locked(self) -> int:
        lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 200).decode(errors="replace").strip() or "another process"
            os.close(lock)
            raise PoolInUse(
                f"The pool {self.name!r} is in use by {holder}.",
                advice="Wait until that process has ended or detached the pool, or give this pool another name.",
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        return lock

    def _read(self) -> PoolRecord:
        path = self._folder / _RECORD
        return read_record(path) if path.exists() else PoolRecord(path)

    def _appendable(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        number = os.open(self._folder / _RECORD, flags, 0o600)
        os.ftruncate(number, self.record.end)  # what a killed process left half written
        return number

    def _begin(self, dispatch_id: str) -> None:
        self.record.name, self.record.dispatch_id, self.record.since = self.name, dispatch_id, time.time()
        self.append(_first_frame(self.record), durable=True)

    def append(self, data: bytes, *, durable: bool = False) -> None:
        """Append frames; with `durable` they survive a power cut. Raises StagingError."""
        try:
            with self._thread:
                os.write(self._file, data)
                if durable:
                    os.fsync(self._file)
        except OSError as error:
            raise StagingError(f"The record of the pool {self.name!r} can't be written: {error.strerror}.") from error

    # ---- changes ------------------------------------------------------------------------------------------------
    def note_array(self, array: ArrayRecord) -> None:
        """Note an array before its submission, or, once its handle has an id, its job. Raises StagingError."""
        if array.array_id not in self.record.arrays:
            self.record.arrays[array.array_id] = array
            self.append(array_frame(array), durable=True)
            return
        self.record.arrays[array.array_id].handle = array.handle
        self.append(frame({"frame": "job", "id": array.array_id, "handle": array.handle.to_json()}), durable=True)

    def note_failed(self, array_id: str, calls: Sequence[int]) -> None:
        """Note calls of an array whose failure the user was told: another process submits them again."""
        self._note(array_id, "failed", calls=list(calls))

    def note_gone(self, array_id: str) -> None:
        """Note that no job came of an array."""
        self._note(array_id, "gone")

    def note_over(self, array_id: str) -> None:
        """Note that the artifacts of an array were cleaned up."""
        self._note(array_id, "over")

    def _note(self, array_id: str, kind: str, **more: Any) -> None:
        if array_id in self.record.arrays:
            with contextlib.suppress(StagingError):
                self.append(frame({"frame": kind, "id": array_id, **more}))

    def export(self, path: Path) -> None:
        """Write the record with the keys of its arrays to a file for this user alone. Raises StagingError."""
        secret = result_secret()
        arrays = [each for each in self.record.arrays.values() if each.settled and not each.gone]
        frames = [array_frame(replace(each, key=each.key or array_key(secret, each.array_id))) for each in arrays]
        frames += [frame({"frame": "failed", "id": each.array_id, "calls": sorted(each.failed)}) for each in arrays]
        with _usable(path):
            atomic_write(path, _first_frame(self.record) + b"".join(frames), mode=0o600, durable=True)

    def remove(self) -> None:
        """Delete the record: nothing on this machine tells of the pool any more. Raises StagingError."""
        with _usable(self._folder / _RECORD):
            (self._folder / _RECORD).unlink(missing_ok=True)
            (self._folder / _LOCK).unlink(missing_ok=True)
            self._folder.rmdir()

    def close(self) -> None:
        """Release the pool for other processes."""
        for number in (self._file, self._held) if not self._closed else ():
            with contextlib.suppress(OSError):
                os.close(number)
        self._closed = True


def _first_frame(record: PoolRecord) -> bytes:
    body = {"frame": "pool", "version": VERSION, "name": record.name}
    return frame(body | {"dispatch_id": record.dispatch_id, "since": record.since})


def import_record(path: Path, name: str | None = None) -> str:
    """Make an exported record one of this machine, under its own name or another; return the name.

    Raises PoolInUse where the name exists, UnknownFormat for another file, StagingError.
    """
    with _usable(path):
        record = read_record(path)
        if not record.dispatch_id or record.end != path.stat().st_size:
            raise UnknownFormat(f"{path} is no whole export of a pool.", advice="Export the pool once more.")
        record.name = name or record.name
        own_folder(pools_folder())
        folder = own_folder(pools_folder() / record.name)
        if (folder / _RECORD).exists():
            raise PoolInUse(
                f"A pool {record.name!r} is on this machine already.",
                advice="Load the export under another name, or use the pool that is here.",
            )
        content = path.read_bytes()
        first = next(_frames(io.BytesIO(content)))[2]
        atomic_write(folder / _RECORD, _first_frame(record) + content[first:], mode=0o600, durable=True)
    return record.name


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Translate an OSError inside the block into StagingError."""
    try:
        yield
    except OSError as error:
        raise StagingError(
            f"The file {error.filename or path} can't be used: {error.strerror or error}.",
            advice="It must belong to this user alone (mode 0600), and its disk needs room.",
        ) from error
