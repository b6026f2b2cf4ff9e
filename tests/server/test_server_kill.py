# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""kill -9 of a Covalent server with tasks at every step of their way: nothing is lost or double, `reap` leaves nothing.

A restarted Covalent server resumes nothing, so what the command line finds is all that there is.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import covalent as ct
import pytest

from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.runner.protocol import archive
from examples.covalent_server import CovalentServer
from tests.server.covalent_world import CovalentWorld, offline_aws, wait_until

HELD_S = 20  # how long a call that the server is killed in the middle of takes


@dataclass
class Crash:
    """A server that was killed, and another one in its place. `dispatches` by the step that each had come to."""

    world: CovalentWorld
    folder: Path
    dispatches: dict[str, str]

    def says(self, *words: str) -> str:
        """What the command line answers to that user, who has Covalent's config file and nothing more."""
        done = subprocess.run(
            [str(Path(sys.executable).parent / "covalent-awsbatch"), *words],
            env=self.world.server.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ran(self, step: str) -> int:
        path = self.folder / f"ran-{step}"
        return path.stat().st_size if path.exists() else 0

    def until_none_is_alive(self) -> None:
        wait_until(lambda: not self.world.jobs("RUNNABLE", "STARTING", "RUNNING"), "the end of all jobs")


def lattice_of(folder: Path, step: str) -> ct.Lattice:
    ran, go = str(folder / f"ran-{step}"), str(folder / "go")

    @ct.electron(executor="awsbatch")
    def task():
        import os

        with open(ran, "ab") as file:
            file.write(b"1")
        while step == "running" and not os.path.exists(go):
            time.sleep(0.05)
        return f"a value of {step}"

    @ct.lattice
    def workflow():
        return task()

    return workflow


def bring_to_every_step(world: CovalentWorld, folder: Path) -> dict[str, str]:
    """The dispatches, by the step that the job of each has come to."""
    found: dict[str, str] = {}

    def dispatch(step: str) -> None:
        found[step] = world.dispatch(lattice_of(folder, step))

    def until_asked(step: str, operation: str) -> None:
        before = asked(world, operation)
        world.aws.fault(faults.SLOW, f"batch:{operation}", delay_s=HELD_S)
        dispatch(step)
        wait_until(lambda: asked(world, operation) > before, f"{operation} for {step}", world.server.last_words)

    world.aws.fault(faults.ERROR, "batch:DescribeJobs", times=None)  # so that no end is seen, however long this takes
    dispatch("ended")
    world.wait_for_job("SUCCEEDED", beyond=set())
    dispatch("running")
    wait_until((folder / "ran-running").exists, "a job that runs", world.server.last_words)
    world.aws.fault(faults.STUCK, text="no room", times=None, seconds=60)
    dispatch("queued")
    world.wait_for_job("RUNNABLE", beyond=set())
    world.aws.fault(faults.STUCK, of=f"covalent-{found['queued']}-*", text="no room", times=None)
    until_asked("being submitted", "SubmitJob")
    until_asked("not submitted", "RegisterJobDefinition")
    return found


def asked(world: CovalentWorld, operation: str) -> int:
    return sum(counts.get(f"batch:{operation}", 0) for counts in world.aws.calls().values())


def answers(server: CovalentServer) -> bool:
    there = urlsplit(server.address)
    with socket.socket() as probe:
        return probe.connect_ex((there.hostname or "", there.port or 0)) == 0


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    folder = tmp_path_factory.mktemp("crash")
    home = folder / "home"
    with offline_aws("process") as aws:
        section = aws.section() | {"cache_dir": str(home / "staging"), "poll_freq": 0.2, "array_linger": 0.2}
        with CovalentServer(home, section) as server:
            dispatches = bring_to_every_step(CovalentWorld(aws, server, section), folder)
            server.kill()
            assert not answers(server), "the server outlived its SIGKILL"
            for kind in (faults.ERROR, faults.SLOW):  # the job in the queue stays there
                aws.clear_faults(kind)
        with CovalentServer(home, section) as server:
            yield Crash(CovalentWorld(aws, server, section), folder, dispatches)


def test_a_killed_server_loses_nothing_doubles_nothing_and_leaves_nothing_to_reap_twice(crash: Crash) -> None:
    world, into = crash.world, crash.folder / "collected"
    submitted = ("ended", "running", "queued", "being submitted")
    wait_until(lambda: len(world.jobs()) == len(submitted), "the job that was being submitted")
    assert {name: crash.ran(name) for name in ("ended", "running", "queued")} == {"ended": 1, "running": 1, "queued": 0}

    listed = crash.says("jobs", "--json")
    assert all(f"covalent-{crash.dispatches[step]}" in listed for step in ("running", "queued")), listed
    assert not any(f"covalent-{crash.dispatches[step]}" in listed for step in ("ended", "not submitted"))
    assert "Terminated 1 jobs." in crash.says("reap", "--yes", "--dispatch", crash.dispatches["queued"])
    (crash.folder / "go").touch()
    crash.until_none_is_alive()

    assert "Collected 4 results into " in crash.says("collect", "--into", str(into))
    for step in ("ended", "running", "being submitted"):
        assert archive.load(into / crash.dispatches[step] / "0" / "output-0") == f"a value of {step}"
        assert crash.ran(step) == 1
    assert "was cancelled or terminated" in (into / crash.dispatches["queued"] / "0" / "error-0").read_text()
    assert crash.ran("queued") == crash.ran("not submitted") == 0

    assert len(world.jobs()) == len(submitted)
    assert crash.says("jobs", "--json").strip() == "[]" and "No job is active." in crash.says("reap", "--yes")
    assert "There are no results to collect." in crash.says("collect", "--into", str(into))


def test_the_server_in_its_place_works_as_before(crash: Crash) -> None:
    assert crash.world.completed(lattice_of(crash.folder, "after")).value == "a value of after"
    assert crash.ran("after") == 1
