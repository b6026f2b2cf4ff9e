# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a user may rely on, in two worlds that different people wrote: docs/conformance.md has the differences.

Each test runs under exactly the policies that `iam` prints; when it has ended, all its requests are checked against
AWS's models.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from click.testing import CliRunner

from covalent_awsbatch_plugin import BatchPool, errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.iam import dispatcher
from covalent_awsbatch_plugin.infra.checks import OK
from covalent_awsbatch_plugin.infra.doctor import Doctor
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.local.provision import ACCOUNT
from covalent_awsbatch_plugin.tasks import clean
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from tests.conformance.world import World as Aws
from tests.dependencies.index import Index
from tests.faults.tasks import RAN, answer, fail, slowly
from tests.infra.people import PULL_BASE, without
from tests.infra.test_least_privilege import print_and_die
from tests.tasks.electron import Electron, until_ended
from tests.tasks.small_world import World, stdout_of

pytestmark = [pytest.mark.cloud, pytest.mark.usefixtures("record")]
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MIB = 1 << 20
CALLS = 30
BIG_MIB = 50


def square(number: int) -> int:
    return number * number


def reversed_digest(data: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(data).hexdigest(), data[::-1]


async def test_one_task_returns_its_value_and_its_output(world: World) -> None:
    electron = Electron(world, world.settings(), answer)
    await electron.send()
    result = await electron.end()
    assert (result.error, stdout_of(result)) == (None, f"{RAN}\n")


async def test_a_payload_by_s3_runs_as_one_by_image(world: World) -> None:
    assert await world.value(world.settings(payload="s3"), square, 7) == 49


async def test_thirty_calls_share_one_array_and_return_in_order(world: World) -> None:
    def run() -> list[int]:
        settings = {**world.aws.section(), **world.changed, "poll_freq": 0.2, "cache_dir": str(world.folder)}
        with BatchPool(**settings, array_linger=1) as pool:
            return list(pool.map(square, range(CALLS)))

    before = world.sent().jobs
    assert await asyncio.to_thread(run) == [number * number for number in range(CALLS)]
    arrays = [world.job(job) for job in world.sent().jobs - before]
    assert sum(job.get("arrayProperties", {}).get("size", 1) for job in arrays) == CALLS
    assert len(arrays) <= 3


async def test_a_failed_task_raises_its_own_exception_and_leaves_its_output(world: World) -> None:
    result = await world.run(world.settings(), fail)
    assert isinstance(result.error, errors.Raised)
    assert "raised ZeroDivisionError" in str(result.error)
    assert RAN in stdout_of(result)


async def test_a_dead_container_is_told_with_the_last_line_of_its_log(world: World) -> None:
    result = await world.run(world.settings(retry_attempts=1), print_and_die)
    assert isinstance(result.error, errors.AWSBatchError)
    assert "last words" in stdout_of(result)


async def cancelled_in(world: World, state: str, electron: Electron) -> str:
    """Cancel once the job is in a state; return the output of the task."""
    await electron.send()
    ending = asyncio.ensure_future(electron.end())
    async with asyncio.timeout(60):
        while (seen := world.job(electron.handle.job_id)["status"]) != state:
            assert seen not in ("SUCCEEDED", "FAILED"), seen
            await asyncio.sleep(0.02)
    await electron.cancel()
    result = await ending
    assert isinstance(result.error, errors.Cancelled)
    await until_ended(world, electron.handle.job_id)
    return stdout_of(result)


async def test_a_cancel_in_runnable_ends_a_job_that_never_began(world: World) -> None:
    electron = Electron(world, world.settings(), answer)
    world.aws.fault(faults.STUCK, of=f"covalent-{electron.group.dispatch_id}-0", text="CAPACITY:X", times=None)
    assert await cancelled_in(world, "RUNNABLE", electron) == ""


async def test_a_cancel_in_starting_ends_the_job(world: World) -> None:
    electron = Electron(world, world.settings(), slowly, 60)
    await electron.send()
    ending = asyncio.ensure_future(electron.end())
    while world.job(electron.handle.job_id)["status"] not in ("STARTING", "RUNNING"):
        await asyncio.sleep(0.02)
    await electron.cancel()
    assert isinstance((await ending).error, errors.Cancelled)
    await until_ended(world, electron.handle.job_id)


async def test_a_cancel_in_running_ends_the_job(world: World) -> None:
    await cancelled_in(world, "RUNNING", Electron(world, world.settings(), slowly, 60))


async def test_a_cancel_before_the_job_leaves_submits_nothing(world: World) -> None:
    electron = Electron(world, world.settings(), answer)
    before = world.sent()
    electron.task.cancelled = True
    with pytest.raises(errors.Cancelled):
        await electron.send()
    assert world.sent() == before


async def test_a_cancel_after_the_end_leaves_the_value(world: World) -> None:
    electron = Electron(world, world.settings(), answer)
    await electron.send()
    await until_ended(world, electron.handle.job_id)
    await electron.cancel()
    assert (await electron.end()).error is None


async def test_fifty_mb_come_back_as_they_went(world: World) -> None:
    data = hashlib.shake_256(b"both ways").digest(BIG_MIB * MIB)
    digest, back = await world.value(world.settings(max_baked_mib=1), reversed_digest, data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert back == data[::-1]


async def test_packages_travel_as_layers(world: World, index: Index, tmp_path: Path) -> None:
    index.add("tiny", files={"tiny/__init__.py": "version = '1.0'\n"})
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("def task():\n import tiny\n return tiny.version\n", names)
    assert await world.value(world.settings(environment="tiny"), names["task"]) == "1.0"


async def test_nothing_is_left_once_results_were_read(world: World) -> None:
    settings = world.settings(max_baked_mib=0, time_limit=907)
    assert await world.value(settings, square, 3) == 9  # brings the base image, which stays
    await close_shared()
    before = world.sent()
    assert await world.value(settings, square, 4) == 16
    await close_shared()
    after = world.sent()
    assert (after.images, after.definitions, after.objects) == (before.images, before.definitions, before.objects)


async def test_clean_removes_what_a_lost_task_left(world: World) -> None:
    settings = world.settings(max_baked_mib=0, time_limit=908)
    before = world.sent()
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(world.stage(square, 5)))
        await client.wait(settings, handle)
    assert world.sent().objects - before.objects
    async with connect(settings) as client:
        found = await clean.find(client.services, settings, datetime.now(UTC) + timedelta(hours=1))
        await clean.remove(client.services, settings, found)
    assert world.sent().objects == frozenset()


async def test_doctor_finds_all_well(world: World) -> None:
    settings = world.settings(credentials=world.aws.section()["credentials"])
    async with connect(settings) as client:
        findings = [each async for each in Doctor(client.services, settings).findings()]
    wrong = [f"{each.name}: {each.text}" for each in findings if each.state != OK]
    assert not wrong, "\n".join(wrong)
    assert len(findings) > 10


SOME_CHECKS = ("doctor", "task", "array")  # the others take minutes


def test_check_finds_jobs_that_end_as_the_model_of_batch_says(world: World, aws: Aws, tmp_path: Path) -> None:
    options = aws.section()
    words = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    if not os.environ.get("SOAK"):
        words += [part for name in SOME_CHECKS for part in ("--only", name)]
    done = CliRunner().invoke(main, ["check", "--yes", "--json", str(tmp_path / "record.json"), *words])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    # a process needs less than a DescribeJobs call to start, so that a cancel in STARTING can come too late
    states = {each["name"]: each["state"] for each in record["checks"] if each["name"] != "cancel-starting"}
    assert set(states.values()) == {"ok"}, done.output
    assert len(states) >= len(SOME_CHECKS)
    assert record["differences"] == []


def test_iam_prints_the_policy_that_the_tests_run_under(aws: Aws, tmp_path: Path, world: World) -> None:
    options = {"credentials": world.aws.section()["credentials"], "profile": "local", "region": aws.region}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    printed = CliRunner().invoke(main, ["iam", "--role", "dispatcher", *words])
    assert printed.exit_code == 0, printed.output
    names = configured_names(world.settings(), ACCOUNT, aws.region)
    assert json.loads(printed.stdout)["Statement"] == dispatcher(names)


SIDS = ("SubmitJobs", "RegisterJobDefinitions", "PassRolesToJobs", "PushImages", "WriteInputs")


@pytest.mark.parametrize(("sid", "time_limit"), [(sid, 1200 + number) for number, sid in enumerate(SIDS)])
async def test_without_a_statement_the_missing_action_is_told(
    world: World, aws: Aws, tmp_path: Path, sid: str, time_limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    whole = dispatcher(configured_names(world.settings(), ACCOUNT, aws.region))
    (missing,) = (statement["Action"] for statement in whole if statement["Sid"] == sid)
    credentials = aws.user([*without(whole, sid), PULL_BASE], tmp_path)
    with pytest.raises(errors.AWSBatchError) as told:
        await world.value(world.settings(credentials=credentials, max_baked_mib=0, time_limit=time_limit), square, 1)
    assert any(action in str(told.value) + caplog.text for action in missing), str(told.value)
