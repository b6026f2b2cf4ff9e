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
_OWN_FAULTS = {
    4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM",
    24: "SIGXCPU", 25: "SIGXFSZ",
}  # fmt: skip
_FROM_OUTSIDE = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 9: "SIGKILL", 15: "SIGTERM"}
_SIGNALS = _OWN_FAULTS | _FROM_OUTSIDE

_CRASH = "Look for a crash in native code. If it crashed at the start, the image may be for another processor."
# What to do about each, by what sends it: https://man7.org/linux/man-pages/man7/signal.7.html. SIGBUS is also what a
# write to shared memory gets whose file system is full: a container has 64 MiB of it by default.
_ADVICE = {
    4: "Its native code has an instruction that the instance's processor lacks: use packages that are built for it.",
    6: "Its native code gave up: the last lines of stderr name the check that failed.",
    7: "The shared memory of its container (/dev/shm) is probably full: use less of it, such as fewer workers of a"
       " data loader, or none.",
    8: "Its native code divided by zero, or overflowed: check the values that it gets.",
    11: "Its native code read or wrote outside of its memory: the stack is in stderr.",
    13: "It wrote to a pipe that nobody reads: look at the programs that it starts.",
    14: "A timer that it set ended it (signal.alarm, signal.setitimer): raise that time, or handle the signal.",
    24: "It used more CPU time than its own limit allows (RLIMIT_CPU): raise that limit.",
    25: "It wrote a bigger file than its own limit allows (RLIMIT_FSIZE): raise that limit.",
}  # fmt: skip
_OF_MEMORY = "If it may have run out of memory, raise memory{memory}; otherwise read the last lines of the log."
_OF_STOP = "Look for who stops it: a program of its own, or whoever may end jobs of this account."

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
        return verdict(Cause.KILLED_BY_SIGNAL, advice=signal_advice(signal))
    return verdict(
        Cause.KILLED_BY_SIGNAL,
        blame=Blame.USER,
        retry_may_help=False,
        happened="was killed{signal} because of a fault of its own process",
        advice=signal_advice(signal),
    )


def signal_advice(signal: int | None) -> str:
    """Return what to do about a process that a signal ended; only SIGKILL can mean that memory was short.

    The text may hold {memory}. None is an unknown signal.
    """
    if signal in _OWN_FAULTS:
        return _ADVICE.get(signal, _CRASH)
    return _OF_MEMORY if signal in (None, 9) else _OF_STOP


def is_own_fault(signal: int | None) -> bool:
    """Return whether a process's own fault causes the signal."""
    return signal in _OWN_FAULTS
