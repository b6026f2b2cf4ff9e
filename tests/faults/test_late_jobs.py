# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The SubmitJob of a killed client takes effect after the next client has looked for its job: the task runs once."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from covalent_awsbatch_plugin.core.user_dirs import data_dir
from covalent_awsbatch_plugin.jobs.api import Batch
from covalent_awsbatch_plugin.jobs.definition import TAG_SUBMISSION
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.settings import resolve
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.late_jobs import REASON, LateJobs
from covalent_awsbatch_plugin.tasks.ledger import Entry, LedgerRecord, unsent
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.client import Client
from tests.faults.driver import DISPATCH
from tests.faults.test_kill import A_JOB
from tests.faults.test_reattach import MUCH

HANDLE = JobHandle("", "name", "content", "bucket", "prefix", "image", submission="tag")


def unsent_handles() -> list[JobHandle]:
    """Those of the tasks whose submission was cut off."""
    notes = (json.loads(path.read_text()) for path in (data_dir() / "jobs").glob(f"unsent-covalent-{DISPATCH}*.json"))
    handles = (JobHandle.from_json(entry["handle"]) for note in notes for entry in note["entries"])
    return [handle for handle in handles if handle]


def takes_effect(client: Client, submission: str, twin: JobHandle) -> str:
    """The killed client's SubmitJob, which is like that of the job `twin` but for its tag; the new job's id."""
    job = client.world.job(twin.job_id.partition(":")[0])
    environment = [each for each in job["container"]["environment"] if not each["name"].startswith("AWS_BATCH_")]
    size = job.get("arrayProperties", {}).get("size")
    answer = client.world.client("batch").submit_job(
        jobName=job["jobName"],
        jobQueue=job["jobQueue"],
        jobDefinition=job["jobDefinition"],
        tags=job["tags"] | {TAG_SUBMISSION: submission},
        containerOverrides={"environment": environment},
        **({"arrayProperties": {"size": size}} if size else {}),
    )
    return str(answer["jobId"])


SETTINGS: list[dict[str, Any]] = [{}, {"payload": "s3"}, {"max_array_size": 1, "retry_exceptions": "KeyError"}]
HELD_S = [(held_s, number) for number in range(len(SETTINGS)) for held_s in (1, 4, 9, 30)]
SAMPLE = [(held_s, number) for held_s, number in HELD_S if held_s < 9 or (held_s, number) == (9, 0)]
CASES = [
    pytest.param(held_s, SETTINGS[number], id=f"settings{number}-{held_s}")
    for held_s, number in (HELD_S if os.environ.get("SOAK") else SAMPLE)
]


@pytest.mark.parametrize(("held_s", "settings"), CASES)
async def test_a_request_that_is_held_back_starts_no_second_job(
    client: Client, held_s: float, settings: dict[str, Any]
) -> None:
    before = len(client.jobs())
    client.set(**settings)
    client.world.aws.fault(faults.SLOW, of="batch:SubmitJob", delay_s=held_s)
    began = time.monotonic()
    await client.killed("during batch:SubmitJob")
    handles = await client.asks_again()
    await asyncio.sleep(max(0, began + held_s + 4 - time.monotonic()))  # a client needs two seconds to get there
    client.may_go_on()
    (result,) = await client.reads(handles)
    await client.until_all_ended()

    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"1", before + 1)


