# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Work that takes a while and is done by child processes: it tells how far it is, and can be ended from any thread."""

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

Say = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """How a child process ended; negative `code` is a signal."""

    code: int
    output: str
    said: str  # on standard error


class Work:
    """One piece of work. `say` hears of its progress, on the thread that does it."""

    def __init__(self, say: Say = lambda _: None) -> None:
        self.say = say
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()
        self._ended = False

    def end(self) -> None:
        """Kills what runs, with all that it started, and lets nothing more begin."""
        with self._lock:
            self._ended = True
            for child in self._children:
                _kill(child)

    def go_on(self) -> None:
        """Raises Cancelled when it was ended."""
        if self._ended:
            raise Cancelled("Cancelled while its environment was made.")

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        given: str = "",
        heard: Say = lambda _: None,
    ) -> Done:
        """A child that is `given` a text, each line of its standard error `heard` as it comes. Raises Cancelled."""
        with tempfile.TemporaryFile("w+") as stdin, tempfile.TemporaryFile("w+", errors="replace") as stdout:
            stdin.write(given)
            stdin.seek(0)
            with self._started(command, folder, environment, stdin.fileno(), stdout.fileno()) as child:
                said = "".join(_each_heard(child, heard))
                child.wait()
            self.go_on()
            stdout.seek(0)
            return Done(child.returncode, stdout.read(), said)

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
                text=True, errors="replace", start_new_session=True,  # a group of its own: what it starts ends with it
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


def _each_heard(child: subprocess.Popen[str], heard: Say) -> Iterator[str]:
    assert child.stderr
    for line in child.stderr:
        heard(line.rstrip())
        yield line


def _kill(child: subprocess.Popen[str]) -> None:
    """Only while nobody has waited for it: until then its number is its own."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
