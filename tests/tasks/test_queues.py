# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Queues of every kind: a task runs there, or is refused by the kind's name before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.infra.checks import WRONG
from covalent_awsbatch_plugin.infra.doctor import Doctor
from covalent_awsbatch_plugin.jobs.definition import JobPlacement, job_definition
from covalent_awsbatch_plugin.jobs.instance_types import Machines, has_gpus
from covalent_awsbatch_plugin.jobs.resources import fitted
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from tests.tasks.small_world import World
from tests.tasks.tasks import shout


@pytest.fixture(scope="session")
def queues(offline_aws: LocalAWS) -> None:
    """A queue of each kind, named for it."""
    world = World(offline_aws, offline_aws.state_dir)
    batch = world.client("batch")
    described = batch.describe_compute_environments()["computeEnvironments"]
    (ec2,) = [each for each in described if each["computeEnvironmentName"] == "covalent-batch-environment"]
    resources = ec2["computeResources"]
    environment = {"type": "MANAGED", "serviceRole": ec2["serviceRole"]}
    cluster = "arn:aws:eks:us-east-1:123456789012:cluster/c"
    eks = {"eksConfiguration": {"eksClusterArn": cluster, "kubernetesNamespace": "batch"}}
    policy = batch.create_scheduling_policy(name="fair", fairsharePolicy={"shareDistribution": []})["arn"]
    for name, changed, more in (
        ("fair-share", {}, {}),
        ("on-eks", {}, eks),
        ("small", {"maxvCpus": 4}, {}),
        ("m5-only", {"instanceTypes": ["m5"]}, {}),
        ("graphics", {"instanceTypes": ["g4dn.xlarge", "m5"]}, {}),
    ):
        batch.create_compute_environment(
            computeEnvironmentName=name, computeResources=resources | changed, **environment, **more
        )
        batch.create_job_queue(
            jobQueueName=name,
            priority=1,
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": name}],
            **({"schedulingPolicyArn": policy} if name == "fair-share" else {}),
        )
    service = "arn:aws:batch:us-east-1:123456789012:service-environment/s"
    batch.create_job_queue(
        jobQueueName="training",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "small"}],
        serviceEnvironmentOrder=[{"order": 1, "serviceEnvironment": service}],
        jobQueueType="SAGEMAKER_TRAINING",
    )


async def refused(world: World, **changes: Any) -> str:
    """The text of the error, after which nothing has been sent."""
    before = world.sent()
    with pytest.raises(errors.SettingError) as caught:
        await world.run(world.settings(**changes), shout, "a")
    assert world.sent() == before
    assert caught.value.advice
    return str(caught.value)


async def doctor_says(world: World, **changes: Any) -> str:
    settings = world.settings(**changes)
    async with connect(settings) as client:
        findings = [each async for each in Doctor(client.services, settings).findings()]
    return "\n".join(f"{each.name}: {each.text} {each.advice}" for each in findings if each.state == WRONG)


# ---- fair share -----------------------------------------------------------------------------------------------------
async def test_a_task_runs_under_its_share_with_its_priority(world: World, queues: None) -> None:
    settings = world.settings(batch_queue="fair-share", share_identifier="teamA*", scheduling_priority=7)
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(world.stage(shout, "a")))
        job = world.job(handle.job_id)
        await client.wait(settings, handle)
    assert (job["shareIdentifier"], job["schedulingPriority"]) == ("teamA*", 7)
    assert await world.value(world.settings(batch_queue="fair-share", share_identifier="b"), shout, "a") == "A"


FAIR_SHARE = [
    ({"batch_queue": "fair-share"}, "`fair-share` has a fair-share scheduling policy, and share_identifier is not set"),
    ({"share_identifier": "a"}, "share_identifier='a' needs a queue with a fair-share scheduling policy"),
    ({"scheduling_priority": 3}, "scheduling_priority=3 needs a queue with a fair-share scheduling policy"),
]


@pytest.mark.parametrize(("changes", "words"), FAIR_SHARE)
async def test_a_share_that_the_queues_policy_needs_or_forbids_is_told_before_anything_is_sent(
    world: World, queues: None, changes: dict[str, Any], words: str
) -> None:
    assert words in await refused(world, **changes)
    assert "queue: " in (said := await doctor_says(world, **changes))
    assert words in said