async def test_of_a_job_that_batch_lists_late_the_first_is_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted before its definition was deregistered, and is listed after the second one was submitted."""
    before, named = len(client.jobs()), Batch.named

    async def late_named(self: Batch, request: Mapping[str, Any], since_s: float) -> str | None:
        listed = len(client.jobs()) > before + 1
        return await named(self, request, since_s) if listed else None

    monkeypatch.setattr(Batch, "named", late_named)
    await client.killed("after batch:SubmitJob")
    (first,) = client.jobs()[: len(client.jobs()) - before]
    (handle,) = await client.asks_again()
    assert handle.job_id == first["jobId"]
    (second,) = [job for job in client.jobs()[: len(client.jobs()) - before] if job["jobId"] != first["jobId"]]
    client.may_go_on()
    (result,) = await client.reads([handle])
    await client.until_all_ended()

    assert value_of(result) == MUCH
    assert REASON in client.world.job(second["jobId"])["statusReason"]
    assert client.world.job(first["jobId"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize("held_s", [1, 4])
async def test_a_job_of_a_held_back_submission_is_ended_when_it_appears(client: Client, held_s: float) -> None:
    before = len(client.jobs())
    await client.killed("before batch:SubmitJob")
    (cut_off,) = unsent_handles()
    handles = await client.asks_again()

    await asyncio.sleep(held_s)
    late = takes_effect(client, cut_off.submission, handles[0])
    await client.until(lambda: client.world.job(late)["status"] == "FAILED")
    client.may_go_on()
    (result,) = await client.reads(handles)

    assert REASON in client.world.job(late)["statusReason"]
    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"1", before + 2)
    assert not unsent_handles()


@pytest.mark.parametrize(
    ("places", "anew", "terminated"),
    [
        ([""], [0], ["job"]),
        ([":0", ":1", ":2"], [0, 1, 2], ["job"]),
        ([":0", ":1", ":2"], [0, 1], ["job:0", "job:1"]),
        ([":0", ":0", ":1"], [0], []),  # the other task of the container has no other job
        ([":0", ":0", ":1"], [0, 1], ["job:0"]),
    ],
)
async def test_of_an_array_only_tasks_that_have_another_job_are_ended(
    places: list[str], anew: list[int], terminated: list[str]
) -> None:
    handles = [replace(HANDLE, job_id=place) for place in places]
    entries = tuple(Entry("dispatch", (node,), handle) for node, handle in enumerate(handles))
    record = LedgerRecord(unsent("name", HANDLE.submission), 0.0, entries)
    cloud = MagicMock(**{"backend.named": AsyncMock(side_effect=[None, "job"]), "backend.terminate": AsyncMock()})
    looks = iter(range(5))

    async def sleep(_: float) -> None:
        if next(looks, None) is None:
            await asyncio.get_running_loop().create_future()

    late_jobs = LateJobs(cloud, sleep)
    late_jobs.submitted_anew(resolve(), [(record, entries[at]) for at in anew])
    for _ in range(20):
        await asyncio.sleep(0)
    await cloud.aws.on_close.call_args.args[0]()

    assert sorted(call.args[0] for call in cloud.backend.terminate.await_args_list) == terminated
    assert cloud.backend.named.await_args.args[0]["jobName"] == "name"
    assert cloud.backend.named.await_args.args[0]["tags"] == {TAG_SUBMISSION: "tag"}
    assert cloud.ledger.forget.called == (terminated == ["job"])


async def test_a_job_that_appears_while_the_task_is_packed_is_taken_over(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, named, looks = len(client.jobs()), Batch.named, list[str]()

    async def late_named(self: Batch, request: Mapping[str, Any], since_s: float) -> str | None:
        looks.append(request["jobName"])
        return await named(self, request, since_s) if len(looks) > 1 else None

    monkeypatch.setattr(Batch, "named", late_named)
    await client.killed(A_JOB[0])
    handles = await client.asks_again()
    client.may_go_on()
    (result,) = await client.reads(handles)

    assert (value_of(result), client.ran, len(client.jobs())) == (MUCH, b"1", before + 1)


async def test_another_submission_of_the_same_name_is_not_the_job(client: Client) -> None:
    await client.killed("before batch:SubmitJob")
    (cut_off,) = unsent_handles()
    (handle,) = await client.asks_again()  # its job has the name that the cut-off submission has
    await asyncio.sleep(3)  # LateJobs has looked
    assert client.world.job(handle.job_id)["status"] != "FAILED"
    client.may_go_on()
    (result,) = await client.reads([handle])

    assert cut_off.submission and handle.submission and cut_off.submission != handle.submission
    assert value_of(result) == MUCH
    assert [each.submission for each in unsent_handles()] == [cut_off.submission]
