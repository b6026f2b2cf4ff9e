# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A child process whose file descriptors 1 and 2 are kept in files and passed on as they come.

Not `sys.stdout`: C code, shells and crashes write to descriptors. The child leads a process group of its own, so that
what it started is stopped with it, and stays in this session, so that whoever started us can find it.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .protocol import layout
from .protocol.envelope import Usage
from .signals import Stop

if TYPE_CHECKING:
    import resource

_READ_BYTES = 1024 * 1024
_PIPE_BYTES = 1024 * 1024  # what an unprivileged process may ask for
_LINGER_S = 0.3  # for what a finished child's own children still write
_TICK_S = 1.0


class Child:
    """One run: `fork` it, and in this process `wait` for it."""

    def __init__(self, stop: Stop, stdout: Path, stderr: Path, last_moment: Path | None = None) -> None:
        self._stop = stop
        self._last_moment = last_moment  # the file that tells the child when it will be killed
        self._files = {1: stdout, 2: stderr}
        self._streams: list[_Stream] = []
        self.pid = 0
        self._started = 0.0, 0.0  # Unix seconds, monotonic seconds
        self.usage = Usage()  # known after `wait`
        self.told = False  # whether it was told to stop

    def fork(self) -> bool:
        """True in the child, whose descriptors are in place."""
        pipes = {number: os.pipe() for number in self._files}
        self._started = time.time(), time.monotonic()
        self.pid = self._stop.fork()
        if self.pid == 0:
            _take_place(pipes)
            return True
        _group(self.pid)
        for number, (read, write) in pipes.items():
            os.close(write)
            self._streams.append(_Stream(read, number, self._files[number].open("wb")))
        return False

    def wait(self) -> int:
        """The exit code, or minus the signal; the streams are whole and closed, and nothing of its group is left."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.wakes, selectors.EVENT_READ)
            for stream in self._streams:
                selector.register(stream.read, selectors.EVENT_READ, stream)
            reaped = None
            while reaped is None:
                _pump(selector, _TICK_S)
                self._stop.drain_wakeup()
                self._press()
                reaped = _reap(self.pid)
            status, resources = reaped
            self.usage = usage(*self._started, resources)
            selector.unregister(self._stop.wakes)
            _drain(selector)
        self._signal(signal.SIGKILL)
        for stream in self._streams:
            stream.close()
        return os.waitstatus_to_exitcode(status)

    def _press(self) -> None:
        """Pass the word to stop on, once; and end it when it takes too long."""
        since = self._stop.since()
        if since is None:
            return
        if not self.told:
            self.told = True
            if self._last_moment:
                _write(self._last_moment, str(time.monotonic() - since + layout.STOP_GRACE_S))
            self._signal(signal.SIGTERM)
        elif since > layout.STOP_GRACE_S:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except OSError:
            return  # all gone


class _Stream:
    """One pipe's end: what comes is kept, up to a limit, and passed on to our own descriptor."""

    def __init__(self, read: int, echo: int, file: BinaryIO) -> None:
        self.read, self._echo, self._file = read, echo, file
        self._room = layout.STREAM_KEEP_BYTES
        os.set_blocking(read, False)

    def pump(self) -> bool:
        """Take what is there; False at the end."""
        try:
            data = os.read(self.read, _READ_BYTES)
        except BlockingIOError:
            return True
        self._pass_on(data)
        self._keep(data)
        return bool(data)

    def close(self) -> None:
        os.close(self.read)
        self._file.close()

    def _keep(self, data: bytes) -> None:
        try:
            self._file.write(data[: self._room])
            if len(data) > self._room > 0:
                self._file.write(b"\n[cut here: the rest is in CloudWatch only]\n")
        except OSError:
            self._room = 0  # the disk is full: the rest is in CloudWatch only
        self._room = max(0, self._room - len(data))

    def _pass_on(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._echo:
            try:
                view = view[os.write(self._echo, view) :]
            except BlockingIOError:
                _wait_writable(self._echo)
            except OSError:
                self._echo = 0  # nobody reads our own output any more


def _take_place(pipes: dict[int, tuple[int, int]]) -> None:
    """In the child: descriptors 0, 1 and 2, and nothing else of the supervisor's."""
    _group(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for number, (read, write) in pipes.items():
        os.dup2(write, number)
        os.close(write)
        os.close(read)
        _enlarge(number)


def _enlarge(pipe: int) -> None:
    """A writer of much output waits less."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    try:
        if set_size is not None:
            fcntl.fcntl(pipe, set_size, _PIPE_BYTES)
    except OSError:
        return  # the user's limit for pipes is reached


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(text, encoding="ascii")
        draft.replace(path)
    except OSError:
        return  # the disk is full: the child is told to stop, though not how soon


def _group(pid: int) -> None:
    """Both parent and child say it: whoever comes first, it is true when either goes on."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        return  # the child said so, and is gone


def _pump(selector: selectors.BaseSelector, timeout: float) -> int:
    """How many streams had something."""
    ready = [key.data for key, _ in selector.select(timeout) if key.data is not None]
    for stream in ready:
        if not stream.pump():
            selector.unregister(stream.read)
    return len(ready)


def _drain(selector: selectors.BaseSelector) -> None:
    """All that the ended child wrote, which is at most a pipe full; then a moment for who still holds the pipe."""
    for _ in range(2 * _PIPE_BYTES // 4096):
        if not _pump(selector, 0):
            break
    until = time.monotonic() + _LINGER_S
    while selector.get_map() and (left := until - time.monotonic()) > 0:
        _pump(selector, left)


def usage(started: float, since: float, resources: resource.struct_rusage | None) -> Usage:
    """Return the usage of a process that ends now; it began at `started` (Unix s), which was `since` (monotonic s).

    The kernel counts memory in KiB: https://man7.org/linux/man-pages/man2/getrusage.2.html
    """
    ended = started + max(0.0, time.monotonic() - since)
    if resources is None:
        return Usage(started, ended)
    return Usage(started, ended, resources.ru_utime, resources.ru_stime, resources.ru_maxrss * 1024)


def _reap(pid: int) -> tuple[int, resource.struct_rusage] | None:
    """The wait status of `pid` and the resources it used, if it has ended.

    As PID 1 this process becomes the parent of all orphans, so every ended process is reaped.
    """
    reaped = None
    while True:
        try:
            ended, status, resources = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return reaped
        if ended == 0:
            return reaped
        if ended == pid:
            reaped = status, resources


def _wait_writable(descriptor: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_WRITE)
        selector.select()
