# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A job's life on the offline AWS Batch, as AWS's documents tell it, on each engine."""

from __future__ import annotations

import json
import sys
from ast import literal_eval
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.small_world import World, compose, eventually, is_alive

EXITED = "Essential container in task exited"
HALVES = [{"type": "VCPU", "value": "1.5"}, {"type": "MEMORY", "value": "128"}]


def test_a_job_succeeds_with_its_output_in_the_logs(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "both"))
    assert (job["status"], job["statusReason"]) == ("SUCCEEDED", EXITED)
    container, (attempt,) = job["container"], job["attempts"]
    assert container["exitCode"] == attempt["container"]["exitCode"] == 0
    assert container["logStreamName"] == attempt["container"]["logStreamName"]
    prefix, middle, task = container["logStreamName"].split("/")
    assert (prefix, middle, task) == ("tests", "default", container["taskArn"].rpartition("/")[2])
    assert int(task, 16)
    assert job["createdAt"] <= job["startedAt"] == attempt["startedAt"] <= attempt["stoppedAt"] <= job["stoppedAt"]
    said = world.messages(container["logStreamName"])
    assert sorted(said) == ["child err", "child out", "from stderr", "from stdout"]


def test_a_job_fails_with_its_exit_code(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "leave", "3"))
    assert (job["status"], job["statusReason"], job["container"]["exitCode"]) == ("FAILED", EXITED, 3)
    assert "reason" not in job["container"]
    assert (job["isCancelled"], job["isTerminated"]) == (False, False)


def test_a_job_has_the_packages_of_python_slim_and_none_of_this_machine(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "packages"))
    whole, without_the_users, covalent, module, program = world.said(job["jobId"])
    slim = {"pip", "setuptools", "wheel"} if sys.version_info < (3, 12) else {"pip"}
    assert "pip" in literal_eval(whole) and set(literal_eval(whole)) <= slim
    assert without_the_users == whole
    assert covalent == "ModuleNotFoundError: No module named 'covalent'"
    assert module.startswith("pip ") and program == module


def test_a_package_of_a_base_image_is_found_by_a_job(world: World) -> None:
    place = f"usr/local/lib/python3.{sys.version_info.minor}/site-packages/of_the_image.py"
    image = compose(world, {place: b"answer = 42\n"})
    command = ["python3", "-c", "import of_the_image; print(of_the_image.answer)"]
    job = world.ended(world.submit(world.define(image), *command))
    assert world.said(job["jobId"]) == ["42"]


def test_a_definition_without_a_command_runs_the_images_own(world: World, image: str) -> None:
    job = world.ended(world.submit(world.define(image)))
    assert world.said(job["jobId"]) == ["nothing to do"]


def test_parameters_take_their_place_in_the_command(world: World, image: str) -> None:
    definition = world.define(image, container={"command": ["say", "Ref::word"]}, parameters={"word": "default"})
    told = world.ended(world.submit(definition, overrides={"command": ["say", "Ref::word"]}, parameters={"word": "hi"}))
    assert world.said(told["jobId"]) == ["hi"]


def test_the_container_finds_what_batch_and_its_definition_put_there(world: World, image: str) -> None:
    own = [{"name": "ONE", "value": "definition"}, {"name": "TWO", "value": "definition"}]
    definition = world.define(image, container={"environment": own})
    first = world.submit(definition, "environment", overrides={"environment": [{"name": "TWO", "value": "first"}]})
    second = world.submit(definition, "environment", overrides={"environment": [{"name": "THREE", "value": "second"}]})
    found = {job: json.loads(world.said(world.ended(job)["jobId"])[0]) for job in (first, second)}
    assert (found[first]["ONE"], found[first]["TWO"], "THREE" in found[first]) == ("definition", "first", False)
    assert (found[second]["TWO"], found[second]["THREE"]) == ("definition", "second")
    for job, told in found.items():
        assert (told["AWS_BATCH_JOB_ID"], told["AWS_BATCH_JOB_ATTEMPT"]) == (job, "1")
        assert told["AWS_BATCH_JQ_NAME"] == world.settings["batch_queue"]
        assert told["AWS_BATCH_CE_NAME"]
        assert "AWS_BATCH_JOB_ARRAY_INDEX" not in told
        assert told["AWS_ENDPOINT_URL"] == world.aws.endpoint_url
        assert told["AWS_REGION"] == told["AWS_DEFAULT_REGION"] == world.aws.region
    described = world.job(first)["container"]["environment"]
    assert {each["name"]: each["value"] for each in described} == {"ONE": "definition", "TWO": "first"}


