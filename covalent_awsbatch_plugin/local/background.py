# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline AWS as a process beside this one: started, found, ended. Imports nothing heavy.

Who runs one holds a lock on its folder for as long as it lives; a process id alone may be anybody's by now.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.user_dirs import data_dir

STATE_FILE, LOCK_FILE, LOG_FILE = "state.json", "lock", "server.log"
READY = "ready"
CALLS_PATH, STORM_PATH = "/_local/calls", "/_local/storm"  # of the endpoint: what was asked, and a throttle storm
FAULTS_PATH = "/_local/faults"  # of the endpoint: what shall go wrong
ENDS_WITHIN_S = 60.0
EXTRA_MODULES = ("moto", "flask", "flask_cors")  # of requirements-local.txt
Progress = Callable[[str], None]


class LocalAWSFailed(RuntimeError):
    """The offline AWS did not start, or does not end; the text has its last words."""


@dataclass(frozen=True)
class Status:
    """One that runs. `section` is the `[executors.awsbatch]` section that leads to it.

    `control_token` opens its own paths, such as CALLS_PATH, as a bearer token.
    """

    pid: int
    endpoint_url: str
    registry: str
    engine: str
    region: str
    section: dict[str, Any] = field(repr=False)
    control_token: str = field(default="", repr=False)


def home() -> Path:
    """Where named ones live: `$XDG_DATA_HOME/covalent-awsbatch/local`."""
    return data_dir() / "local"


def status(name: str = "default") -> Status | None:
    """The one called `name`, if it runs."""
    return read_state(home() / name)


def up(name: str = "default", engine: str = "auto", progress: Progress = print, **options: Any) -> Status:
    """Starts the one called `name`, or finds it running; it outlives this process. Raises LocalAWSFailed."""
    folder = home() / name
    if found := read_state(folder):
        return found
    process = spawn(folder, ["--engine", engine, *flags(options)], progress, stdin=subprocess.DEVNULL)
    process.returncode = 0  # it is nobody's child to wait for from now on
    found = read_state(folder)
    if found is None:
        raise LocalAWSFailed(f"the offline AWS started and ended at once; see {folder / LOG_FILE}")
    return found


def down(name: str = "default", progress: Progress = print) -> bool:
    """Ends the one called `name`, its jobs and containers too; False where none runs. Raises LocalAWSFailed."""
    folder = home() / name
    found = read_state(folder)
    if found is not None:
        progress(f"ending the offline AWS {name!r} (process {found.pid})")
        os.kill(found.pid, signal.SIGTERM)
        ends = time.monotonic() + ENDS_WITHIN_S
        while is_running(folder):
            if time.monotonic() > ends:
                raise LocalAWSFailed(f"process {found.pid} did not end within {ENDS_WITHIN_S:.0f} s")
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    return found is not None


def read_state(folder: Path) -> Status | None:
    """What runs in this folder; a file left behind by one that was killed says nothing."""
    try:
        told = json.loads((folder / STATE_FILE).read_text())
    except FileNotFoundError:
        return None
    return Status(**told) if is_running(folder) else None


def is_running(folder: Path) -> bool:
    """Whether somebody holds the folder's lock."""
    try:
        lock = (folder / LOCK_FILE).open("rb")
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def flags(options: dict[str, Any]) -> list[str]:
    """Keyword arguments as the server's options; None is left out."""
    told = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
    return [word for name, value in told.items() for word in (f"--{name}", str(value))]


def require_extra() -> None:
    """Raise LocalAWSFailed, with the command that installs it, where the extra `local` is not installed."""
    if not all(importlib.util.find_spec(module) for module in EXTRA_MODULES):
        raise LocalAWSFailed("The offline AWS needs the extra `local`: pip install 'covalent-awsbatch-plugin[local]'")


def spawn(folder: Path, options: list[str], progress: Progress, stdin: int) -> subprocess.Popen[bytes]:
    """Starts one in `folder` and returns when it is ready; raises LocalAWSFailed with its last words."""
    require_extra()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", __package__, "--state-dir", str(folder), *options]
    with (folder / LOG_FILE).open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(),
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if line.strip().decode() == READY:
                return process
            progress(line.decode().rstrip())
    raise LocalAWSFailed(f"the offline AWS did not start:\n{_last_words(folder, process)}")


def _last_words(folder: Path, process: subprocess.Popen[bytes]) -> str:
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
    return (folder / LOG_FILE).read_text(errors="replace")[-2000:]


def _environment() -> dict[str, str]:
    """This process's own, less what would lead the offline AWS to a real one, plus where this package lies."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    root = str(Path(__file__).parents[2])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))}
