# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The executor without a server: `run` called by anybody, and as Covalent's dispatcher calls it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent._workflow.depscall import DepsCall
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor import _executor_manager
from covalent.executor.utils.enums import Signals
from covalent.executor.utils.wrappers import wrapper_fn

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.errors import NotPicklable, Raised, SettingError
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.tasks.cache_folder import cache_folder
from covalent_awsbatch_plugin.tasks.staging_dirs import remove_old_soon
from tests.tasks.small_world import World


def client(aws: LocalAWS, service: str) -> Any:
    session = botocore.session.Session(profile=aws.section()["profile"])
    session.set_config_variable("credentials_file", aws.section()["credentials"])
    return session.create_client(service)


META = {"dispatch_id": "direct", "node_id": 0, "results_dir": ""}


async def test_run_gives_the_value_of_a_plain_function(executor: Any) -> None:
    def add(x, y=0):
        return x + y

    assert await executor.run(add, [1], {"y": 2}, META) == 3


async def test_run_raises_the_functions_own_exception_with_its_remote_traceback(executor: Any) -> None:
    def divide(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError) as error:
        await executor.run(divide, [0], {}, META)

    assert ", in divide\n" in str(error.value.__cause__)


async def test_run_raises_ours_where_the_functions_own_cannot_be_had_here(executor: Any) -> None:
    def fail():
        class Foreign(Exception):
            def __reduce__(self):
                raise TypeError("I do not travel")

        raise Foreign("far away")

    with pytest.raises(Raised, match="Foreign"):
        await executor.run(fail, [], {}, META)


async def test_run_says_what_cannot_be_sent(executor: Any) -> None:
    with pytest.raises(NotPicklable, match="A generator can't be sent"):
        await executor.run(len, [(x for x in "abc")], {}, META)


async def test_two_runs_side_by_side_do_not_mix(executor: Any) -> None:
    def double(x):
        return 2 * x

    doubled = await asyncio.gather(*(executor.run(double, [x], {}, META | {"node_id": x}) for x in range(4)))

    assert doubled == [0, 2, 4, 6]


async def test_run_leaves_nothing_staged(executor: Any, tmp_path: Path) -> None:
    await executor.run(max, [1, 2], {}, META)

    assert list(tmp_path.glob("*/direct/0/out"))
    assert list(tmp_path.glob("*/direct/0/in*")) == []


async def test_a_run_has_what_is_a_day_old_removed(executor: Any) -> None:
    folder = cache_folder(executor.settings().cache_dir)
    old = folder / "an-old-dispatch" / "0" / "out"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    remove_old_soon.cache_clear()
    await executor.run(lambda: None, [], {}, {"dispatch_id": "d", "node_id": 0})
    remove_old_soon(executor.settings().cache_dir).join()
    assert not old.parent.parent.exists()


async def test_a_run_that_nobody_waits_for_any_more_ends_its_job(executor: Any, offline_aws: LocalAWS) -> None:
    def sleep():
        import time

        time.sleep(600)

    batch = client(offline_aws, "batch")

    def jobs(status: str) -> dict[str, str]:
        listed = batch.list_jobs(jobQueue=executor.batch_queue, jobStatus=status)["jobSummaryList"]
        return {job["jobId"]: job.get("statusReason", "") for job in listed}

    running = asyncio.create_task(executor.run(sleep, [], {}, META))
    while not jobs("RUNNING"):
        assert not running.done()
        await asyncio.sleep(0.1)
    (job_id,) = jobs("RUNNING")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    while job_id not in jobs("FAILED"):
        await asyncio.sleep(0.1)
    assert "stopped" in jobs("FAILED")[job_id]


SCRIPT = """
import asyncio
from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor

def double(x):
    return 2 * x

for number in range(3):
    meta = {{"dispatch_id": f"script-{{number}}", "node_id": 0, "results_dir": ""}}
    print(asyncio.run(AWSBatchExecutor(**{settings!r}).run(double, [number], {{}}, meta)))
"""


async def test_loops_that_end_after_run_leave_nothing_and_print_nothing(
    offline_aws: LocalAWS, python: Any, tmp_path: Path
) -> None:
    world = World(offline_aws, tmp_path)
    await world.value(world.settings(), str, "the base image is copied into the repository once, and stays")
    await close_shared()
    before = world.sent()
    settings = offline_aws.section() | {"cache_dir": str(tmp_path), "poll_freq": 0.1}
    assert await asyncio.to_thread(python, SCRIPT.format(settings=settings)) == "0\n2\n4\n"
    after = world.sent()
    assert (after.images, after.definitions, after.objects) == (before.images, before.definitions, before.objects)
    assert len(after.jobs - before.jobs) == 3


