# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Memory and end of processes by /proc. Without /proc (macOS), no process is found."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
SCRATCH = "job-"  # begins the name of a job's folder
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def memory_of(first: int) -> dict[int, int]:
    """Return the memory (bytes) of each process of a job, by id: the session that `first` leads, and its descendants.

    Counted is resident memory that is not shared with files, which is close to a container's charge.
    """
    processes = {pid: ids for pid in _pids() if (ids := _parent_and_session(pid))}
    members = {pid for pid, (_, session) in processes.items() if session == first or pid == first}
    while grown := {pid for pid, (parent, _) in processes.items() if parent in members} - members:
        members |= grown
    return {pid: _private_bytes(pid) for pid in members}


def kill_by_environment(setting: str) -> None:
    """Kill every process of this user with an environment variable that begins with `setting` (`NAME=prefix`)."""
    needle = b"\0" + setting.encode()
    for pid in _pids():
        with suppress(*GONE):
            if needle in b"\0" + (PROC / str(pid) / "environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()] if PROC.is_dir() else []


def _parent_and_session(pid: int) -> tuple[int, int] | None:
    with suppress(*GONE):
        # The name in parentheses may hold any character. After it stand: state, parent, group, session.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), int(fields[3])
    return None


def _private_bytes(pid: int) -> int:
    with suppress(*GONE):
        _, resident, shared, *_ = (PROC / str(pid) / "statm").read_text().split()
        return (int(resident) - int(shared)) * PAGE
    return 0
