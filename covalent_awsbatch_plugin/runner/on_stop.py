# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Calls for the user's function: callbacks for its last seconds, the number of its attempt, a place for its state.

This file imports the standard library only. An image that lacks this package has a copy of this file in its place, so
that a function that uses `covalent_awsbatch_plugin.on_stop` can be unpickled there.
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

# The path of the file with the time at which the task will be killed (monotonic seconds); the file exists once the task
# was told to stop. Only the runner sets the variable: elsewhere no callback is ever called.
ENV_STOP_FILE = "COVALENT_AWSBATCH_STOP_FILE"
ENV_ATTEMPT = "COVALENT_AWSBATCH_ATTEMPT"  # set by the runner for the task's process
ENV_STATE_PREFIX = "COVALENT_AWSBATCH_STATE_PREFIX"  # likewise

_registered: list[Registration] = []
_before: Any = None  # the disposition of SIGTERM that `_on_sigterm` has replaced
_process_called: int | None = None  # the id of the process whose callbacks were called for a stop by the runner


def on_stop(callback: Callable[[float], object]) -> Registration:
    """Call `callback` once, with the seconds left (a float), when the task is told to stop.

    A task is told to stop at a timeout, a Spot interruption, a cancel, or when the job is terminated: AWS Batch sends
    SIGTERM, and SIGKILL 30 s later. The task gets the first 14 s; the rest is for uploading its result. The callback
    runs in the main thread, between two steps of Python: a long call into C delays it. Afterwards the function goes on,
    and a value returned in time is its result. `sys.exit()` in a callback ends the task at once; any other exception is
    printed.

    Of several callbacks, the last registered is called first. As a context manager, the registration ends with the
    block. In a task that was told to stop before, the callback is called at once; outside of AWS Batch, never. Raises
    ValueError in any thread but the main one.
    """
    registration = Registration(callback)
    if ENV_STOP_FILE in os.environ:
        registration.begin()
    return registration


def attempt() -> int:
    """Return the number of this attempt of the task, from 1; outside of AWS Batch 1.

    AWS Batch's own number begins again with each job. This one goes on where `retry_exceptions` or `max_memory` had the
    task submitted again.
    """
    return int(os.environ.get(ENV_ATTEMPT) or 1)


def state_prefix() -> str | None:
    """Return the S3 URI under which the task may keep its state, without a final slash; None outside of AWS Batch.

    All attempts of the task have the same, and no other task has it. The job role may read and write there. The objects
    stay when the task has ended: the bucket's lifecycle rules or `covalent-awsbatch clean` remove them.
    """
    return os.environ.get(ENV_STATE_PREFIX) or None


class Registration:
    """A callback that is registered until `cancel`, or the end of a `with` block."""

    def __init__(self, callback: Callable[[float], object]) -> None:
        self._callback = callback
        self._process = os.getpid()

    def begin(self) -> None:
        """Register the callback; call it at once if the task was told to stop before."""
        global _before
        if signal.getsignal(signal.SIGTERM) is not _on_sigterm:
            _before = signal.signal(signal.SIGTERM, _on_sigterm)
        _registered.append(self)
        if _seconds_left() is not None:
            _call_all()

    def cancel(self) -> None:
        """Remove the callback: it will not be called any more."""
        if self in _registered:
            _registered.remove(self)

    def call(self, seconds: float | None) -> None:
        """Call the callback with the seconds left, unless this process is a fork of the one that registered it."""
        global _process_called
        if self._process == os.getpid():
            _process_called = None if seconds is None else self._process
            self._callback(seconds or 0.0)

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Call all callbacks on SIGTERM. Where none was called for a stop by the runner, do what SIGTERM did before."""
    global _before
    _call_all()
    before, _before = _before, None  # the earlier handler may call this one
    if callable(before):
        before(number, frame)
    elif _process_called != os.getpid() and before != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _call_all() -> None:
    """Call each callback once, also when one of them ends the task."""
    exit_error = None
    with _own_streams():
        while _registered:
            registration = _registered.pop()
            try:
                registration.call(_seconds_left())
            except SystemExit as error:
                exit_error = error
            except Exception:  # noqa: BLE001 - the user's own code, and the next callback must be called
                traceback.print_exc()
    if exit_error is not None:
        raise exit_error


def _seconds_left() -> float | None:
    """Return the seconds until the task will be killed, at least 0; None if the runner does not stop the task."""
    try:
        deadline = float(Path(os.environ[ENV_STOP_FILE]).read_text(encoding="ascii"))
    except (KeyError, OSError, ValueError):
        return None
    return max(0.0, deadline - time.monotonic())


@contextlib.contextmanager
def _own_streams() -> Iterator[None]:
    """Replace stdout and stderr: the signal may have interrupted a `print`, and a stream can't be entered twice."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the descriptor is closed
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(_text(1))))
        with contextlib.suppress(OSError):
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(_text(2))))
        yield


def _text(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
