# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Shapes of workflows: what Covalent adds to a graph, packs, nests and reuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import covalent as ct

from tests.server.covalent_world import CovalentWorld


def test_lists_dicts_items_attributes_and_unpacking_run_wherever_their_electron_runs(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def measure():
        return {"pair": (3, 4), "thing": SimpleNamespace(size=5)}

    @ct.electron(executor="awsbatch")
    def two():
        return 1, 2

    @ct.electron(executor="awsbatch")
    def collect(values, by_name):
        return values, by_name

    @ct.lattice
    def workflow():
        measured = measure()
        one, another = two()
        return collect([measured["pair"][0], one, another], {"size": measured["thing"].size})

    ran = world.completed(workflow)

    assert ran.value == ([3, 1, 2], {"size": 5})


def test_a_node_that_fails_in_a_packed_group_leaves_the_others_their_values(
    world: CovalentWorld, packing: None
) -> None:
    @ct.electron(executor="awsbatch")
    def total(numbers):
        print(f"adding {numbers}")
        raise ArithmeticError("no sum today")

    @ct.lattice
    def workflow(x):
        return total([x, 2])

    before = world.jobs().keys()
    ran = world.failed(workflow, 1)

    assert len(world.jobs().keys() - before) == 1
    node = ran.node("total")
    assert (node.status, node.stdout) == ("FAILED", "adding [1, 2]\n")
    assert "ArithmeticError: no sum today" in node.error
    assert ran.node(":electron_list:").status == "COMPLETED"
    assert ran.node(":electron_list:").output == [1, 2]


def test_a_missing_item_fails_the_node_that_takes_it_out(world: CovalentWorld, packing: None) -> None:
    @ct.electron(executor="awsbatch")
    def table():
        return {"there": 1}

    @ct.electron(executor="awsbatch")
    def double(x):
        return 2 * x

    @ct.lattice
    def workflow():
        return double(table()["missing"])

    ran = world.failed(workflow)

    assert ran.node("table").status == "COMPLETED"
    item = ran.node(":table.__getitem__")
    assert item.status == "FAILED"
    assert "KeyError: 'missing'" in item.error
    assert ran.node("double").status != "COMPLETED"


def test_a_node_whose_packed_input_failed_is_not_run(world: CovalentWorld, packing: None) -> None:
    @ct.electron(executor="awsbatch")
    def table():
        raise OSError("no table")

    @ct.electron(executor="awsbatch")
    def double(x):
        return 2 * x

    @ct.lattice
    def workflow():
        return double(table()["x"])

    before = set(world.jobs())
    ran = world.failed(workflow)

    assert "OSError: no table" in ran.node("table").error
    item = ran.node(":table.__getitem__")
    assert item.status in ("FAILED", "CANCELLED")
    assert "was not run" in item.error
    assert len(set(world.jobs()) - before) == 1


def test_everything_may_run_on_aws_batch(world: CovalentWorld) -> None:
    """Covalent's own nodes too: the builder of the sublattice, and what puts the workflow's value together."""

    @ct.electron
    def square(x):
        return x * x

    @ct.electron(executor="awsbatch")
    @ct.lattice(executor="awsbatch", workflow_executor="awsbatch")
    def squares(xs):
        return [square(x) for x in xs]

    @ct.lattice(executor="awsbatch", workflow_executor="awsbatch")
    def workflow(xs):
        return squares(xs)

    ran = world.completed(workflow, [1, 2, 3])

    assert ran.value == [1, 4, 9]


def test_an_exception_in_a_sublattice_is_found_by_its_own_result(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def divide(x):
        return 1 / x

    @ct.electron
    @ct.lattice
    def inner(x):
        return divide(x)

    @ct.lattice
    def outer(x):
        return inner(x)

    ran = world.failed(outer, 0)

    node = world.end_of(ran.inner_dispatch(":sublattice:inner")).node("divide")
    assert "ZeroDivisionError: division by zero" in node.error


def test_an_electron_knows_its_dispatch_and_node(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def who():
        context = ct.get_context()
        return context.dispatch_id, context.task_id

    @ct.lattice
    def workflow():
        return who()

    ran = world.completed(workflow)

    assert ran.value == (ran.result.dispatch_id, 0)


def test_two_dispatches_at_once_do_not_mix(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def shout(word):
        print(word)
        return word.upper()

    @ct.lattice
    def workflow(word):
        return shout(word)

    words = ["one", "two", "three"]
    ids = [world.dispatch(workflow, word) for word in words]
    ends = [world.end_of(dispatch_id) for dispatch_id in ids]

    assert [ran.value for ran in ends] == ["ONE", "TWO", "THREE"]
    assert [ran.node("shout").stdout for ran in ends] == ["one\n", "two\n", "three\n"]


def test_a_redispatch_reuses_what_succeeded(world: CovalentWorld, tmp_path: Path) -> None:
    mended, runs = tmp_path / "mended", tmp_path / "runs"

    @ct.electron(executor="awsbatch")
    def first():
        with runs.open("a") as file:
            print("first", file=file)
        return 20

    @ct.electron(executor="awsbatch")
    def second(x):
        if not mended.exists():
            raise RuntimeError("not mended yet")
        return x + 1

    @ct.lattice
    def workflow():
        return second(first())

    failed = world.failed(workflow)
    mended.touch()
    again = ct.redispatch(failed.result.dispatch_id, world.server.address, reuse_previous_results=True)()
    ran = world.end_of(again)

    assert (ran.status, ran.value) == ("COMPLETED", 21), ran
    assert runs.read_text() == "first\n"