def test_a_job_has_its_roles_credentials_and_none_in_its_environment(world: World, definition: str) -> None:
    role = world.role("batch_job_role_name")
    told = json.loads(world.said(world.ended(world.submit(definition, "who_am_i"))["jobId"])[0])
    assert told["RoleArn"] == role
    assert told["AccessKeyId"].startswith("ASIA")
    environment = json.loads(world.said(world.ended(world.submit(definition, "environment"))["jobId"])[0])
    assert not [name for name in environment if "ACCESS_KEY" in name or "SESSION_TOKEN" in name]
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")


def test_obstore_finds_the_bucket_with_nothing_but_the_environment(world: World, definition: str) -> None:
    """The role's credentials come from the endpoint, over plain HTTP: what the runner relies on."""
    job = world.ended(world.submit(definition, "store", world.settings["s3_bucket_name"]))
    assert world.said(job["jobId"]) == ["hello"]


def test_logs_arrive_while_the_job_runs(world: World, definition: str) -> None:
    job = world.submit(definition, "sleep", "600")
    world.until(job, "RUNNING")
    assert eventually(lambda: world.said(job)) == ["asleep"]
    assert world.job(job)["status"] == "RUNNING"
    world.batch.terminate_job(jobId=job, reason="enough")
    world.ended(job)


def test_a_long_line_becomes_several_events(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "long_line", "200000"))
    said = world.said(job["jobId"])
    assert "".join(said) == "é" * 200_000
    assert [len(each.encode()) <= 256 * 1024 - 26 for each in said] == [True, True]


def test_streams_are_found_by_their_prefix(world: World, image: str) -> None:
    prefix, group = f"own-{uuid4().hex[:6]}", world.settings["batch_job_log_group_name"]
    options = {"awslogs-group": group, "awslogs-stream-prefix": prefix}
    definition = world.define(image, container={"logConfiguration": {"logDriver": "awslogs", "options": options}})
    jobs = [world.submit(definition, "say", word) for word in ("one", "two")]
    for job in jobs:
        world.ended(job)
    logs = world.client("logs")
    found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=f"{prefix}/")["events"]
    assert sorted(event["message"] for event in found) == ["one", "two"]
    assert logs.filter_log_events(logGroupName=group, logStreamNamePrefix="nobody")["events"] == []


def test_without_a_log_configuration_logs_go_where_batch_puts_them(world: World, image: str) -> None:
    definition = world.define(image, container={"logConfiguration": {"logDriver": "awslogs"}})
    stream = world.ended(world.submit(definition, "say", "hello"))["container"]["logStreamName"]
    assert stream.startswith("tests-")
    told = world.client("logs").get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)
    assert [event["message"] for event in told["events"]] == ["hello"]


def test_too_much_memory_is_told_as_such(world: World, image: str) -> None:
    job = world.ended(world.submit(world.define(image, memory=128), "eat", "1000"))
    assert (job["status"], job["statusReason"], job["container"]["exitCode"]) == ("FAILED", EXITED, 137)
    assert job["container"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_a_child_that_needs_too_much_ends_alone(world: World, image: str) -> None:
    """The kernel kills the biggest process, and the container goes on: AWS tells the reason beside another code."""
    job = world.ended(world.submit(world.define(image, memory=128), "eat_in_a_child", "1000"))
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 5)
    assert world.said(job["jobId"]) == ["child ended with -9"]
    assert job["container"]["reason"].startswith("OutOfMemoryError")


def test_memory_may_be_overridden(world: World, image: str) -> None:
    more = {"resourceRequirements": [{"type": "MEMORY", "value": "1024"}]}
    job = world.ended(world.submit(world.define(image, memory=32), "eat", "100", overrides=more))
    assert (job["status"], world.said(job["jobId"])) == ("SUCCEEDED", ["ate it all"])
    assert {"type": "MEMORY", "value": "1024"} in job["container"]["resourceRequirements"]


def test_nothing_a_job_started_outlives_it(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "leave_a_child"))
    child = int(world.said(job["jobId"])[0])
    if world.aws.engine == "process":
        assert not is_alive(child)


@pytest.mark.parametrize(
    "image", ["{registry}/{repository}@sha256:" + "0" * 64, "{registry}/nowhere:latest", "127.0.0.1:1/any:latest"]
)
def test_an_image_that_cant_be_pulled_ends_the_job_before_it_starts(world: World, image: str) -> None:
    name = image.format(registry=world.aws.registry, repository=world.settings["ecr_repo_name"])
    job = world.ended(world.submit(world.define(name)))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith("CannotPullContainerError: Error response from daemon: ")
    assert len(job["container"]["reason"]) <= 255
    assert "exitCode" not in job["container"]
    assert "startedAt" not in job
    assert "startedAt" not in job["attempts"][0]


