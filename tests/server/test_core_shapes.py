# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What every engine has to do alike: a value, an exception, a packed group, a sublattice, a kill, a cancel."""

from __future__ import annotations

import os
import signal
import sys
import time

import covalent as ct

from tests.server.covalent_world import CovalentWorld


def test_an_electron_returns_its_value_and_what_it_printed(any_world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def add(x, y=10, *, scale=1):
        print(f"adding {x} and {y}")
        print("to the other stream", file=sys.stderr)
        return scale * (x + y)

    @ct.lattice
    def workflow(x):
        return add(x, scale=2)

    ran = any_world.completed(workflow, 5)

    assert ran.value == 30
    node = ran.node("add")
    assert (node.status, node.output) == ("COMPLETED", 30)
    assert node.stdout == "adding 5 and 10\n"
    assert node.stderr == "to the other stream\n"
    assert not node.error


def test_an_exception_is_told_with_its_remote_traceback_and_the_output_so_far(any_world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def halve(number):
        print(f"halving {number}")
        raise ValueError(f"{number} is odd")

    @ct.lattice
    def workflow(number):
        return halve(number)

    ran = any_world.failed(workflow, 7)

    node = ran.node("halve")
    assert (node.status, node.stdout) == ("FAILED", "halving 7\n")
    assert node.error.startswith("`halve` (Batch job ")
    assert "in halve\n" in node.error
    assert node.error.rstrip().endswith("ValueError: 7 is odd")
    assert "ValueError: 7 is odd" in node.stderr


def test_a_packed_group_is_one_job(any_world: CovalentWorld, packing: None) -> None:
    @ct.electron(executor="awsbatch")
    def total(numbers, by_name):
        return sum(numbers) + sum(by_name.values())

    @ct.lattice
    def workflow(x):
        return total([x, 2, 3], {"four": 4, "five": 5})

    before = any_world.jobs().keys()
    ran = any_world.completed(workflow, 1)

    assert ran.value == 15
    assert len(any_world.jobs().keys() - before) == 1


def test_a_sublattice_runs_its_electrons_as_jobs(any_world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def square(x):
        return x * x

    @ct.electron
    @ct.lattice
    def inner(x):
        return square(x)

    @ct.lattice
    def outer(x):
        return inner(x)

    ran = any_world.completed(outer, 6)

    assert ran.value == 36


def test_a_killed_electron_is_told_by_signal(any_world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def vanish():
        print("so far, so good", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    @ct.lattice
    def workflow():
        return vanish()

    ran = any_world.failed(workflow)

    node = ran.node("vanish")
    assert (node.status, node.stdout) == ("FAILED", "so far, so good\n")
    assert node.error.startswith("`vanish` (Batch job ")
    assert "signal 9" in node.error


def test_a_cancelled_dispatch_ends_its_job(any_world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def sleep():
        print("asleep", flush=True)
        time.sleep(600)

    @ct.lattice
    def workflow():
        return sleep()

    before = set(any_world.jobs())
    dispatch_id = any_world.dispatch(workflow)
    job = any_world.wait_for_job("RUNNING", beyond=before)
    any_world.cancel(dispatch_id)
    ran = any_world.end_of(dispatch_id)

    assert ran.status == "CANCELLED"
    assert ran.node("sleep").status == "CANCELLED"
    assert any_world.wait_for_job("FAILED", beyond=before) == job
    assert "Cancelled by the user" in any_world.jobs("FAILED")[job]["statusReason"]
