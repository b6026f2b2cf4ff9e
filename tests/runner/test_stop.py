# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""SIGTERM: a timeout, a cancel, a Spot notice. What is there is committed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import Container, Ran, alive


def stopped(container: Container, *numbers: signal.Signals) -> Ran:
    """Run until the task has said something, then signal."""
    with container.start(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        for number in numbers:
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=layout.STOP_GRACE_S + 30)
    return container.ran(process.returncode, first + stdout, stderr)


def sleep_long() -> Any:
    def task() -> None:
        print("started")
        time.sleep(600)

    return task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_task_that_is_told_to_stop_leaves_what_it_had(container: Container, number: signal.Signals) -> None:
    container.add(sleep_long())
    container.add(lambda: "never")
    ran = stopped(container, number)
    assert ran.exit_code == layout.TERMINATED.code
    assert ran.ended(0) == (envelope.TERMINATED, 143, signal.SIGTERM)
    assert ran.text(envelope.STDOUT) == "started\n"
    assert "told to stop" in ran.text(envelope.ERROR)
    assert ran.ended(1) == (envelope.TERMINATED, None, None)


def test_being_told_twice_changes_nothing(container: Container) -> None:
    container.add(sleep_long())
    ran = stopped(container, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    assert ran.exit_code == layout.TERMINATED.code
    assert ran.ended(0)[0] == envelope.TERMINATED


def test_a_task_may_say_goodbye_and_its_children_are_told_too(container: Container) -> None:
    def task() -> None:
        child = subprocess.Popen(["sleep", "600"])
        # os.write: the signal may come before the print below has returned, and print can't be entered twice
        signal.signal(signal.SIGTERM, lambda *_: exit(4) if os.write(1, b"goodbye\n") else None)
        print(child.pid)
        time.sleep(600)

    container.add(task)
    ran = stopped(container, signal.SIGTERM)
    pid, goodbye = ran.text(envelope.STDOUT).split()
    assert ran.ended(0) == (envelope.TERMINATED, 4, None)
    assert goodbye == "goodbye"
    assert not alive(int(pid))


def test_a_value_returned_in_the_last_moment_counts(container: Container) -> None:
    def task() -> str:
        told: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
        print("started")
        while not told:
            signal.pause()
        return "checkpoint"

    container.add(task)
    ran = stopped(container, signal.SIGTERM)
    assert (ran.exit_code, ran.value()) == (0, "checkpoint")


def test_who_does_not_listen_is_killed_in_time(container: Container) -> None:
    hurried = (container.root / layout.RUNNER_DIR / layout.RUNNER_PACKAGE / "protocol" / "layout.py").resolve()
    faster(hurried)

    def task() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("started")
        while True:
            time.sleep(600)

    container.add(task)
    ran = stopped(container, signal.SIGTERM)
    assert ran.exit_code == layout.TERMINATED.code
    assert ran.ended(0) == (envelope.TERMINATED, 137, signal.SIGKILL)


def faster(file: Path) -> None:
    """Shorten the grace in this container's copy of the layout."""
    text = file.read_text().replace(f"STOP_GRACE_S = {layout.STOP_GRACE_S}", "STOP_GRACE_S = 0.5")
    assert "STOP_GRACE_S = 0.5" in text
    file.unlink()  # a link to the image's own file
    file.write_text(text)
