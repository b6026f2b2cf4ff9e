# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Calls of a pool in one task: one, or several of one function, one after another.

A call that fails does not end the others. The outcomes of several calls are frames in one file, each written when its
call ends, so that a process that dies in a call leaves those before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import IO, Any, NamedTuple

from . import traceback_text
from .protocol.archive import Writable

Call = tuple[Sequence[Any], Mapping[str, Any]]  # arguments and keyword arguments
FRAME = Struct(">QII")  # sizes in bytes of a call's pickle, of its traceback and of its exception's class name
_SIZE = Struct(">Q")


def packed_calls(pickles: Sequence[bytes]) -> bytes:
    """Return the pickles of several calls' arguments as one object, each after its size."""
    return b"".join(part for data in pickles for part in (_SIZE.pack(len(data)), data))


def pickles_in(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the pickles in such an object, one at a time."""
    while size := file.read(_SIZE.size):
        yield file.read(*_SIZE.unpack(size))


class Outcome(NamedTuple):
    """The end of one call: the pickle of its value and "", or of its exception and the text of its traceback.

    The pickle is b"" where the exception can't be pickled. `exception_type` is the name of its class.
    """

    data: bytes
    text: str = ""
    exception_type: str = ""

    @property
    def returned(self) -> bool:
        """True where the call returned a value."""
        return not self.text

    def to_frame(self) -> bytes:
        """Return the outcome as bytes; frames may follow each other in one file."""
        text, kind = self.text.encode("utf-8", "backslashreplace"), self.exception_type.encode()
        return FRAME.pack(len(self.data), len(text), len(kind)) + self.data + text + kind


def outcomes_in(frames: bytes) -> Iterator[Outcome]:
    """Yield the outcomes in a file of frames; what was cut at its end is left out."""
    at = 0
    while at + FRAME.size <= len(frames):
        sizes = FRAME.unpack_from(frames, at)
        at += FRAME.size
        parts = []
        for size in sizes:
            parts.append(frames[at : at + size])
            at += size
        if at > len(frames):
            return
        data, text, kind = parts
        yield Outcome(data, text.decode(), kind.decode())


def run_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the value of a call; a coroutine, of an `async def` function, is run to its end."""
    value = function(*args, **kwargs)
    if inspect.iscoroutine(value):
        import asyncio

        return asyncio.run(value)
    return value


def run_calls(
    function: Callable[..., Any],
    loaders: Iterable[Callable[[], Call]],
    name: str,
    into: Writable,
    goes_on: Callable[[], bool],
) -> None:
    """Call the function with each pair of arguments and write each outcome as a frame, while `goes_on` is true.

    It becomes false in a copy of this process that the user's code forked.
    """
    for load in loaders:
        outcome = _outcome(function, load, name)
        if not goes_on():
            return
        into.write(outcome.to_frame())


def _outcome(function: Callable[..., Any], load: Callable[[], Call], name: str) -> Outcome:
    import cloudpickle

    try:
        args, kwargs = load()
        return Outcome(cloudpickle.dumps(run_call(function, args, kwargs)))
    except BaseException as error:  # noqa: BLE001 - sys.exit in one call is the end of that call alone
        text = traceback_text.text(error, name, 0, "")
        return Outcome(traceback_text.pickled(error) or b"", text, traceback_text.type_name(error))
