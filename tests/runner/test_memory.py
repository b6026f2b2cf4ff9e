# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What is said when the kernel ended a process for memory. Its counters are files, so these tests write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_awsbatch_plugin.runner import outcome
from covalent_awsbatch_plugin.runner.execute import Report
from covalent_awsbatch_plugin.runner.job import TaskFiles
from covalent_awsbatch_plugin.runner.outcome import ProcessEnd, judge
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.runner.protocol.task import IN_IMAGE, ObjectRef, TaskSpec

REF = ObjectRef.of(b"", IN_IMAGE)
TASK = TaskSpec(0, "hungry", REF, REF, "3.11")


def test_a_task_ended_by_the_kernel_needed_more_memory(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path / "0")
    result = judge(TASK, files, ProcessEnd(-9, stop_signal=False, out_of_memory=1))
    assert (result.outcome, result.exit_code, result.signal) == (envelope.OUT_OF_MEMORY, 137, 9)
    assert "hungry was ended, for the container's memory was used up" in files.parts[envelope.ERROR].read().decode()


def test_a_task_that_lost_a_child_to_the_kernel_says_so_too(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path / "0")
    files.parts[envelope.ERROR].write(b"BrokenProcessPool: a worker is gone\n")
    Report(envelope.RAISED, 1, "BrokenProcessPool").write(files.report)
    result = judge(TASK, files, ProcessEnd(1, stop_signal=False, out_of_memory=2))
    assert (result.outcome, result.exception_type) == (envelope.RAISED, "BrokenProcessPool")
    text = files.parts[envelope.ERROR].read().decode()
    assert text.startswith("BrokenProcessPool")
    assert "ended 2 of its processes" in text


@pytest.mark.parametrize(
    ("text", "kills"),
    [("low 0\noom 3\noom_kill 2\n", 2), ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1), ("low 0\n", 0)],
)
def test_the_kernels_counters_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kills: int) -> None:
    (tmp_path / "counters").write_text(text)
    monkeypatch.setattr(outcome, "_OOM_COUNTERS", (tmp_path / "absent", tmp_path / "counters"))
    assert outcome.oom_kills() == kills
