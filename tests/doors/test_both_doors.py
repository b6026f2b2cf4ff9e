# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The same behaviour through both doors: what an electron has, a call of BatchPool has.

How tasks end, attempt by attempt, is in tests/faults/test_outcomes.py, for both doors too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import cloudpickle
import pytest

from covalent_awsbatch_plugin import attempt, on_stop, state_prefix
from covalent_awsbatch_plugin.errors import AWSBatchError, Exited, NotPicklable
from tests.doors.conftest import Door
from tests.tasks.small_world import World

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def divide(x: int) -> int:
    return 12 // x


def divide_on_the_second_attempt() -> int:
    if attempt() == 1:
        raise ZeroDivisionError("not yet")
    return attempt()


def leave_on_the_first_attempt(path: str) -> str:
    Path(path).write_text(f"{attempt()}")
    sys.exit(7)


def container() -> tuple[str, int]:
    time.sleep(0.3)
    return os.environ["AWS_BATCH_JOB_ID"], os.getppid()


def waits(began: str, saved: str) -> None:
    with on_stop(lambda seconds: Path(saved).write_text(f"{seconds}") and sys.exit(0)):
        Path(began).touch()
        time.sleep(600)


def places() -> tuple[bool, bool, str]:
    import importlib.util

    import idna

    covalent = importlib.util.find_spec("covalent")
    return "covalent/env" in str(idna.__file__), covalent is None, str(idna.__version__)


async def test_own_exceptions_and_other_ends_are_raised_and_end_no_neighbour(door: Door, tmp_path: Path) -> None:
    calls = await door.start(
        [(divide, (3,)), (divide, (0,)), (leave_on_the_first_attempt, (str(tmp_path / "ran"),)), (divide, (4,))]
    )
    values = await asyncio.gather(*calls, return_exceptions=True)
    assert (values[0], values[3]) == (4, 3)
    assert isinstance(values[1], ZeroDivisionError) and ", in divide\n" in str(values[1].__cause__)
    assert isinstance(values[2], Exited) and "exited with code 7" in str(values[2])
    assert (tmp_path / "ran").read_text() == "1", "an exit of the function's own is not retried"


async def test_an_exception_that_retry_exceptions_names_runs_the_function_again(door: Door) -> None:
    assert await door.value(divide_on_the_second_attempt, retry_exceptions="ZeroDivisionError") == 2


async def test_tasks_that_share_a_container_have_an_outcome_each(door: Door) -> None:
    calls = [(container, ()), (container, ()), (divide, (0,)), (container, ())]
    started = await door.start(calls, tasks_per_job=4, parallel_tasks=2, max_array_size=1, array_linger=5)
    *values, last = await asyncio.gather(*started, return_exceptions=True)
    assert isinstance(values[2], ZeroDivisionError)
    assert len({job for job, _ in (*values[:2], last)}) <= 2, "a lone call may go ahead of the others"


async def test_a_payload_in_s3_makes_no_image_of_its_own(door: Door, world: World) -> None:
    assert await door.value(divide, 3, payload="s3") == 4  # the shared image of such jobs
    before = world.sent()
    assert await door.value(divide, 4, payload="s3") == 3
    after = world.sent()
    assert (after.images, after.definitions) == (before.images, before.definitions)


async def test_nothing_stays_at_aws_after_the_results_are_read(door: Door, world: World) -> None:
    assert await door.value(divide, 2) == 6
    await door.close()
    before = world.sent()
    assert await door.value(divide, 1) == 12
    await door.close()
    after = world.sent()
    assert (after.images, after.definitions, after.objects) == (before.images, before.definitions, before.objects)


async def test_a_call_that_is_ended_has_its_last_seconds(door: Door, world: World, tmp_path: Path) -> None:
    began, saved = tmp_path / "began", tmp_path / "saved"
    (call,) = await door.start([(waits, (str(began), str(saved)))])
    async with asyncio.timeout(60):
        while not began.exists():
            await asyncio.sleep(0.1)
        await door.end(call)
        with pytest.raises((asyncio.CancelledError, AWSBatchError)):
            await call
        while not saved.exists():
            await asyncio.sleep(0.1)
    assert float(saved.read_text()) > 0


async def test_auto_brings_what_the_function_imports_and_not_covalent(door: Door) -> None:
    import idna

    assert await door.value(places, environment="auto") == (True, True, idna.__version__)


async def test_a_task_has_a_place_for_its_state(door: Door, world: World) -> None:
    prefix = await door.value(state_prefix)
    assert str(prefix).startswith(f"s3://{world.aws.section()['s3_bucket_name']}/covalent-awsbatch/results/")


async def test_what_cannot_be_pickled_is_told_with_its_reason(door: Door) -> None:
    with pytest.raises(NotPicklable, match="A generator can't be sent"):
        await door.value(len, (x for x in "abc"))
