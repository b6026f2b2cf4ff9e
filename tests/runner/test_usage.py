# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The usage in a task's result: time, CPU, memory and bytes, however the task ended."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.runner.protocol.envelope import Usage
from tests.runner.bench import Container, OutputOf, Ran
from tests.runner.test_shared_container import Shared

MIB = 1024 * 1024
CPU_SECONDS, MEMORY = 0.3, 64 * MIB


def burner() -> Callable[[str], bytes]:
    """Return a function that travels by value, uses CPU time and memory, and ends in one of several ways."""

    def burn(ending: str) -> bytes:
        block = b"x" * MEMORY
        while sum(os.times()[:2]) < CPU_SECONDS:
            sum(range(10_000))
        if ending == "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        if ending == "raise":
            raise ValueError(len(block))
        return block[:1000]

    return burn


def usage(ran: Ran, node_id: int = 0) -> Usage:
    usage = ran.task(node_id).usage
    assert usage
    return usage


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [("return", envelope.RETURNED), ("raise", envelope.RAISED), ("sigkill", envelope.KILLED)],
)
def test_usage_of_a_task_however_it_ended_has_every_figure(container: Container, ending: str, outcome: str) -> None:
    before = time.time()
    task = container.add(burner(), ending)
    ran = container.run()
    figures = usage(ran)
    assert ran.task().outcome == outcome
    assert figures.started and figures.ended
    assert before <= figures.started <= figures.ended <= time.time()
    cpu = (figures.user_cpu_seconds or 0) + (figures.system_cpu_seconds or 0)
    assert CPU_SECONDS - 0.05 <= cpu < 20
    assert figures.peak_rss_bytes and MEMORY <= figures.peak_rss_bytes < MEMORY + 512 * MIB
    (argument,) = container.inputs.values()
    assert figures.bytes_in == task.function.size + task.hooks.size + argument.size
    assert figures.bytes_out == sum(part.size for part in ran.task().parts.values())


def test_usage_of_a_task_that_needs_another_one_counts_its_value_as_bytes_in(container: Container) -> None:
    container.add(burner(), "return")
    second = container.add(len, OutputOf(0))
    ran = container.run()
    value = ran.task(0).parts[envelope.OUTPUT].size
    assert usage(ran, 1).bytes_in == second.function.size + second.hooks.size + value
    assert (usage(ran, 0).ended or 0) <= (usage(ran, 1).started or 0)


def test_usage_of_a_task_that_never_ran_is_none(container: Container) -> None:
    container.add(burner(), "raise")
    container.add(len, OutputOf(0))
    ran = container.run()
    assert ran.task(1).outcome == envelope.NOT_RUN
    assert ran.task(1).usage is None


def test_usage_of_a_task_over_its_time_limit_has_every_figure(container: Container) -> None:
    shared = Shared(container, seconds=1.5)
    shared.add(time.sleep, 60)
    (ran,) = shared.run()
    assert ran.task().outcome == envelope.TIMED_OUT
    figures = usage(ran)
    assert figures.started and figures.ended
    assert 0.1 < figures.ended - figures.started < 20
    assert figures.peak_rss_bytes


def test_usage_of_a_task_whose_supervisor_was_killed_has_its_time_alone(container: Container) -> None:
    before = time.time()
    shared = Shared(container)
    shared.add(lambda: [os.kill(pid, signal.SIGKILL) for pid in (os.getppid(), os.getpid())])
    (ran,) = shared.run()
    figures = usage(ran)
    assert ran.task().outcome == envelope.KILLED
    assert figures.started and figures.ended
    assert before <= figures.started <= figures.ended <= time.time()
    assert (figures.user_cpu_seconds, figures.peak_rss_bytes, figures.bytes_in) == (None, None, None)


def test_usage_travels_as_plain_numbers() -> None:
    figures = Usage(1.5, 2.5, 0.25, 0.125, 4096, 10, 20)
    task = envelope.TaskResult(0, envelope.RETURNED, 0, usage=figures)
    whole = envelope.Envelope("j", 1, "3.11", (task,))
    sealed = envelope.seal(whole, b"k" * 32)
    header: Any = json.loads(sealed[48:])
    assert header["tasks"][0]["usage"]["peak_rss_bytes"] == 4096
    assert envelope.unseal(sealed, b"k" * 32, job_id="j", attempt=1) == whole
