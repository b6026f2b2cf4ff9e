# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's archive of one value, read and written without Covalent; a big value is in memory only once.

Bytes: offset of the text (8, big-endian), offset of the pickle (8), header (JSON), text (`str` of the value), the
pickle in base64. Source: `TransportableObject` in covalent/_workflow/transportable_object.py of covalent 0.240.
"""

from __future__ import annotations

import binascii
import io
import json
import pickle
import platform
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_OFFSET_BYTES = 8
_HEADER_AT = 2 * _OFFSET_BYTES
_STEP = 3 * 256 * 1024  # bytes of pickle turned into base64 at a time: a multiple of 3, so no step needs padding
_BIG = 8 * 1024 * 1024
_WRITTEN_IN_FULL = (bytes, bytearray, tuple, list, dict, set, frozenset)


class Writable(Protocol):
    """A file that is written to from its beginning to its end."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Append the data; return their size."""


def header(path: Path) -> dict[str, Any]:
    """Return the archive's header: `py_version`, `cloudpickle_version`, `attrs`."""
    with path.open("rb") as file:
        text_at = int.from_bytes(file.read(_OFFSET_BYTES), "big")
        file.seek(_HEADER_AT)
        fields: dict[str, Any] = json.loads(file.read(text_at - _HEADER_AT))
        return fields


def load(path: Path) -> Any:
    """Return the value. An exception of unpickling is raised."""
    with path.open("rb") as file:
        return pickle.load(pickled(file))


def pickled(file: IO[bytes]) -> IO[bytes]:
    """Return a stream of the pickle in an open archive; it is decoded while it is read."""
    file.seek(_OFFSET_BYTES)
    file.seek(int.from_bytes(file.read(_OFFSET_BYTES), "big"))
    return io.BufferedReader(_Decoded(file), _STEP)


def read_pickle(path: Path) -> bytes:
    """Return the pickle. Raises ValueError where its base64 is cut."""
    with path.open("rb") as file:
        file.seek(_OFFSET_BYTES)
        file.seek(int.from_bytes(file.read(_OFFSET_BYTES), "big"))
        return binascii.a2b_base64(file.read())


def pickle_size(path: Path) -> int:
    """Return how many bytes the pickle has, without reading it. Raises ValueError where there is none."""
    with path.open("rb") as file:
        file.seek(_OFFSET_BYTES)
        pickle_at = int.from_bytes(file.read(_OFFSET_BYTES), "big")
        size = file.seek(0, io.SEEK_END) - pickle_at
        if size <= 0:
            raise ValueError("the pickle is missing")
        file.seek(-min(size, 2), io.SEEK_END)
        return size // 4 * 3 - file.read().count(b"=")


def pickle_in(base64: str) -> IO[bytes]:
    """Return a stream of a base64 pickle in Covalent's JSON (a hook's function or arguments)."""
    return io.BytesIO(binascii.a2b_base64(base64))


def save(value: Any, path: Path) -> None:
    """Write the archive of `value` to a file. An exception of pickling is raised."""
    draft_path = path.with_suffix(".pickle")
    with draft_path.open("w+b") as draft, path.open("wb") as file:
        pickle_into(value, draft)
        size = draft.tell()
        draft.seek(0)
        write(value, draft, size, file)
    draft_path.unlink()


def pickle_into(value: Any, draft: Writable) -> bool:
    """Write the pickle of `value` in base64; return whether it has Python's plain values only.

    Plain values can always be unpickled; others do what their classes say. An exception of pickling is raised.
    """
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        plain = True

        def reducer_override(self, value: Any, /) -> Any:  # called for all but plain values
            self.plain = False
            return super().reducer_override(value)

    sink = _Encoding(draft)
    pickler = Pickler(sink)
    pickler.dump(value)
    sink.finish()
    return pickler.plain


def unpickle_from(draft: IO[bytes]) -> Any:
    """Return the value whose pickle `pickle_into` wrote. An exception of unpickling is raised."""
    return pickle.load(io.BufferedReader(_Decoded(draft), _STEP))


def write(value: Any, draft: IO[bytes], size: int, file: Writable) -> None:
    """Write the archive of `value`, whose pickle `pickle_into` wrote; `size` is that of the draft in bytes."""
    import cloudpickle

    text = _text(value, size).encode("utf-8", "backslashreplace")
    head = json.dumps(_header(value, cloudpickle.__version__)).encode()
    text_at = _HEADER_AT + len(head)
    file.write(text_at.to_bytes(_OFFSET_BYTES, "big") + (text_at + len(text)).to_bytes(_OFFSET_BYTES, "big"))
    file.write(head)
    file.write(text)
    while step := draft.read(_STEP):
        file.write(step)


def _header(value: Any, cloudpickle_version: str) -> dict[str, Any]:
    attrs = {"doc": _attribute(value, "__doc__"), "name": _attribute(value, "__name__")}
    return {"py_version": platform.python_version(), "cloudpickle_version": cloudpickle_version, "attrs": attrs}


def _attribute(value: Any, name: str) -> str | None:
    """Return an attribute as text, as Covalent does; "" where reading it raises."""
    try:
        attribute = getattr(value, name, "")
        return attribute if attribute is None else str(attribute)
    except Exception:  # noqa: BLE001 - the user's own properties run here, and only a caption is lost
        return ""


def _text(value: Any, size: int) -> str:
    """Return `str(value)`, in full, since Covalent's server reads a sublattice's graph from it; `size` is in bytes.

    Big containers get a caption: Python writes them out in full, so 100 MB of bytes in a tuple would take 2 GB of the
    container's memory.
    """
    if isinstance(value, _WRITTEN_IN_FULL) and size > _BIG:
        return f"<{type(value).__name__}, {size} bytes packed>"
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - the user's own __str__ runs here, and only a caption is lost
        return f"<{type(value).__qualname__}, whose str() raised {type(error).__name__}>"


class _Decoded(io.RawIOBase):
    """A stream of the decoded bytes of base64, from the position of `file` to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._rest or binascii.a2b_base64(self._file.read(_STEP // 3 * 4))
        size = min(len(data), len(view))
        view[:size] = data[:size]
        self._rest = data[size:]
        return size


class _Encoding:
    """A writer that takes a pickle in pieces and writes one base64 text."""

    def __init__(self, file: Writable) -> None:
        self._file = file
        self._rest = bytearray()

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        if self._rest:
            missing = min(_STEP - len(self._rest), size)
            self._rest += view[:missing]
            view = view[missing:]
        if len(self._rest) == _STEP:
            self._put(self._rest)
            self._rest = bytearray()
        while len(view) >= _STEP:
            self._put(view[:_STEP])
            view = view[_STEP:]
        self._rest += view
        return size

    def finish(self) -> None:
        self._put(self._rest)

    def _put(self, data: ReadableBuffer) -> None:
        self._file.write(binascii.b2a_base64(data, newline=False))
