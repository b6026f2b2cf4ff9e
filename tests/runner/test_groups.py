# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in one job: a packed group."""

from __future__ import annotations

import sys
from typing import Any

from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import Container, OutputOf


def test_a_value_goes_from_task_to_task(container: Container) -> None:
    container.add(lambda x: x + 1, 1)
    container.add(lambda x, y: (x, y), OutputOf(0), y=OutputOf(0))
    ran = container.run()
    assert (ran.exit_code, ran.value(0), ran.value(1)) == (0, 2, (2, 2))


def test_each_task_has_its_own_streams(container: Container) -> None:
    for word in ("one", "two"):
        container.add(print, word)
    ran = container.run()
    assert [ran.text(envelope.STDOUT, node) for node in (0, 1)] == ["one\n", "two\n"]
    assert ran.stdout == b"one\ntwo\n"


def test_what_needs_a_failed_task_does_not_run_and_the_others_do(container: Container) -> None:
    def fail() -> Any:
        raise RuntimeError("task 0")

    container.add(fail)
    container.add(lambda x: x, OutputOf(0), name="needs 0")
    container.add(lambda x: x, OutputOf(1), name="needs 1")
    container.add(lambda: "independent")
    ran = container.run()
    assert ran.exit_code == layout.RAISED.code
    assert [ran.ended(node)[0] for node in range(3)] == [envelope.RAISED, envelope.NOT_RUN, envelope.NOT_RUN]
    assert ran.value(3) == "independent"
    assert ran.ended(1) == (envelope.NOT_RUN, None, None)
    assert "needs 1 was not run: it needs the value of node 1" in ran.text(envelope.ERROR, 2)
    assert envelope.STDOUT not in ran.task(1).parts


def test_a_crash_of_one_task_is_nothing_to_the_next(container: Container) -> None:
    container.add(lambda: sys.modules["os"]._exit(9))
    container.add(lambda: "alive")
    ran = container.run()
    assert (ran.ended(0), ran.value(1)) == ((envelope.EXITED, 9, None), "alive")


def test_a_process_of_an_array_runs_its_own_task(container: Container) -> None:
    container.index = 7
    container.env[layout.ENV_ARRAY_INDEX] = "7"
    container.add(lambda: 7)
    assert container.run().value() == 7
