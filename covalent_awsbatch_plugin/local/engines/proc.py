# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What /proc tells of processes. Where there is no /proc (macOS), nothing is found and nothing is done."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def memory_of(first: int) -> dict[int, int]:
    """Bytes of each process of a job, by id: those of the session that `first` leads, and its descendants.

    Counted is resident memory that is not shared with files: about what a container is charged for.
    """
    known = {pid: told for pid in _pids() if (told := _parent_and_session(pid))}
    members = {pid for pid, (_, session) in known.items() if session == first or pid == first}
    while grown := {pid for pid, (parent, _) in known.items() if parent in members} - members:
        members |= grown
    return {pid: _private_bytes(pid) for pid in members}


def kill_by_environment(setting: str) -> None:
    """Kills every process of this user in whose environment a setting begins so: `NAME=the value's beginning`."""
    needle = b"\0" + setting.encode()
    for pid in _pids():
        with suppress(*GONE):
            if needle in b"\0" + (PROC / str(pid) / "environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()] if PROC.is_dir() else []


def _parent_and_session(pid: int) -> tuple[int, int] | None:
    with suppress(*GONE):
        # The name in parentheses may hold anything; what follows it is: state, parent, group, session.
        told = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return int(told[1]), int(told[3])
    return None


def _private_bytes(pid: int) -> int:
    with suppress(*GONE):
        _, resident, shared, *_ = (PROC / str(pid) / "statm").read_text().split()
        return (int(resident) - int(shared)) * PAGE
    return 0
