# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Terraform finishes what it has begun, whatever becomes of the command that started it.

A program stands for Terraform, which says that it makes a queue, and goes on when the test lets it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)

TERRAFORM = """#!/bin/sh
case "$1" in
  version) echo '{{"terraform_version": "1.9.0"}}' ;;
  apply)
    echo '{{"type": "apply_start", "@message": "the queue: Creating..."}}'
    cat '{gate}'
    echo '{{"type": "apply_complete", "@message": "the queue: Creation complete"}}'
    echo 'all is known' > '{end}' ;;
esac
"""
COMMAND = """
from covalent_awsbatch_plugin.infra.terraform import Terraform

stack = Terraform("stack", lambda line: print(line, flush=True))
stack.folder.mkdir(parents=True)
stack.apply()
"""


@dataclass
class Run:
    """A command that has begun to apply; `gate` lets Terraform go on, `end` has what it says after its last event."""

    process: subprocess.Popen[str]
    gate: Path
    end: Path

    def rest(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    gate, end, program = tmp_path / "gate", tmp_path / "end", tmp_path / "terraform"
    os.mkfifo(gate)
    os.mkfifo(end)
    program.write_text(TERRAFORM.format(gate=gate, end=end))
    program.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment.pop("XDG_DATA_HOME", None)
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "the queue: Creating...\n"
        yield Run(process, gate, end)


def test_ctrl_c_waits_for_terraform(run: Run) -> None:
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.process.stdout is not None
    assert "Terraform finishes what it has begun" in run.process.stdout.readline()
    run.gate.write_text("")
    assert run.end.read_text() == "all is known\n"
    assert "KeyboardInterrupt" in run.rest()
    assert run.process.wait() != 0


def test_a_second_ctrl_c_leaves_terraform_to_itself(run: Run) -> None:
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.process.stdout is not None
    run.process.stdout.readline()
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.process.wait() != 0
    run.gate.write_text("")
    assert run.end.read_text() == "all is known\n"


def test_terraform_outlives_a_command_that_is_killed(run: Run) -> None:
    run.process.kill()
    run.process.wait()
    run.gate.write_text("")
    assert run.end.read_text() == "all is known\n", "nobody reads what it says, and it goes on"
