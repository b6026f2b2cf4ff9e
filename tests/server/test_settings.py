# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which settings a task runs with, and what a wrong one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import covalent as ct
import pytest

from tests.server.covalent_world import CovalentWorld


@pytest.fixture
def changed(world: CovalentWorld) -> Iterator[Any]:
    """Changes keys of the section in the server's config file, for one test."""

    def change(**keys: Any) -> None:
        world.server.write_section(world.section | keys)

    yield change
    world.server.write_section(world.section)


def workflow_on(executor: Any) -> Any:
    @ct.electron(executor=executor)
    def one():
        return 1

    @ct.lattice
    def workflow():
        return one()

    return workflow


def resources(world: CovalentWorld, job_id: str) -> dict[str, str]:
    (job,) = world.batch.describe_jobs(jobs=[job_id])["jobs"]
    return {need["type"]: need["value"] for need in job["container"]["resourceRequirements"]}


def test_the_constructor_wins_over_the_section_which_wins_over_the_default(world: CovalentWorld, changed: Any) -> None:
    changed(vcpu=1, memory=0.5)
    before = set(world.jobs())

    world.completed(workflow_on(ct.executor.AWSBatchExecutor(memory=0.25, time_limit=77)))

    job_id = world.wait_for_job("SUCCEEDED", beyond=before)
    (job,) = world.batch.describe_jobs(jobs=[job_id])["jobs"]
    assert resources(world, job_id) == {"VCPU": "1", "MEMORY": "256"}
    assert job["timeout"]["attemptDurationSeconds"] == 77
    changed(vcpu=2, memory=3.75)


def test_a_wrong_value_in_the_section_is_one_sentence_with_setting_value_and_file(
    world: CovalentWorld, changed: Any
) -> None:
    before = set(world.jobs())
    changed(poll_freq="often")

    node = world.failed(workflow_on("awsbatch")).node("one")

    assert node.error.startswith("The setting poll_freq='often', given in [executors.awsbatch] of ")
    assert str(world.server.config_file) in node.error
    assert set(world.jobs()) == before


def test_a_place_that_does_not_exist_is_named(world: CovalentWorld, changed: Any) -> None:
    changed(batch_queue="no-such-queue")

    node = world.failed(workflow_on("awsbatch")).node("one")

    assert node.error.startswith("The job queue `no-such-queue` does not exist")
    assert "no-such-queue" in node.error


def test_a_wrong_value_in_the_constructor_is_raised_where_it_is_written() -> None:
    with pytest.raises(Exception, match=r"time_limit=5, given by AWSBatchExecutor\(\.\.\.\)"):
        ct.executor.AWSBatchExecutor(time_limit=5)
