# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""kill -9 of the client; then another process is asked for the same tasks, and takes over what is there."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.core.user_dirs import data_dir
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.late_jobs import job_of
from covalent_awsbatch_plugin.tasks.ledger import Entry, Ledger
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.client import Client
from tests.faults.driver import DISPATCH
from tests.faults.tasks import wait_and_count, wait_and_do
from tests.faults.test_kill import A_JOB, NOTHING

WHILE_IT_RUNS = "before batch:DescribeJobs ran"
MUCH = "x" * 400_000


def written(path: Path, text: str) -> None:
    """All at once, for somebody waits for the file."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


@pytest.mark.parametrize("step", A_JOB)
async def test_whatever_the_step_the_job_is_taken_over_and_the_task_runs_once(client: Client, step: str) -> None:
    before = len(client.jobs())
    if "GetObject" in step:
        client.may_go_on()
    await client.killed(step)
    handles = await client.asks_again()
    client.may_go_on()
    (result,) = await client.reads(handles)
    assert value_of(result) == MUCH
    assert client.ran == b"1"
    assert len(client.jobs()) == before + 1
    assert "There are no results to collect." in await client.says(
        "collect", "--into", str(client.folder / "collected")
    )


@pytest.mark.parametrize("step", NOTHING)
async def test_where_there_was_no_job_yet_one_is_submitted(client: Client, step: str) -> None:
    before = len(client.jobs())
    client.may_go_on()
    await client.killed(step)
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"1", before + 1)


async def test_one_that_ended_well_meanwhile_is_read(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    client.may_go_on()
    await client.until_all_ended()
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"1", before + 1)


async def test_one_that_failed_is_tried_anew(client: Client) -> None:
    before = len(client.jobs())
    client.stage(wait_and_do, [str(client.folder)])
    await client.killed(WHILE_IT_RUNS)
    written(client.folder / "go", "fail")
    await client.until_all_ended()
    written(client.folder / "go", "well")
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), client.ran, len(client.jobs())) == ("well", b"11", before + 2)


async def test_one_that_was_ended_is_tried_anew(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    await client.says("reap", "--yes")
    client.may_go_on()
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), len(client.jobs())) == (MUCH, before + 2)


async def test_another_argument_is_another_task(client: Client, tmp_path: Path) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    other = tmp_path / "other"
    other.mkdir()
    client.stage(wait_and_count, [str(other)])
    (other / "go").touch()
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), (other / "ran").read_bytes(), len(client.jobs())) == (MUCH, b"1", before + 2)
    client.may_go_on()
    await client.until_all_ended()


async def test_one_of_another_account_is_not_looked_for_in_this_one(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    client.may_go_on()
    await client.until_all_ended()
    (noted,) = (each for each in (data_dir() / "jobs").glob("*.json") if f'"{DISPATCH}"' in each.read_text())
    text = noted.read_text()
    account = client.world.client("sts").get_caller_identity()["Account"]
    noted.write_text(text.replace(f":{account}:", ":210987654321:"))
    assert "There are no results to collect." in await client.says(
        "collect", "--into", str(client.folder / "collected")
    )
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"11", before + 2)
    noted.write_text(text)
    assert "Collected 1 results into " in await client.says("collect", "--into", str(client.folder / "collected"))


async def test_results_are_collected_where_the_queue_is_gone(client: Client) -> None:
    await client.killed(WHILE_IT_RUNS)
    client.may_go_on()
    await client.until_all_ended()
    client.options += ["--batch-queue", "gone", "--ecr-repo-name", "gone"]
    assert "Collected 1 results into " in await client.says("collect", "--into", str(client.folder / "collected"))


async def test_another_dispatch_takes_nothing_from_this_one(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    same = client.world.stage(wait_and_count, str(client.folder))
    async with connect(client.settings) as opened:
        other = await opened.submit(client.settings, Task.of(same))
    (theirs,) = await client.asks_again()
    assert other.job_id != theirs.job_id
    client.may_go_on()
    (result,) = await client.reads([theirs])
    assert (value_of(result), len(client.jobs())) == (MUCH, before + 1)


async def test_a_result_that_somebody_changed_is_not_taken(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    client.may_go_on()
    await client.until_all_ended()
    s3, bucket = client.world.client("s3"), client.settings.s3_bucket_name
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{layout.S3_ROOT}/results/killed/0/")["Contents"]
    for key in [each["Key"] for each in found if each["Key"].endswith(f"/{layout.RESULT_NAME}")]:
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.put_object(Bucket=bucket, Key=key, Body=data[:-1] + bytes([data[-1] ^ 1]))
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"11", before + 2)


@pytest.mark.parametrize("sharing", [{}, {"tasks_per_job": 2, "parallel_tasks": 2}, {"tasks_per_job": 4}])
async def test_of_an_array_and_of_shared_containers_each_task_is_taken_over(
    client: Client, tmp_path: Path, sharing: dict[str, int]
) -> None:
    before, folders = len(client.jobs()), [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
        (folder / "go").write_text(folder.name)
    (folders[0] / "go").unlink()  # so that there is one that runs when the client dies
    client.stage(wait_and_do, [str(folder) for folder in folders])
    client.set(array_linger=9, max_array_size=3, **sharing)
    await client.killed(f"before batch:DescribeJobs {folders[0].name}/ran")
    assert len(client.jobs()) == before + 1
    handles = await client.asks_again()
    written(folders[0] / "go", "a")
    assert [value_of(result) for result in await client.reads(handles)] == ["a", "b", "c"]
    assert [(folder / "ran").read_bytes() for folder in folders] == [b"1", b"1", b"1"]
    assert len(client.jobs()) == before + 1


async def test_of_an_array_only_what_failed_is_tried_anew(client: Client, tmp_path: Path) -> None:
    before, folders = len(client.jobs()), [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    client.stage(wait_and_do, [str(folder) for folder in folders])
    client.set(array_linger=9, max_array_size=3)
    await client.killed(f"before batch:DescribeJobs {folders[0].name}/ran")
    for folder, does in zip(folders, ("well", "fail", "well"), strict=True):
        written(folder / "go", does)
    await client.until_all_ended()
    written(folders[1] / "go", "better")
    results = await client.reads(await client.asks_again())
    assert [value_of(result) for result in results] == ["well", "better", "well"]
    assert [(folder / "ran").read_bytes() for folder in folders] == [b"1", b"11", b"1"]
    assert len(client.jobs()) == before + 2


async def test_what_was_taken_over_can_be_cancelled(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    (handle,) = await client.asks_again()
    reading = asyncio.ensure_future(client.reads([handle]))
    async with connect(client.settings) as opened:
        await opened.cancel(handle.job_id, handle.member)
    (result,) = await reading
    assert isinstance(result.error, errors.Cancelled)
    assert len(client.jobs()) == before + 1


async def test_a_cancel_that_came_first_ends_it(client: Client) -> None:
    await client.killed(WHILE_IT_RUNS)
    (group,) = client.groups
    cancelled = Task.of(group)
    cancelled.cancelled = True
    async with connect(client.settings) as opened:
        handle = await opened.submit(client.settings, cancelled)
    (result,) = await client.reads([handle])
    assert isinstance(result.error, errors.Cancelled)


async def test_what_was_taken_over_leaves_nothing_at_aws(client: Client) -> None:
    before = client.world.sent()
    await client.killed(WHILE_IT_RUNS)
    client.may_go_on()
    await client.reads(await client.asks_again())
    await close_shared()  # what is due is swept then
    after = client.world.sent()
    assert (after.definitions, after.objects) == (before.definitions, before.objects)
    assert after.images == before.images


async def test_of_what_came_by_s3_and_was_taken_over_the_object_goes_and_the_environments_stays(client: Client) -> None:
    client.set(payload="s3", time_limit=4242)  # a definition of its own
    before = client.world.sent()
    await client.killed(WHILE_IT_RUNS)
    client.may_go_on()
    (result,) = await client.reads(await client.asks_again())
    assert value_of(result) == MUCH
    assert client.world.sent().objects > before.objects
    await close_shared()
    after = client.world.sent()
    assert after.objects == before.objects
    assert len(after.definitions - before.definitions) == 1


async def test_one_that_raises_what_may_be_tried_again_is_submitted_again(client: Client) -> None:
    before = len(client.jobs())
    client.stage(wait_and_do, [str(client.folder)])
    client.set(retry_exceptions="ZeroDivisionError")
    await client.killed(WHILE_IT_RUNS)
    (group,) = client.groups
    taken = Task.of(group)
    async with connect(client.settings) as opened:
        handle = await opened.submit(client.settings, taken)
        watching = asyncio.ensure_future(opened.wait(client.settings, handle, taken))
        written(client.folder / "go", "fail")
        await client.until(lambda: len(client.jobs()) == before + 2)
        written(client.folder / "go", "well")
        ended = await watching
    assert ended.envelope and ended.envelope.returned
    assert client.ran == b"11"


@pytest.mark.parametrize("max_baked_mib", [0, 10])
async def test_of_run_too_the_job_is_taken_over_by_another_process(client: Client, max_baked_mib: int) -> None:
    before = len(client.jobs())
    client.set(max_baked_mib=max_baked_mib)
    killed = await client.drives("direct", WHILE_IT_RUNS)
    assert killed.returncode == -9, killed.stderr
    client.may_go_on()
    asked_again = await client.drives("direct")
    assert asked_again.stdout.splitlines()[-1:] == ["o-b-j-e-c-t"], asked_again.stderr
    assert (client.ran, len(client.jobs())) == (b"1", before + 1)


def test_a_handle_of_before_there_was_this_is_still_read() -> None:
    known = JobHandle("job", "name", "content", "bucket", "prefix", "image").to_json()
    assert JobHandle.from_json({name: value for name, value in known.items() if name != "definition"})


async def test_a_job_is_found_by_its_tag_whatever_the_clock_says(client: Client) -> None:
    await client.killed("after batch:SubmitJob")
    async with connect(client.settings) as opened:
        (record,) = opened.services.ledger.unsettled()
        future = replace(record, since=time.time() + 7200)
        assert await job_of(opened.services, client.settings.batch_queue, future) == client.jobs()[0]["jobId"]
    client.may_go_on()
    await client.until_all_ended()


async def test_a_note_of_a_bucket_that_is_gone_fails_no_task(client: Client) -> None:
    before = len(client.jobs())
    await client.killed(WHILE_IT_RUNS)
    (noted,) = (each for each in (data_dir() / "jobs").glob("*.json") if f'"{DISPATCH}"' in each.read_text())
    noted.write_text(noted.read_text().replace(client.settings.s3_bucket_name, "a-bucket-that-is-gone"))
    client.may_go_on()
    (result,) = await client.reads(await client.asks_again())
    assert (value_of(result), len(client.jobs())) == (MUCH, before + 2)


async def test_a_job_that_batch_has_forgotten_is_collected_as_lost(client: Client) -> None:
    handle = JobHandle("7d3bb84c-8fd4-4d0a-b2a9-000000000000", "f", "c0ffee", client.settings.s3_bucket_name, "p", "i")
    ledger = Ledger()
    ledger.note(handle.job_id, [Entry("d1", (0,), handle)], ours=False)
    words = ("collect", "--into", str(client.folder / "collected"))
    assert "Tasks that have not ended: 1." in await client.says(*words)  # so young that Batch may not show it yet
    os.utime(data_dir() / "jobs" / f"{handle.job_id}.json", times=(time.time() - 3600,) * 2)
    said = await client.says(*words)
    assert f"`f` has no result, and AWS Batch has forgotten its job {handle.job_id}." in said
    assert list(ledger.jobs()) == []
