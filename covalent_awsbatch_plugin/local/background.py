# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Start, find and end an offline AWS that runs as another process. This module imports nothing that loads slowly.

The process holds a lock on its folder as long as it runs. A process id alone proves nothing: ids are reused.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.files import atomic_write
from ..core.private_files import create_own
from ..core.user_dirs import data_dir

STATE_FILE, LOCK_FILE, LOG_FILE = "state.json", "lock", "server.log"
EARLIER_SECTION_FILE = "earlier-section.json"
READY = "ready"
CALLS_PATH, STORM_PATH = "/_local/calls", "/_local/storm"  # of the endpoint: counts of requests; a throttle storm
FAULTS_PATH = "/_local/faults"  # of the endpoint: faults to add
ENDS_WITHIN_S = 60.0
EXTRA_MODULES = ("moto", "flask", "flask_cors")  # of requirements-local.txt
Progress = Callable[[str], None]


class LocalAWSFailed(RuntimeError):
    """The offline AWS did not start, or does not end. The text ends with the last lines of its log."""


@dataclass(frozen=True)
class Status:
    """A running offline AWS. `section` holds the `[executors.awsbatch]` settings that lead to it.

    `control_token` is the bearer token of its control paths, such as CALLS_PATH.
    """

    pid: int
    endpoint_url: str
    registry: str
    engine: str
    region: str
    section: dict[str, Any] = field(repr=False)
    control_token: str = field(default="", repr=False)


def home() -> Path:
    """Return the folder of all named offline AWSs: `$XDG_DATA_HOME/covalent-awsbatch/local`."""
    return data_dir() / "local"


def write_earlier_section(settings: Mapping[str, Any]) -> None:
    """Keep the values that settings have before an offline AWS takes the place of a real one; None: not given."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_write(home() / EARLIER_SECTION_FILE, json.dumps(dict(settings), default=str), mode=0o600)


def read_earlier_section() -> dict[str, Any]:
    """Return the settings of `write_earlier_section`; none if there are none."""
    try:
        settings: dict[str, Any] = json.loads((home() / EARLIER_SECTION_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return settings


def forget_earlier_section() -> None:
    """Remove the settings of `write_earlier_section`."""
    (home() / EARLIER_SECTION_FILE).unlink(missing_ok=True)


def status(name: str = "default") -> Status | None:
    """Return the offline AWS called `name`, None where it does not run."""
    return read_state(home() / name)


def up(
    name: str = "default",
    engine: str = "auto",
    progress: Progress = print,
    *,
    enforce_iam: bool = True,
    **options: Any,
) -> Status:
    """Start the offline AWS called `name`, or find it running. It outlives this process. Raises LocalAWSFailed.

    Policies are enforced unless `enforce_iam` is False; the roles have those that `covalent-awsbatch iam` prints.
    """
    folder = home() / name
    if running := read_state(folder):
        return running
    process = spawn(
        folder, ["--engine", engine, *flags(options | {"enforce_iam": enforce_iam})], progress, stdin=subprocess.DEVNULL
    )
    process.returncode = 0  # the process outlives this one, which never waits for it
    started = read_state(folder)
    if started is None:
        raise LocalAWSFailed(f"the offline AWS started and ended at once; see {folder / LOG_FILE}")
    return started


def down(name: str = "default", progress: Progress = print) -> bool:
    """End the offline AWS called `name`, its jobs and containers too. Return False where none runs.

    Raises LocalAWSFailed where it still runs after ENDS_WITHIN_S seconds.
    """
    folder = home() / name
    running = read_state(folder)
    if running is not None:
        progress(f"ending the offline AWS {name!r} (process {running.pid})")
        os.kill(running.pid, signal.SIGTERM)
        ends = time.monotonic() + ENDS_WITHIN_S
        while is_running(folder):
            if time.monotonic() > ends:
                raise LocalAWSFailed(f"process {running.pid} did not end within {ENDS_WITHIN_S:.0f} s")
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    return running is not None


def read_state(folder: Path) -> Status | None:
    """Return the offline AWS that runs in a folder, None where none does. The file of a killed one is ignored."""
    try:
        fields = json.loads((folder / STATE_FILE).read_text())
    except FileNotFoundError:
        return None
    return Status(**fields) if is_running(folder) else None


def is_running(folder: Path) -> bool:
    """Return whether a process holds the folder's lock."""
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
    """Return keyword arguments as the server's command-line options, without those that are None."""
    values = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def require_extra() -> None:
    """Raise LocalAWSFailed, with the command to install it, where the extra `local` is missing."""
    if not all(importlib.util.find_spec(module) for module in EXTRA_MODULES):
        raise LocalAWSFailed("The offline AWS needs the extra `local`: pip install 'covalent-awsbatch-plugin[local]'")


def spawn(folder: Path, options: list[str], progress: Progress, stdin: int) -> subprocess.Popen[bytes]:
    """Start an offline AWS in `folder` and return when it is ready. Raises LocalAWSFailed with the end of its log."""
    require_extra()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", __package__, "--state-dir", str(folder), *options]
    with create_own(folder / LOG_FILE) as log:
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
    raise LocalAWSFailed(f"the offline AWS did not start:\n{_log_tail(folder, process)}")


def _log_tail(folder: Path, process: subprocess.Popen[bytes]) -> str:
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
    return (folder / LOG_FILE).read_text(errors="replace")[-2000:]


def _environment() -> dict[str, str]:
    """Return this process's variables without `AWS_*`, which could lead to a real AWS, and with this package's path."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    root = str(Path(__file__).parents[2])
    return variables | {"PYTHONPATH": os.pathsep.join(filter(None, (root, variables.get("PYTHONPATH"))))}