@pytest.mark.parametrize("wrong", ["two words", "a**", "*", "x" * 256])
def test_a_share_identifier_has_letters_and_digits(world: World, wrong: str) -> None:
    with pytest.raises(errors.SettingError, match="share_identifier"):
        world.settings(share_identifier=wrong)


# ---- other services -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("queue", "service"), [("on-eks", "Amazon EKS"), ("training", "Amazon SageMaker")])
async def test_a_queue_of_another_service_is_refused_by_its_name(
    world: World, queues: None, queue: str, service: str
) -> None:
    words = f"The job queue `{queue}` runs its jobs on {service}"
    assert words in await refused(world, batch_queue=queue)
    assert f"queue: {words}" in await doctor_says(world, batch_queue=queue)


# ---- sizes ----------------------------------------------------------------------------------------------------------
IMPOSSIBLE = [
    ({"num_gpus": 1}, "the machines of covalent-batch-environment (optimal) have no GPUs", "infra up --gpu"),
    ({"memory": 1100}, "the machines of covalent-batch-environment have up to 192 vCPUs, 1024 GiB, 0 GPUs", "bigger"),
    (
        {"memory": 900, "batch_queue": "m5-only"},
        "the machines of m5-only have up to 96 vCPUs, 384 GiB, 0 GPUs",
        "bigger",
    ),
    ({"num_gpus": 2, "batch_queue": "graphics"}, "have up to 96 vCPUs, 384 GiB, 1 GPUs", "infra up --gpu"),
    ({"vcpu": 5, "batch_queue": "small"}, "small has at most 4 vCPUs", "Lower the setting"),
]


@pytest.mark.parametrize(("changes", "words", "remedy"), IMPOSSIBLE)
async def test_a_task_that_no_machine_can_ever_run_is_refused_before_anything_is_sent(
    world: World, queues: None, changes: dict[str, Any], words: str, remedy: str
) -> None:
    text = await refused(world, **changes)
    assert "can never run a task with vcpu=" in text
    assert words in text
    assert remedy in text


def test_machines_that_aws_does_not_name_are_believed_to_have_room() -> None:
    settings = Settings(num_gpus=1)
    unnamed, cpu = Machines("unmanaged", None, ()), Machines("cpu", 256, ("optimal",))
    assert fitted(settings, fargate=False, machines=(unnamed, cpu))[0] == settings
    with pytest.raises(errors.SettingError, match="have no GPUs"):
        fitted(settings, fargate=False, machines=(cpu,))


def test_families_with_gpus_are_known_by_their_names() -> None:
    assert all(map(has_gpus, ("p2", "p4d.24xlarge", "p5en", "g4dn", "g5g.xlarge", "g6e", "gr6.4xlarge", "p6-b200")))
    assert not any(map(has_gpus, ("optimal", "default_x86_64", "m7g", "c6gn", "inf2", "trn1", "r5", "hpc7g", "x2gd")))


# ---- vCPUs and addresses --------------------------------------------------------------------------------------------
async def test_a_fraction_of_a_vcpu_on_ec2_is_rounded_up_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    settings = world.settings(vcpu=1.5, time_limit=1234)
    for _ in range(2):
        assert await world.value(settings, shout, "a") == "A"
    told = [line for line in caplog.messages if "the task gets vcpu=2 instead of vcpu=1.5" in line]
    assert len(told) == 1


@pytest.mark.parametrize(("public", "address"), [(True, "ENABLED"), (False, "DISABLED")])
def test_a_task_on_fargate_has_a_public_address_or_none(public: bool, address: str) -> None:
    settings = Settings(assign_public_ip=public)
    place = JobPlacement("1", "us-east-1", "q", fargate=True, execution_role_arn="e", job_role_arn="j")
    assert job_definition(settings, place, "image")["containerProperties"]["networkConfiguration"] == {
        "assignPublicIp": address
    }
    place = JobPlacement("1", "us-east-1", "q", fargate=False, execution_role_arn="e", job_role_arn="j")
    assert "networkConfiguration" not in job_definition(settings, place, "image")["containerProperties"]
