# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""kill -9 of the client at each step of a task's way; then a new process finds what is left, ends it or fetches it."""

from __future__ import annotations

import pytest

from covalent_awsbatch_plugin.runner.protocol import archive
from tests.faults.client import Client
from tests.faults.driver import DISPATCH

NOTHING = (
    "before sts:GetCallerIdentity",
    "before s3:HeadObject",  # of what is uploaded, and before it is
    "before batch:RegisterJobDefinition",  # the image is pushed
    "before batch:SubmitJob",
)
A_JOB = (
    "after batch:SubmitJob",  # its id came, and was noted nowhere
    "after batch:DescribeJobs",
    "before batch:DescribeJobs ran",  # while it runs
    "before s3:GetObject",  # it has ended, nothing was fetched
    "after s3:GetObject",  # half of it was fetched
)


@pytest.mark.parametrize("step", NOTHING)
async def test_killed_before_its_job_was_submitted_nothing_runs_and_nothing_is_claimed(
    client: Client, step: str
) -> None:
    before = client.jobs()
    await client.killed(step)
    assert client.jobs() == before
    assert "No job is active." in await client.says("jobs")
    told = await client.says("collect", "--into", str(client.folder / "collected"))
    assert "There are no results to collect." in told


@pytest.mark.parametrize("step", A_JOB)
async def test_killed_after_that_its_result_is_fetched_and_nothing_is_double(client: Client, step: str) -> None:
    before, into = len(client.jobs()), client.folder / "collected"
    if "GetObject" in step:
        client.may_go_on()
    await client.killed(step)
    assert len(client.jobs()) == before + 1
    if not (client.folder / "go").exists():
        assert "covalent-killed-0" in await client.says("jobs", "--json")
        assert "Tasks that have not ended: 1." in await client.says("collect", "--into", str(into))
        client.may_go_on()
    await client.until_all_ended()
    assert "Collected 1 results into " in await client.says("collect", "--into", str(into))
    assert archive.load(into / DISPATCH / "0" / "output-0") == "x" * 400_000
    assert client.ran == b"1"
    assert len(client.jobs()) == before + 1
    assert "No job is active." in await client.says("jobs")
    assert "There are no results to collect." in await client.says("collect", "--into", str(into))


async def test_what_a_killed_client_left_running_is_reaped(client: Client) -> None:
    await client.killed("before batch:DescribeJobs ran")
    assert "Terminated 1 jobs." in await client.says("reap", "--yes")
    await client.until_all_ended()
    assert "No job is active." in await client.says("jobs")
    told = await client.says("collect", "--into", str(client.folder / "collected"))
    assert "was cancelled or terminated" in told
    assert client.ran == b"1"
