# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A server that is killed while a job runs, and another that is asked for the same dispatch.

Covalent itself never asks again: its database says that the dispatch was started, and one starts once. Here that is
undone by hand, for a dispatch of which no node has ended: Covalent lets a node end once. `ct.redispatch` would make
another dispatch.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import covalent as ct
from covalent._dispatcher_plugins.local import LocalDispatcher

from examples.covalent_server import CovalentServer
from tests.server.covalent_world import CovalentWorld, offline_aws


def test_the_next_server_takes_the_job_over_and_the_function_runs_once(tmp_path: Path) -> None:
    ran, go = tmp_path / "ran", tmp_path / "go"

    @ct.electron(executor="awsbatch")
    def count_and_wait():
        with ran.open("a") as file:
            file.write("1")
        while not go.exists():
            time.sleep(0.05)
        return "once"

    @ct.lattice
    def workflow():
        return count_and_wait()

    home = tmp_path / "home"
    with offline_aws("process") as aws:
        section = aws.section() | {"cache_dir": str(home / "staging"), "poll_freq": 0.2}
        with CovalentServer(home, section) as first:
            world = CovalentWorld(aws, first, section)
            dispatch_id = world.dispatch(workflow)
            job_id = world.wait_for_job("RUNNING", beyond=set())
            first.kill()
        forget_that_it_was_started(home, dispatch_id)
        with CovalentServer(home, section) as second:
            world = CovalentWorld(aws, second, section)
            LocalDispatcher.start(dispatch_id, second.address)
            go.touch()
            ran_well = world.end_of(dispatch_id)
        assert (ran_well.status, ran_well.value) == ("COMPLETED", "once"), ran_well
        assert ran.read_text() == "1"
        assert list(world.jobs()) == [job_id]


def forget_that_it_was_started(home: Path, dispatch_id: str) -> None:
    database = sqlite3.connect(home / ".local/share/covalent/dispatcher_db.sqlite")
    with database:
        database.execute("UPDATE lattices SET status = 'NEW_OBJECT' WHERE dispatch_id = ?", (dispatch_id,))
    database.close()
