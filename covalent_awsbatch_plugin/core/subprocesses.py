# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Work in child processes that reports its progress and can be ended from any thread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Cancelled

LIMIT_S = 3600.0  # of one child: the largest builds from source take less

Say = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """The end of a child process; a negative `code` is a signal."""

    code: int
    output: str
    stderr: str


class Work:
    """A piece of work. `say` gets its progress, on the thread that does the work."""

    def __init__(self, say: Say = lambda _: None) -> None:
        self.say = say
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()
        self._ended = False

    def end(self) -> None:
        """Kill the running children with all their descendants, and start no more."""
        with self._lock:
            self._ended = True
            for child in self._children:
                _kill(child)

    def go_on(self) -> None:
        """Raise Cancelled if the work was ended."""
        if self._ended:
            raise Cancelled("The task was cancelled while its environment was built.")

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin_text: str = "",
        on_line: Say = lambda _: None,
        limit_s: float = LIMIT_S,
    ) -> Done:
        """Run a command with `stdin_text` as its input; `on_line` gets each line of its standard error.

        After `limit_s` it is killed, which is an end by a signal. Raises Cancelled.
        """
        with tempfile.TemporaryFile("w+") as stdin, tempfile.TemporaryFile("w+", errors="replace") as stdout:
            stdin.write(stdin_text)
            stdin.seek(0)
            started = self._started(command, folder, environment, stdin.fileno(), stdout.fileno())
            with started as child, _limited(child, limit_s) as expired:
                stderr = "".join(_lines(child, on_line))
                child.wait()
            self.go_on()
            if expired.is_set():
                stderr += f"{command[0]} did not end within {limit_s:g} s and was killed.\n"
            stdout.seek(0)
            return Done(child.returncode, stdout.read(), stderr)

    @contextlib.contextmanager
    def _started(
        self,
        command: Sequence[str],
        folder: Path | None,
        environment: Mapping[str, str] | None,
        stdin: int,
        stdout: int,
    ) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            self.go_on()
            child = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                text=True, errors="replace", start_new_session=True,  # a process group of its own, killed as a whole
            )  # fmt: skip
            self._children.add(child)
        try:
            with child:
                try:
                    yield child
                except BaseException:  # Ctrl-C reaches this process alone
                    _kill(child)
                    raise
        finally:
            with self._lock:
                self._children.discard(child)


@contextlib.contextmanager
def _limited(child: subprocess.Popen[str], limit_s: float) -> Iterator[threading.Event]:
    """Kill the child if the block takes longer than `limit_s`; the event says that it was."""
    expired = threading.Event()

    def end() -> None:
        expired.set()
        _kill(child)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _lines(child: subprocess.Popen[str], on_line: Say) -> Iterator[str]:
    assert child.stderr
    for line in child.stderr:
        on_line(line.rstrip())
        yield line


def _kill(child: subprocess.Popen[str]) -> None:
    """Kill the child's process group, if the child was not waited for: until then its id is not reused."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
