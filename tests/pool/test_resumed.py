# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Processes with a named pool that are killed, interrupted, or two at once: no call runs twice, and none is lost.

SOAK=1 kills at 50 moments instead of 4.
"""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.jobs import watched
from covalent_awsbatch_plugin.jobs.api import Batch
from covalent_awsbatch_plugin.jobs.description import JobState
from covalent_awsbatch_plugin.pool import array_under_way
from tests.pool.test_batch_pool import live_jobs, until
from tests.tasks.small_world import World
from tests.tasks.tasks import when_there

ROOT = Path(__file__).parents[2]
SWEEP = Path(__file__).with_name("resumed_sweep.py")
ROWS = 4
SEED = 12
KILLS = 50 if os.environ.get("SOAK") else 4
LATEST_S = 7.0  # after its start a script has its values, on an idle machine


@contextmanager
def script(folder: Path, settings: dict[str, Any], rows: int, name: str = "sweep") -> Iterator[subprocess.Popen[str]]:
    """The running script of a user whose home is the folder; it is killed at the end of the block."""
    arguments = json.dumps(settings | {"folder": str(folder)})
    process = subprocess.Popen(
        [sys.executable, str(SWEEP), name, arguments, str(rows)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(folder: Path, settings: dict[str, Any], rows: int) -> str:
    """What the script prints when nobody stops it."""
    with script(folder, settings, rows) as process:
        out, err = process.communicate(timeout=150)
        assert process.returncode == 0, err
    return out


def runs(folder: Path) -> Counter[int]:
    """How often each row was computed."""
    return Counter(int(path.name.split("-")[1]) for path in folder.glob("ran-*"))


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment_its_rows_run_once_and_a_new_row_joins_them(
    settings: dict[str, Any], tmp_path: Path, number: int
) -> None:
    after = random.Random(SEED * 1000 + number).uniform(0.5, LATEST_S)
    with script(tmp_path, settings, ROWS) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    rows = range(ROWS + 1)
    assert finished(tmp_path, settings, len(rows)) == f"values {[(row * 3 + 3) * 10 for row in rows]}\n"
    assert runs(tmp_path) == dict.fromkeys(rows, 1), f"killed after {after:.2f} s"


def gated(tmp_path: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], None]]:
    """Settings with which the script's rows wait, and what lets them go on."""
    gate = tmp_path / "gate"
    return settings | {"gate": str(gate)}, gate.touch


def test_a_second_process_with_the_name_is_refused_and_submits_nothing(
    settings: dict[str, Any], world: World, tmp_path: Path
) -> None:
    waiting, go_on = gated(tmp_path, settings)
    with script(tmp_path, waiting, ROWS) as first:
        until(lambda: live_jobs(world) != [])
        before = world.sent().jobs
        with script(tmp_path, waiting, ROWS) as second:
            _, err = second.communicate(timeout=100)
            assert second.returncode != 0
        assert f"The pool 'sweep' is in use by process {first.pid} on" in err
        assert world.sent().jobs == before
        go_on()
        out, err = first.communicate(timeout=100)
        assert out.startswith("values"), err
    assert runs(tmp_path) == dict.fromkeys(range(ROWS), 1)


def test_after_ctrl_c_no_job_runs(settings: dict[str, Any], world: World, tmp_path: Path) -> None:
    waiting, _ = gated(tmp_path, settings)
    with script(tmp_path, waiting, ROWS) as process:
        until(lambda: live_jobs(world) != [])
        time.sleep(random.Random(SEED).uniform(0, 1))  # a moment of the submission or of the run
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
        assert process.returncode != 0 and "KeyboardInterrupt" in err
    until(lambda: not live_jobs(world))


def test_after_ctrl_c_in_a_terminal_no_job_runs(settings: dict[str, Any], world: World, tmp_path: Path) -> None:
    """The key reaches the terminal's whole foreground group, as a user's does; a signal reaches one process."""
    waiting, _ = gated(tmp_path, settings)
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    arguments = [str(SWEEP), "sweep", json.dumps(waiting | {"folder": str(tmp_path)}), str(ROWS)]
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, *arguments], os.environ | environment)
    shown = b""
    try:
        until(lambda: bool(runs(tmp_path)))
        os.write(terminal, b"\x03")
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:  # what Linux tells when the other side of a terminal is closed
                break
            if not more:
                break
            shown += more
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    assert b"KeyboardInterrupt" in shown and b"values [" not in shown, shown
    until(lambda: not live_jobs(world))


def test_a_young_job_that_an_aws_does_not_know_is_submitted_anew(
    settings: dict[str, Any], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offline AWS that was restarted knows no job of before; a job of AWS Batch can be unknown for seconds."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pool, gate = BatchPool("restarted", **settings), str(tmp_path / "gate")
    old = pool.submit(when_there, gate)
    until(lambda: old.job_id is not None)
    lost = str(old.job_id)
    pool.detach()
    describe = Batch.describe

    async def without_it(self: Batch, job_ids: Sequence[str]) -> dict[str, JobState]:
        return {job_id: state for job_id, state in (await describe(self, job_ids)).items() if job_id != lost}

    monkeypatch.setattr(Batch, "describe", without_it)
    for module in (watched, array_under_way):
        monkeypatch.setattr(module, "FORGOTTEN_SECONDS", 6)
    with BatchPool("restarted", **settings) as again:
        new = again.submit(when_there, gate)
        until(lambda: new.job_id not in (None, lost))
        Path(gate).touch()
        assert new.result(timeout=60) == "it is there"
    until(lambda: not live_jobs(world))
