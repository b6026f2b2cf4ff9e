# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A child process whose output (file descriptors 1 and 2) is copied to files and passed on as it arrives.

C code, shells and crashes write to descriptors and not to `sys.stdout`. The child leads its own process group, so that
the processes it starts are stopped with it, and stays in this session, so that the parent of this process can find it.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .kept_file import KeptFile
from .protocol import layout
from .protocol.envelope import Usage
from .signals import Stop

if TYPE_CHECKING:
    import resource

_READ_BYTES = 1024 * 1024
_PIPE_BYTES = 1024 * 1024  # the largest size for an unprivileged process
_LINGER_S = 0.3  # for the output of processes that outlive the child
_TICK_S = 1.0
_CUT = b"\n[cut here: the rest is in CloudWatch only]\n"
_CUT_BY_DISK = b"\n[cut here: the disk of the container is full, and the rest is in CloudWatch only]\n"


class Child:
    """A child process: call `fork`, then `wait` in the parent."""

    def __init__(
        self,
        stop: Stop,
        stdout: KeptFile | None = None,
        stderr: KeptFile | None = None,
        kill_time: Path | None = None,
    ) -> None:
        self._stop = stop
        self._kill_time = kill_time  # the file in which the child reads when it will be killed
        self._files = {1: stdout, 2: stderr}  # None: the output is passed on, and not kept
        self._streams: list[_Stream] = []
        self.pid = 0
        self._started = 0.0, 0.0  # Unix seconds, monotonic seconds
        self.usage = Usage()  # known after `wait`
        self.stop_signal = False  # whether SIGTERM was sent to it

    def fork(self) -> bool:
        """Fork this process; return True in the child, after its descriptors were replaced."""
        pipes = {number: os.pipe() for number in self._files}
        self._started = time.time(), time.monotonic()
        self.pid = self._stop.fork()
        if self.pid == 0:
            _replace_descriptors(pipes)
            return True
        _group(self.pid)
        for number, (read, write) in pipes.items():
            os.close(write)
            self._streams.append(_Stream(read, number, self._files[number]))
        return False

    def wait(self) -> int:
        """Wait for the child's end; return its exit code, or minus the signal.

        Afterwards its output files are complete, and its process group is killed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.wakes, selectors.EVENT_READ)
            for stream in self._streams:
                selector.register(stream.read, selectors.EVENT_READ, stream)
            result = None
            while result is None:
                _pump(selector, _TICK_S)
                self._stop.drain_wakeup()
                self._pass_stop_on()
                result = _reap(self.pid)
            status, resources = result
            self.usage = usage(*self._started, resources)
            selector.unregister(self._stop.wakes)
            _drain(selector)
        self._signal(signal.SIGKILL)
        for stream in self._streams:
            stream.close()
        return os.waitstatus_to_exitcode(status)

    def _pass_stop_on(self) -> None:
        """Send SIGTERM to the child once this process must stop, and SIGKILL after the grace time."""
        since = self._stop.since()
        if since is None:
            return
        if not self.stop_signal:
            self.stop_signal = True
            if self._kill_time:
                _write(self._kill_time, str(time.monotonic() - since + layout.STOP_GRACE_S))
            self._signal(signal.SIGTERM)
        elif since > layout.STOP_GRACE_S:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except OSError:
            return  # the group has ended


class _Stream:
    """The reading end of a pipe; its data go to a file, up to a limit, and to a descriptor of this process."""

    def __init__(self, read: int, echo: int, file: KeptFile | None) -> None:
        self.read, self._echo, self._file = read, echo, file
        self._room = layout.STREAM_KEEP_BYTES if file else 0
        self._cut = b""
        os.set_blocking(read, False)

    def pump(self) -> bool:
        """Read the available data; return False at the end of the stream."""
        try:
            data = os.read(self.read, _READ_BYTES)
        except BlockingIOError:
            return True
        self._pass_on(data)
        self._write(data)
        return bool(data)

    def close(self) -> None:
        os.close(self.read)
        if self._file and self._cut:
            self._file.end_with(self._cut)

    def _write(self, data: bytes) -> None:
        if not self._file:
            return
        if len(data) > self._room:
            self._cut = self._cut or _CUT
        try:
            self._file.write(data[: self._room])
        except OSError:
            self._room, self._cut = 0, _CUT_BY_DISK
        self._room = max(0, self._room - len(data))

    def _pass_on(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._echo:
            try:
                view = view[os.write(self._echo, view) :]
            except BlockingIOError:
                _wait_writable(self._echo)
            except OSError:
                self._echo = 0  # the reader of this process's output has gone


def _replace_descriptors(pipes: dict[int, tuple[int, int]]) -> None:
    """Replace the child's descriptors 0, 1 and 2, and close the pipes' other ends."""
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
    """Enlarge a pipe's buffer, so that a writer of much output waits less."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    try:
        if set_size is not None:
            fcntl.fcntl(pipe, set_size, _PIPE_BYTES)
    except OSError:
        return  # the user's limit for pipes is reached


def _write(path: Path, text: str) -> None:
    """Write a text file atomically, also where its folder was removed; a full disk is ignored."""
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="ascii")
        draft.replace(path)
    except OSError:
        return  # the child gets SIGTERM, but not the time of its SIGKILL


def _group(pid: int) -> None:
    """Make a process the leader of a group. Parent and child both call this: either may run first."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        return  # the child called this and has ended


def _pump(selector: selectors.BaseSelector, timeout: float) -> int:
    """Read from the streams that are ready; return their number. `timeout` is in seconds."""
    ready = [key.data for key, _ in selector.select(timeout) if key.data is not None]
    for stream in ready:
        if not stream.pump():
            selector.unregister(stream.read)
    return len(ready)


def _drain(selector: selectors.BaseSelector) -> None:
    """Read the rest of an ended child's output, at most two full pipes; then wait for processes that outlive it."""
    for _ in range(2 * _PIPE_BYTES // 4096):
        if not _pump(selector, 0):
            break
    deadline = time.monotonic() + _LINGER_S
    while selector.get_map() and (timeout := deadline - time.monotonic()) > 0:
        _pump(selector, timeout)


def usage(started: float, since: float, resources: resource.struct_rusage | None) -> Usage:
    """Return the usage of a process that ends now; it began at `started` (Unix s), which was `since` (monotonic s).

    The kernel counts memory in KiB: https://man7.org/linux/man-pages/man2/getrusage.2.html
    """
    ended = started + max(0.0, time.monotonic() - since)
    if resources is None:
        return Usage(started, ended)
    return Usage(started, ended, resources.ru_utime, resources.ru_stime, resources.ru_maxrss * 1024)


def _reap(pid: int) -> tuple[int, resource.struct_rusage] | None:
    """Return the wait status of `pid` and the resources it used, or None while it runs.

    As PID 1 this process becomes the parent of all orphans, so every ended process is reaped.
    """
    result = None
    while True:
        try:
            process, status, resources = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if process == 0:
            return result
        if process == pid:
            result = status, resources


def _wait_writable(descriptor: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_WRITE)
        selector.select()