def test_a_program_that_is_not_there_ends_the_job_before_it_starts(world: World, image: str) -> None:
    broken = compose(world, {"a": b"b"}, Entrypoint=["/no/such/program"])
    job = world.ended(world.submit(world.define(broken)))
    assert job["statusReason"] == "Task failed to start"
    assert job["container"]["reason"].startswith("CannotStartContainerError: ")
    assert "logStreamName" not in job["container"]


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"jobRoleArn": "arn:aws:iam::123456789012:role/nobody"}, "ECS was unable to assume the role"),
        ({"executionRoleArn": "arn:aws:iam::123456789012:role/nobody"}, "ECS was unable to assume the role"),
        (
            {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "nowhere"}}},
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver",
        ),
    ],
)
def test_what_ecs_would_not_start_fails(world: World, image: str, container: dict[str, Any], said: str) -> None:
    job = world.ended(world.submit(world.define(image, container=container), "say", "never"))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith(said)


def test_overrides_that_are_too_long_are_taken_and_then_fail(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "say", "x" * 8192))
    assert (job["status"], job["attempts"]) == ("FAILED", [])
    assert job["statusReason"] == "Container Overrides length must be at most 8192"
    assert world.ended(world.submit(definition, "say", "x" * 8000))["status"] == "SUCCEEDED"


def test_a_job_that_no_environment_can_hold_waits_with_a_reason(world: World, image: str) -> None:
    overrides = {"resourceRequirements": [{"type": "GPU", "value": "1"}]}
    job = world.submit(world.define(image), "say", overrides=overrides)
    told = eventually(lambda: found if "statusReason" in (found := world.job(job)) else None)
    assert told["status"] == "RUNNABLE"
    assert told["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    waiting = world.batch.get_job_queue_snapshot(jobQueue=world.settings["batch_queue"])["frontOfQueue"]["jobs"]
    assert told["jobArn"] in [each["jobArn"] for each in waiting]
    world.batch.cancel_job(jobId=job, reason="no use")
    assert world.ended(job)["isCancelled"]


def test_a_job_waits_for_those_it_depends_on(world: World, definition: str) -> None:
    first = world.submit(definition, "sleep", "0.3")
    second = world.submit(definition, "say", "after", dependsOn=[{"jobId": first}])
    assert world.until(second, "PENDING", "RUNNABLE", "SUCCEEDED")
    done = world.ended(second)
    assert done["status"] == "SUCCEEDED"
    assert done["startedAt"] >= world.job(first)["stoppedAt"]
    failed = world.submit(definition, "leave", "1")
    third = world.ended(world.submit(definition, "say", "never", dependsOn=[{"jobId": failed}]))
    assert (third["status"], third["attempts"]) == ("FAILED", [])


# ---- what the API refuses -----------------------------------------------------------------------------------------
def test_submit_refuses_what_aws_refuses(world: World, definition: str, image: str) -> None:
    gone = world.define(image)
    world.batch.deregister_job_definition(jobDefinition=gone)
    env = {"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "mine"}]}
    refused: list[tuple[str, dict[str, Any], str]] = [
        (gone, {}, "not active"),
        ("nothing:1", {}, "does not exist"),
        (definition, {"queue": "no-queue"}, "does not exist"),
        (definition, {"timeout": {"attemptDurationSeconds": 59}}, "60 seconds"),
        (definition, {"arrayProperties": {"size": 1}}, "between 2 and 10000"),
        (definition, {"arrayProperties": {"size": 10_001}}, "between 2 and 10000"),
        (definition, {"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        (definition, {"retryStrategy": {"evaluateOnExit": [{"action": "EXIT", "onExitCode": "1"}]}}, "attempts"),
        (definition, {"overrides": env}, "AWS_BATCH"),
        (definition, {"dependsOn": [{"jobId": "nobody"}]}, "nobody"),
        (definition, {"overrides": {"command": ["x" * 40_000]}}, "30720"),
    ]
    for name, told, says in refused:
        with pytest.raises(ClientError, match=says) as caught:
            world.submit(name, **told)
        assert caught.value.response["Error"]["Code"] == "ClientException"


def test_a_disabled_queue_takes_no_jobs(world: World, definition: str) -> None:
    batch, name = world.batch, f"queue-{uuid4().hex[:6]}"
    order = batch.describe_job_queues()["jobQueues"][0]["computeEnvironmentOrder"]
    batch.create_job_queue(jobQueueName=name, state="DISABLED", priority=1, computeEnvironmentOrder=order)
    with pytest.raises(ClientError, match="DISABLED"):
        world.submit(definition, queue=name)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"timeout": {"attemptDurationSeconds": 1}}, "60 seconds"),
        ({"retryStrategy": {"attempts": 0}}, "between 1 and 10"),
        ({"container": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}}, "AWS_BATCH"),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "EXIT", "onReason": "a*b"}]}}, "at their end"),
        ({"platformCapabilities": ["FARGATE"]}, "supported pair"),
        ({"container": {"resourceRequirements": HALVES}}, "VCPU must be a whole number for EC2"),
        ({"container": {"command": ["x" * 24_576]}}, "at most 24576 bytes"),
    ],
)
def test_register_refuses_what_aws_refuses(world: World, image: str, told: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError, match=says):
        world.define(image, **told)