# ---- as Covalent's dispatcher does it ------------------------------------------------------------------------------
@asynccontextmanager
async def dispatcher(executor: Any) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
    """A fresh instance from the client's JSON, with the dispatcher's private channel; yields what it was told too."""
    sent = json.loads(json.dumps(executor.to_dict()))
    made = _executor_manager.get_executor(sent["short_name"])
    made.from_dict(sent)
    made._init_runtime(loop=asyncio.get_running_loop(), cancel_pool=None)
    told: dict[str, Any] = {}

    async def watch() -> None:
        while True:
            action, body = await made._send_queue.get()
            if action == Signals.EXIT:
                return
            if action == Signals.GET:
                made._recv_queue.put_nowait((True, {"cancel_requested": False}[body]))
            else:
                told[body[0]] = body[1]
                made._recv_queue.put_nowait((True, None))

    watching = asyncio.create_task(watch())
    yield made, told
    await watching


async def executed(executor: Any, function: Any, *args: Any, node_id: int = 0) -> tuple[Any, ...]:
    async with dispatcher(executor) as (made, told):
        output, stdout, stderr, status = await made._execute(
            function=partial(wrapper_fn, TransportableObject(function), [], []),
            args=[TransportableObject(arg) for arg in args],
            kwargs={},
            dispatch_id="legacy",
            results_dir=executor.cache_dir,
            node_id=node_id,
        )
        assert "job_id" in json.loads(told["job_handle"])
        return output, stdout, stderr, status


async def test_execute_gives_a_transportable_object_and_the_streams(executor: Any) -> None:
    def shout(word):
        print("out", word)
        print("err", word, file=sys.stderr)
        subprocess.run(["echo", "child"], check=True)
        return word.upper()

    output, stdout, stderr, status = await executed(executor, shout, "hello")

    assert isinstance(output, TransportableObject)
    assert output.get_deserialized() == "HELLO"
    assert (stdout, stderr, status) == ("out hello\nchild\n", "err hello\n", RESULT_STATUS.COMPLETED)


async def test_execute_keeps_streams_and_the_reason_of_a_failure(executor: Any) -> None:
    def fail():
        print("so far")
        raise LookupError("nothing there")

    output, stdout, stderr, status = await executed(executor, fail)

    assert (output, stdout, status) == (None, "so far\n", RESULT_STATUS.FAILED)
    assert "LookupError: nothing there" in stderr
    assert "`fail` (Batch job " in stderr


async def test_hooks_need_the_managed_path_and_run_says_so(executor: Any) -> None:
    hook = DepsCall(print, args=["before"])
    wrapped = partial(wrapper_fn, TransportableObject(len), [hook], [])

    with pytest.raises(SettingError, match="`run` does not run an electron's hooks"):
        await executor.run(wrapped, [TransportableObject("abc")], {}, META)


# ---- cancel, and receive without data ------------------------------------------------------------------------------
NODE = {"dispatch_id": "nobody's", "node_id": 3}
HANDLE = {"job_id": "7d3bb84c-8fd4-4d0a-b2a9-000000000000", "name": "f", "content": "", "bucket": "b", "prefix": "p"}


@pytest.mark.parametrize("handle", [None, HANDLE | {"image": "i"}], ids=["none", "unknown job"])
async def test_cancel_of_what_does_not_run_is_true(executor: Any, handle: Any) -> None:
    assert await executor.cancel(NODE, handle) is True


@pytest.mark.parametrize(
    "handle", ["null", {}, [], {"job": "of another version"}], ids=["text", "empty", "list", "foreign"]
)
async def test_cancel_with_an_unreadable_handle_is_false(
    executor: Any, handle: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert await executor.cancel(NODE, handle) is False
    assert "The job of node 3 could not be ended: The handle of a job " in caplog.text


async def test_nodes_that_were_cancelled_before_they_began_are_cancelled(executor: Any) -> None:
    group = {"dispatch_id": "direct", "task_group_id": 4, "node_ids": [4, 5]}

    updates = await executor.receive(group, None)

    assert [(each.node_id, each.status, each.assets) for each in updates] == [
        (4, RESULT_STATUS.CANCELLED, {}),
        (5, RESULT_STATUS.CANCELLED, {}),
    ]
