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


def private_bytes(group: int) -> int:
    """Resident memory of a process group, without what is shared with files: about what a container is charged for."""
    return sum(_private_bytes(pid) for pid in _pids() if _group(pid) == group)


def kill_by_environment(setting: str) -> None:
    """Kills every process of this user that was started with `NAME=value` in its environment."""
    needle = b"\0" + setting.encode() + b"\0"
    for pid in _pids():
        with suppress(*GONE):
            if needle in b"\0" + (PROC / pid / "environ").read_bytes():
                os.kill(int(pid), signal.SIGKILL)


def _pids() -> list[str]:
    return [name for name in os.listdir(PROC) if name.isdigit()] if PROC.is_dir() else []


def _group(pid: str) -> int:
    with suppress(*GONE):
        # The name in parentheses may hold anything; what follows it is: state, parent, group.
        return int((PROC / pid / "stat").read_text().rpartition(")")[2].split()[2])
    return -1


def _private_bytes(pid: str) -> int:
    with suppress(*GONE):
        _, resident, shared, *_ = (PROC / pid / "statm").read_text().split()
        return (int(resident) - int(shared)) * PAGE
    return 0
