# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Child processes of one piece of work: heard while they run, and ended with all that they started."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.core.subprocesses import Work
from covalent_awsbatch_plugin.errors import Cancelled

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, file=sys.stderr, flush=True)
child.wait()
"""


def test_a_child_that_does_not_end_is_killed_at_its_limit_and_the_error_says_so() -> None:
    script = "import sys, time\nprint('begun', file=sys.stderr, flush=True)\nwhile True: time.sleep(1)"
    done = Work().run([sys.executable, "-c", script], limit_s=1)
    assert done.code == -signal.SIGKILL and done.stderr.endswith("did not end within 1 s and was killed.\n")


def test_a_child_is_given_a_text_heard_and_read() -> None:
    lines: list[str] = []
    script = "import sys; print(sys.stdin.read().upper()); print('one\\ntwo', file=sys.stderr); sys.exit(3)"
    done = Work().run([sys.executable, "-c", script], stdin_text="text", on_line=lines.append)
    assert (done.code, done.output, done.stderr, lines) == (3, "TEXT\n", "one\ntwo\n", ["one", "two"])


def test_an_ended_work_leaves_no_child_and_no_childs_child_and_begins_nothing_more() -> None:
    work, begun = Work(), list[int]()

    def heard(line: str) -> None:
        begun.append(int(line))
        work.end()

    with pytest.raises(Cancelled):
        work.run([sys.executable, "-c", PARENT], on_line=heard)
    assert begun and has_ended(begun[0])
    with pytest.raises(Cancelled):
        work.run([sys.executable, "-c", "raise SystemExit"])


def test_an_interrupted_caller_leaves_no_child() -> None:
    begun = list[int]()

    def heard(line: str) -> None:
        begun.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Work().run([sys.executable, "-c", PARENT], on_line=heard)
    assert has_ended(begun[0])


def has_ended(pid: int) -> bool:
    """It was killed, which takes effect a moment later, and whoever adopts it may not have buried it yet."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False
