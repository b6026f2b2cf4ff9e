# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A Covalent server with a home of its own, for the length of a `with` block. The demo and the tests use it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import tomlkit

STARTS_WITHIN_S = 120  # 5 s when everything is warm; a fresh install has byte-code to write first
KILLED_WITHIN_S = 10
STOPS_WITHIN_S = 60  # it ends the running jobs first


class CovalentServer:
    """`covalent start` on entry and `covalent stop` on exit, in a home that nobody else uses.

    `section` becomes `[executors.awsbatch]` of its config file; `environment` is added to this process's own.
    """

    def __init__(
        self, home: Path, section: Mapping[str, Any], environment: Mapping[str, str] | None = None, level: str = "info"
    ) -> None:
        self.home = home
        self.config_file = home / ".config" / "covalent" / "covalent.conf"
        self.log_file = home / ".cache" / "covalent" / "covalent_ui.log"
        self.environment = _outside(os.environ) | {"HOME": str(home), "LOGLEVEL": level} | dict(environment or {})
        self.address = ""  # for `dispatcher_addr`
        self._section = dict(section)
        self._session: int | None = None

    def __enter__(self) -> CovalentServer:
        self.write_section(self._section)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def write_section(self, section: Mapping[str, Any]) -> None:
        """`[executors.awsbatch]` is this and nothing else; the server reads it anew for every task."""
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        config = tomlkit.parse(self.config_file.read_text()) if self.config_file.exists() else tomlkit.document()
        config.setdefault("executors", tomlkit.table())["awsbatch"] = dict(section)
        fresh = self.config_file.with_suffix(".fresh")
        fresh.write_text(tomlkit.dumps(config))
        fresh.replace(self.config_file)

    def _start(self) -> None:
        command = self._covalent("start", "--no-cluster", "--port", str(_free_port()))
        # In a session of its own: Ctrl-C is for whoever started it, who then stops it in good order.
        self._session = command.pid
        try:
            said, _ = command.communicate(timeout=STARTS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"Covalent did not start within {STARTS_WITHIN_S} s:\n{self.last_words()}") from None
        if command.returncode or "Running" not in said:
            raise RuntimeError(f"Covalent did not start:\n{said}\n{self.last_words()}")
        # It takes the next port when the one asked for is taken. Later on it may be writing the file.
        dispatcher = tomlkit.parse(self.config_file.read_text()).unwrap()["dispatcher"]
        self.address = f"http://{dispatcher['address']}:{dispatcher['port']}"

    def stop(self) -> None:
        """`covalent stop`, and whatever of it is left after that is killed."""
        if self._session is None:
            return
        try:
            with suppress(subprocess.TimeoutExpired):
                self._covalent("stop").communicate(timeout=STOPS_WITHIN_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """As a crash does it: nothing is ended in good order. Another one can be started in the same home."""
        session, self._session = self._session, None
        if session is None:
            return
        over = time.monotonic() + KILLED_WITHIN_S
        with suppress(ProcessLookupError):  # raised when none of them is left; `covalent start` looks for the old one
            while time.monotonic() < over:
                os.killpg(session, signal.SIGKILL)
                time.sleep(0.05)

    def end_by(self, which: signal.Signals) -> None:
        """Send a signal to its processes, and kill what has not ended after `STOPS_WITHIN_S`."""
        if self._session is None:
            return
        over = time.monotonic() + STOPS_WITHIN_S
        with suppress(ProcessLookupError):
            os.killpg(self._session, which)
            while time.monotonic() < over:
                os.killpg(self._session, 0)
                time.sleep(0.05)
        self.kill()

    def last_words(self) -> str:
        """The end of the server's log, without the requests it answered."""
        log = self.log_file.read_text(errors="replace") if self.log_file.exists() else "(no log)"
        return "\n".join([line for line in log.splitlines() if ' HTTP/1.1" ' not in line][-40:])

    def _covalent(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "covalent"), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def _outside(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead Covalent or AWS's SDK to somebody's own config."""
    return {name: value for name, value in environment.items() if not name.startswith(("COVALENT_", "AWS_", "XDG_"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