def test_revisions_stand_for_themselves(world: World, image: str) -> None:
    """moto fills a revision's gaps from the one before."""
    batch, name = world.batch, f"tests-{uuid4().hex[:8]}"
    need = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
    both: dict[str, Any] = {"jobDefinitionName": name, "type": "container"}
    properties = {"image": image, "resourceRequirements": need, "executionRoleArn": world.role("batch_job_role_name")}
    batch.register_job_definition(
        **both, containerProperties=properties, retryStrategy={"attempts": 5}, platformCapabilities=["FARGATE"]
    )
    second = batch.register_job_definition(**both, containerProperties=properties)
    assert second["revision"] == 2
    (told,) = batch.describe_job_definitions(jobDefinitions=[second["jobDefinitionArn"]])["jobDefinitions"]
    assert (told.get("retryStrategy"), told.get("platformCapabilities")) == (None, None)


def test_describe_takes_a_hundred_ids_and_leaves_out_strangers(world: World, definition: str) -> None:
    job = world.submit(definition, "say")
    told = world.batch.describe_jobs(jobs=[job, "nobody"])["jobs"]
    assert [each["jobId"] for each in told] == [job]
    assert world.batch.describe_jobs(jobs=[told[0]["jobArn"]])["jobs"][0]["jobId"] == job
    with pytest.raises(ClientError, match="100"):
        world.batch.describe_jobs(jobs=["x"] * 101)


def test_jobs_are_listed_by_name_newest_first_in_pages(world: World, definition: str) -> None:
    queue, prefix = world.settings["batch_queue"], f"list-{uuid4().hex[:6]}"
    jobs = [world.submit(definition, "say", name=f"{prefix}-{i}") for i in range(5)]
    array = world.submit(definition, "say", name=f"{prefix}-array", arrayProperties={"size": 2})
    by_name = [{"name": "JOB_NAME", "values": [f"{prefix.upper()}*"]}]
    first = world.batch.list_jobs(jobQueue=queue, filters=by_name, maxResults=4)
    second = world.batch.list_jobs(jobQueue=queue, filters=by_name, maxResults=4, nextToken=first["nextToken"])
    found = [each["jobId"] for page in (first, second) for each in page["jobSummaryList"]]
    assert found == [array, *reversed(jobs)]
    assert "nextToken" not in second
    for job in (*jobs, array):
        world.ended(job)
    exact = world.batch.list_jobs(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [f"{prefix}-1"]}])
    (summary,) = exact["jobSummaryList"]
    assert (summary["status"], summary["container"]) == ("SUCCEEDED", {"exitCode": 0})
    assert world.batch.list_jobs(jobQueue=queue)["jobSummaryList"] == []  # RUNNING ones only, unless told
    children = world.batch.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [each["jobId"] for each in children] == [f"{array}:0", f"{array}:1"]


def test_a_queues_scheduling_policy_decides_about_shares(world: World, definition: str) -> None:
    batch, name = world.batch, f"fair-{uuid4().hex[:6]}"
    order = batch.describe_job_queues()["jobQueues"][0]["computeEnvironmentOrder"]
    with pytest.raises(ClientError, match="does not exist"):
        batch.create_job_queue(
            jobQueueName=name, priority=1, computeEnvironmentOrder=order, schedulingPolicyArn="arn:aws:batch:nobody"
        )
    policy = batch.create_scheduling_policy(name=name, fairsharePolicy={"shareDistribution": []})["arn"]
    batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order, schedulingPolicyArn=policy)
    (queue,) = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    assert (queue["schedulingPolicyArn"], queue["jobQueueType"]) == (policy, "ECS")
    for told, says in (
        ({"queue": name}, "shareIdentifier must be specified"),
        ({"queue": name, "shareIdentifier": "a"}, "priority must be specified"),
        ({"queue": name, "shareIdentifier": "a", "schedulingPriorityOverride": 10_000}, "between 0 and 9999"),
        ({"shareIdentifier": "a"}, "only be specified for a job queue with a scheduling policy"),
    ):
        with pytest.raises(ClientError, match=says):
            world.submit(definition, "say", **told)
    job = world.ended(world.submit(definition, "say", queue=name, shareIdentifier="a", schedulingPriorityOverride=3))
    assert (job["status"], job["shareIdentifier"], job["schedulingPriority"]) == ("SUCCEEDED", "a", 3)
