# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Cancelling: whatever state a node is in, it ends CANCELLED and nothing of it runs on."""

from __future__ import annotations

import time

import covalent as ct

from tests.server.covalent_world import LIVE, CovalentWorld, wait_until


def sleeper():
    @ct.electron(executor="awsbatch")
    def asleep():
        time.sleep(600)

    return asleep


def test_nodes_that_wait_for_a_cancelled_one_never_begin(world: CovalentWorld) -> None:
    first = sleeper()

    @ct.electron(executor="awsbatch")
    def second(x):
        return x

    @ct.lattice
    def workflow():
        return second(first())

    before = set(world.jobs())
    dispatch_id = world.dispatch(workflow)
    job = world.wait_for_job("RUNNING", beyond=before)
    world.cancel(dispatch_id)
    ran = world.end_of(dispatch_id)

    assert ran.status == "CANCELLED", ran
    assert ran.node("asleep").status == "CANCELLED"
    assert ran.node("second").status != "COMPLETED"
    assert world.wait_for_job("FAILED", beyond=before) == job
    assert set(world.jobs()) - before == {job}


def test_a_cancel_that_comes_before_the_job_is_submitted_leaves_nothing_running(world: CovalentWorld) -> None:
    electron = sleeper()

    @ct.lattice
    def workflow():
        return electron()

    dispatch_id = world.dispatch(workflow)
    world.cancel(dispatch_id)
    ran = world.end_of(dispatch_id)

    assert ran.status == "CANCELLED", ran
    wait_until(lambda: not world.jobs(*LIVE), "the end of every job", world.server.last_words)


def test_what_was_printed_before_the_cancel_is_kept(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def speak():
        print("I had something to say", flush=True)
        time.sleep(600)

    @ct.lattice
    def workflow():
        return speak()

    before = set(world.jobs())
    dispatch_id = world.dispatch(workflow)
    job = world.wait_for_job("RUNNING", beyond=before)
    wait_until(lambda: "something to say" in world.log(job), "its output in the log", world.server.last_words)
    world.cancel(dispatch_id)
    node = world.end_of(dispatch_id).node("speak")

    assert (node.status, node.stdout) == ("CANCELLED", "I had something to say\n")


def test_one_of_two_tasks_of_an_array_is_cancelled_alone(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def wait(seconds):
        print("waiting", flush=True)
        time.sleep(seconds)
        return seconds

    @ct.lattice
    def workflow():
        return wait(600), wait(3)

    before = set(world.jobs())
    dispatch_id = world.dispatch(workflow)
    wait_until(lambda: len(world.running(beyond=before)) == 2, "two tasks running", world.server.last_words)
    ct.cancel(dispatch_id, task_ids=[0], dispatcher_addr=world.server.address)
    ran = world.end_of(dispatch_id)

    assert ran.status == "CANCELLED", ran
    assert ran.by_id(0).status == "CANCELLED"
    assert (ran.by_id(2).status, ran.by_id(2).output) == ("COMPLETED", 3)


def test_cancelling_what_has_ended_changes_nothing(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def quick():
        return 1

    @ct.lattice
    def workflow():
        return quick()

    ran = world.completed(workflow)
    world.cancel(ran.result.dispatch_id)

    again = world.end_of(ran.result.dispatch_id)
    assert (again.status, again.value, again.node("quick").status) == ("COMPLETED", 1, "COMPLETED")
