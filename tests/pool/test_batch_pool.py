# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""BatchPool as a user of `concurrent.futures` uses an executor, on the offline AWS."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.errors import NotPicklable, SettingError
from covalent_awsbatch_plugin.tasks.staging import RemoteTraceback
from tests.tasks.small_world import World
from tests.tasks.tasks import fail, shout, when_there

LOCAL = threading.Lock()


def live_jobs(world: World) -> list[str]:
    """The names of all jobs that have not ended, as AWS Batch tells them."""
    batch, queue = world.client("batch"), world.aws.section()["batch_queue"]
    states = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
    return [
        job["jobName"] for state in states for job in batch.list_jobs(jobQueue=queue, jobStatus=state)["jobSummaryList"]
    ]


# ---- values ---------------------------------------------------------------------------------------------------------
def test_map_gives_values_in_the_order_of_the_inputs_from_one_array(pool: BatchPool, world: World) -> None:
    before = world.sent().jobs
    assert list(pool.map(lambda x, y: x * 10 + y, range(12), itertools.count())) == [n * 11 for n in range(12)]
    submitted = world.sent().jobs - before
    assert len(submitted) <= 2, "the first call is on its way before the others arrive"


def test_chunks_run_in_one_task_each(pool: BatchPool, world: World) -> None:
    pairs = list(pool.map(lambda x: (x, os.getppid()), range(10), chunksize=4))
    assert [x for x, _ in pairs] == list(range(10))
    assert [len({parent for x, parent in pairs if x // 4 == chunk}) for chunk in range(3)] == [1, 1, 1]


def test_submit_takes_keyword_arguments_and_the_future_knows_its_job(pool: BatchPool, world: World) -> None:
    future = pool.submit(lambda text, base: int(text, base), "ff", base=16)
    assert future.result(timeout=60) == 255
    assert (future.state, future.done(), future.running()) == ("SUCCEEDED", True, False)
    assert future.job_id is not None and world.job(future.job_id)["status"] in ("SUCCEEDED", "RUNNING")


def test_unordered_values_come_as_they_are_ready(pool: BatchPool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def slow_or_fast(path: str | None) -> str:
        return when_there(path) if path else "fast"

    values = pool.map(slow_or_fast, [str(gate), None], ordered=False)
    assert next(values) == "fast"
    gate.touch()
    assert list(values) == ["it is there"]


def test_inputs_are_read_no_further_than_the_buffer(pool: BatchPool) -> None:
    read: list[int] = []

    def inputs() -> Any:
        for number in itertools.count():
            read.append(number)
            yield number

    values = pool.map(lambda x: -x, inputs(), buffersize=4)
    assert read == [0, 1, 2, 3]
    assert [next(values) for _ in range(3)] == [0, -1, -2]
    assert len(read) <= 8
    values.close()


def test_calls_of_a_map_run_without_a_reader(pool: BatchPool, tmp_path: Path) -> None:
    pool.map(lambda path: Path(path).touch(), [str(tmp_path / "a"), str(tmp_path / "b")])
    until(lambda: {path.name for path in tmp_path.iterdir()} >= {"a", "b"})


# ---- errors ---------------------------------------------------------------------------------------------------------
def test_the_functions_own_exception_is_raised_with_the_remote_traceback(pool: BatchPool) -> None:
    future = pool.submit(fail, "my own error")
    with pytest.raises(ValueError, match="my own error") as caught:
        future.result(timeout=60)
    assert isinstance(caught.value.__cause__, RemoteTraceback) and "in fail" in str(caught.value.__cause__)
    assert future.state == "FAILED"


@pytest.mark.parametrize("chunksize", [1, 3])
def test_failed_calls_are_values_where_asked_for(pool: BatchPool, chunksize: int) -> None:
    values = list(pool.map(lambda x: 12 // x, [3, 0, 4], chunksize=chunksize, return_exceptions=True))
    assert [values[0], values[2]] == [4, 3]
    assert isinstance(values[1], ZeroDivisionError)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_a_failed_call_is_raised_when_its_turn_comes(pool: BatchPool, chunksize: int) -> None:
    values = pool.map(lambda x: 12 // x, [3, 0, 4], chunksize=chunksize)
    assert next(values) == 4
    with pytest.raises(ZeroDivisionError):
        next(values)


def test_an_argument_that_cannot_be_pickled_is_the_error_of_its_call_alone(pool: BatchPool) -> None:
    values = pool.map(str, ["a", LOCAL, "c"], return_exceptions=True)
    first, second, third = values
    assert (first, third) == ("a", "c")
    assert isinstance(second, NotPicklable)


def test_an_error_of_the_inputs_is_raised_by_map(pool: BatchPool) -> None:
    def inputs() -> Any:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        pool.map(str, inputs())


def test_wrong_names_settings_and_sizes_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be 1 to 64 letters"):
        BatchPool("a/b")
    with pytest.raises(SettingError, match="memry"):
        BatchPool("a", memry=4)
    with BatchPool("a", **settings) as pool, pytest.raises(ValueError, match="chunksize"):
        pool.map(str, [1], chunksize=0)


def test_a_value_that_is_late_is_a_timeout(pool: BatchPool, tmp_path: Path) -> None:
    values = pool.map(when_there, [str(tmp_path / "gate")], timeout=0.5)
    with pytest.raises(TimeoutError):
        next(values)


# ---- the contract of concurrent.futures -----------------------------------------------------------------------------
def test_wait_and_as_completed_take_the_futures(pool: BatchPool) -> None:
    calls = [pool.submit(shout, word) for word in ("a", "b", "c")]
    done, late = futures.wait(calls, timeout=60)
    assert not late and {future.result() for future in done} == {"A", "B", "C"}
    assert sorted(future.result() for future in futures.as_completed(calls)) == ["A", "B", "C"]


def test_after_shutdown_no_call_is_accepted(settings: dict[str, Any]) -> None:
    pool = BatchPool(**settings)
    future = pool.submit(shout, "a")
    pool.shutdown()
    assert future.result() == "A"
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(shout, "b")


def test_a_call_whose_container_has_not_started_is_cancelled_and_never_runs(
    pool: BatchPool, world: World, tmp_path: Path
) -> None:
    busy = [pool.submit(when_there, str(tmp_path / "gate")) for _ in range(4)]  # all slots of the offline AWS
    until(lambda: all(future.running() for future in busy))
    late = pool.submit(lambda path: Path(path).touch(), str(tmp_path / "ran"))
    until(lambda: late.job_id is not None)
    assert late.cancel() and late.cancelled() and late.state == "CANCELLED"
    assert futures.wait([late], timeout=10).done == {late}
    assert not busy[0].cancel(), "its container runs"
    (tmp_path / "gate").touch()
    assert [future.result(timeout=60) for future in busy] == ["it is there"] * 4
    assert not (tmp_path / "ran").exists()
    with pytest.raises(futures.CancelledError):
        late.result()


def test_a_running_call_is_ended_by_the_pool(pool: BatchPool, world: World, tmp_path: Path) -> None:
    future = pool.submit(when_there, str(tmp_path / "gate"))
    until(future.running)
    pool.cancel(future)
    assert future.exception(timeout=60) is not None
    until(lambda: not live_jobs(world))


def test_leaving_by_an_exception_ends_every_job(settings: dict[str, Any], world: World, tmp_path: Path) -> None:
    calls: list[Any] = []

    def interrupted() -> None:
        with BatchPool(**settings) as pool:
            calls.extend(pool.submit(when_there, str(tmp_path / "gate")) for _ in range(6))
            until(lambda: any(future.running() for future in calls))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(future.done() for future in calls)
    until(lambda: not live_jobs(world))


def test_nothing_is_left_at_aws_or_on_the_disk(settings: dict[str, Any], world: World) -> None:
    before = world.sent()
    with BatchPool(**settings) as pool:
        assert list(pool.map(shout, ["a", "b", "c"])) == ["A", "B", "C"]
    after = world.sent()
    assert (after.objects, after.definitions) == (before.objects, before.definitions)
    assert not pool._folder.exists() or not list(pool._folder.rglob("input-*"))


def test_a_forked_child_is_told_so(settings: dict[str, Any], pool: BatchPool) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pool.submit(shout, "a")
        except RuntimeError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with open(read, "rb") as told:
        assert b"can't be used in a forked process" in told.read()


async def test_async_form(settings: dict[str, Any]) -> None:
    async with BatchPool(**settings) as pool:
        calls = [pool.submit(shout, word) for word in ("a", "b")]
        assert sorted([future.result() async for future in pool.as_completed(calls)]) == ["A", "B"]
        assert await asyncio.wrap_future(calls[0]) == "A"


# ---- other people's programs ----------------------------------------------------------------------------------------
def test_dask_computes_with_it_as_scheduler(settings: dict[str, Any]) -> None:
    import dask

    add = dask.delayed(lambda *numbers: sum(numbers))
    with BatchPool(**settings, environment="auto") as pool:  # dask's own functions run in the container
        assert dask.compute(add(add(1, 2), add(3, 4)), scheduler=pool) == (10,)


def test_importing_it_imports_neither_covalent_nor_an_aws_library_until_it_is_asked_for() -> None:
    code = (
        "import sys, covalent_awsbatch_plugin as p; a = {'aiobotocore', 'covalent'} & set(sys.modules); p.BatchPool; "
    )
    code += "print(sorted(a), 'covalent' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "[] False\n"


def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
