# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`make demo` says what it should, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.server.covalent_world import wait_until

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@contextmanager
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, with everything temporary of it in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-u", DEMO, "process"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process


def left_of(tmp_path: Path) -> list[str]:
    """Processes that know of the folder, and what lies in it."""
    found = [str(path) for path in tmp_path.iterdir()]
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(tmp_path) in word for word in words):
            found.append(" ".join(process.cmdline()))
    return found


def test_the_demo_shows_values_output_errors_images_and_logs(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        told = process.communicate(timeout=200)[0]

    assert process.returncode == 0, told
    for words in (
        "its value: 3.14105",
        "stdout | Seed 1: 156,860 of 200,000 hit.",
        "error | ValueError: nothing weighs -2 kg",
        "`vanish` (Batch job ",
        "covalent-batch-job-images@sha256:",
        "log stream covalent-batch-jobs-",
    ):
        assert words in told
    assert left_of(tmp_path) == []


def test_an_interrupted_demo_stops_what_it_started(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout
        for line in process.stdout:
            if "Running examples/workflow.py" in line:
                break
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=100)[0]

    assert process.returncode == 1, told
    assert "Stopped; nothing is left running." in told
    wait_until(lambda: left_of(tmp_path) == [], f"the end of {left_of(tmp_path)}")
