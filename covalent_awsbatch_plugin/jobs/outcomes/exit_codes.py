# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The meaning of an exit code and of a log's last lines, where no reason of AWS says more."""

from __future__ import annotations

import re

from .causes import Blame, Cause, Verdict, verdict

SIGNAL_BASE = 128  # a shell's and Docker's code for death by signal N is 128 + N
NOT_RUNNABLE = (126, 127)  # found but not executable, not found: POSIX, and `docker run`
LAST_LINES = 12

# Signals that a process's own fault causes; the others come from outside, and a code does not name the sender.
_OWN_FAULTS = {4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV", 13: "SIGPIPE"}
_FROM_OUTSIDE = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 9: "SIGKILL", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ"}
_SIGNALS = _OWN_FAULTS | _FROM_OUTSIDE

_LOG_RULES = tuple(
    (re.compile(pattern, re.MULTILINE), cause)
    for pattern, cause in (
        (r"exec format error|rosetta error|qemu.*could not open '/lib", Cause.WRONG_ARCHITECTURE),
        (r"exec user process caused|executable file not found|^\S*python[\d.]*: can't open file"
         r"|^exec /\S+: no such file|^exec: .*not found$"
         r"|^\S*/(ba)?sh: /\S+: (is a directory|no such file or directory|permission denied)$",
         Cause.COMMAND_NOT_RUNNABLE),
        (r"out of memory: kill|oom-kill|killed process \d+|^outofmemoryerror: container", Cause.OUT_OF_MEMORY),
        (r"(^|[:\]] )killed\s*(\d|$)|\bline \d+:\s+\d+ killed\b", Cause.KILLED_BY_SIGNAL),
    )
)  # fmt: skip


def signal_of(code: int | None) -> int | None:
    """Return the signal number that an exit code stands for, or None."""
    return code - SIGNAL_BASE if code is not None and code - SIGNAL_BASE in _SIGNALS else None


def signal_name(code: int | None) -> str:
    """Return a signal's name, such as SIGKILL, or "" if the code stands for none."""
    return _SIGNALS.get(signal_of(code) or 0, "")


def log_verdict(log: str) -> Verdict | None:
    """Return what the last lines of a log name beyond doubt; None for most logs."""
    lines = "\n".join(line.strip() for line in log[-20_000:].lower().splitlines()[-LAST_LINES:])
    return next((verdict(cause) for pattern, cause in _LOG_RULES if pattern.search(lines)), None)


def exit_verdict(code: int | None, log: str) -> Verdict:
    """Return the verdict on a container that ended by itself. A missing code is not 0."""
    if code == 0:
        return verdict(
            Cause.UNKNOWN, happened="failed according to AWS Batch, although its container ended with exit code 0"
        )
    if code in NOT_RUNNABLE:
        from_log = log_verdict(log)
        arch = from_log if from_log and from_log.cause == Cause.WRONG_ARCHITECTURE else None
        return arch or verdict(Cause.COMMAND_NOT_RUNNABLE)
    if from_log := log_verdict(log):
        return from_log
    if signal := signal_of(code):
        return _killed(signal)
    if code is None:
        return verdict(Cause.USER_ERROR, blame=Blame.UNKNOWN, retry_may_help=None, happened="ended by itself")
    return verdict(Cause.USER_ERROR)


def _killed(signal: int) -> Verdict:
    if signal not in _OWN_FAULTS:
        return verdict(Cause.KILLED_BY_SIGNAL)
    return verdict(
        Cause.KILLED_BY_SIGNAL,
        blame=Blame.USER,
        retry_may_help=False,
        happened="was killed{signal} because of a fault of its own process",
        advice="Look for a crash in native code. If it crashed at the start, the image may be for another processor.",
    )
