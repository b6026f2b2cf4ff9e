# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`on_stop`: what the user's function wants to do in its last seconds, when its job is told to stop.

This file stands alone. In an image that lacks this package, it is all there is of it: so a function that names
`covalent_awsbatch_plugin.on_stop` can be unpickled there, and the runner needs to know only when to signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TextIO

# The file that says when the task will be killed (monotonic seconds), there from when it is told to stop. It is set by
# the runner only: elsewhere nobody stops tasks, and nothing is ever called.
ENV_STOP_FILE = "COVALENT_AWSBATCH_STOP_FILE"

_registered: list[Registration] = []
_before: Any = None  # the disposition of SIGTERM that ours has replaced
_heard_by: int | None = None  # the process that was told to stop, and whose callbacks have been called


def on_stop(callback: Callable[[float], object]) -> Registration:
    """Has `callback` called, once, with the seconds left (a float) when the task is told to stop.

    That is at a timeout, a Spot interruption, a cancel, or when somebody ends the job: AWS Batch sends SIGTERM, and
    SIGKILL 30 s later, of which the task gets the first 14; the rest is for sending what it left. The callback runs in
    the main thread, between two steps of Python: a long call into C delays it. Afterwards the function goes on: what it
    returns in time is its value. `sys.exit()` in a callback ends it at once; any other exception is printed.

    Of several, the last comes first. As a context manager it counts inside the block only. In a task that was told to
    stop before, it is called at once; outside of AWS Batch, never. Raises ValueError in any thread but the main one.
    """
    registration = Registration(callback)
    if ENV_STOP_FILE in os.environ:
        registration.begin()
    return registration


class Registration:
    """A callback that waits for its task's end: until `cancel`, or the end of a `with` block."""

    def __init__(self, callback: Callable[[float], object]) -> None:
        self._callback = callback
        self._process = os.getpid()

    def begin(self) -> None:
        """From here on it counts."""
        global _before
        if signal.getsignal(signal.SIGTERM) is not _told:
            _before = signal.signal(signal.SIGTERM, _told)
        _registered.append(self)
        if _seconds_left() is not None:
            _call_all()

    def cancel(self) -> None:
        """It will not be called any more."""
        if self in _registered:
            _registered.remove(self)

    def call(self, seconds: float | None) -> None:
        """A copy of the process, as multiprocessing makes them, has nothing to say of its own."""
        global _heard_by
        if self._process == os.getpid():
            _heard_by = None if seconds is None else self._process
            self._callback(seconds or 0.0)

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def _told(number: int, frame: FrameType | None) -> None:
    """SIGTERM. Where no callback has heard that the runner stops the task, it does what it does without us."""
    global _before
    _call_all()
    before, _before = _before, None  # it may call us in its turn
    if callable(before):
        before(number, frame)
    elif _heard_by != os.getpid() and before != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _call_all() -> None:
    """Each once, also when one of them ends the task."""
    leaving = None
    with _own_streams():
        while _registered:
            registration = _registered.pop()
            try:
                registration.call(_seconds_left())
            except SystemExit as exit_:
                leaving = exit_
            except Exception:  # noqa: BLE001 - the user's own code, and the next one shall have its turn
                traceback.print_exc()
    if leaving is not None:
        raise leaving


def _seconds_left() -> float | None:
    """None where nobody has told the task to stop."""
    try:
        deadline = float(Path(os.environ[ENV_STOP_FILE]).read_text(encoding="ascii"))
    except (KeyError, OSError, ValueError):
        return None
    return max(0.0, deadline - time.monotonic())


@contextlib.contextmanager
def _own_streams() -> Iterator[None]:
    """The function may have been interrupted amid a `print`, and a stream can't be entered twice."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # somebody closed it
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(_text(1))))
        with contextlib.suppress(OSError):
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(_text(2))))
        yield


def _text(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
