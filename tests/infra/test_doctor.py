# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`doctor` finds what is wrong before a task does, each thing by itself, with what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.errors import AWSBatchError
from covalent_awsbatch_plugin.iam import allow, dispatcher, document
from covalent_awsbatch_plugin.infra import checks, vcpu_quotas
from covalent_awsbatch_plugin.infra.checks import OK, UNKNOWN, WRONG, Finding
from covalent_awsbatch_plugin.infra.doctor import Doctor
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.stuck import lacks
from tests.infra.people import PULL_BASE, People, without
from tests.tasks.small_world import World


@pytest.fixture
async def world(guarded_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(guarded_aws, tmp_path)
    await close_shared()


async def findings(settings: Settings) -> dict[str, Finding]:
    async with connect(settings) as client:
        return {found.name: found async for found in Doctor(client.services, settings).findings()}


async def test_where_all_is_well_every_line_is_ok(world: World) -> None:
    assert {found.state for found in (await findings(world.settings())).values()} == {OK}


WRONGS: list[tuple[dict[str, Any], str, str]] = [
    ({"s3_bucket_name": "nobodys"}, "bucket", "aws s3 mb s3://nobodys"),
    ({"ecr_repo_name": "nobodys"}, "repository", "aws ecr create-repository --repository-name nobodys"),
    ({"batch_queue": "nobodys"}, "queue", "Correct `batch_queue`"),
    ({"batch_execution_role_name": "nobodys"}, "batch_execution_role_name", "role"),
    ({"batch_job_role_name": "AWSBatchServiceRole"}, "batch_job_role_name", "ecs-tasks.amazonaws.com"),
    ({"batch_job_log_group_name": "nobodys"}, "log group", "aws logs create-log-group"),
    ({"vcpu": 1000}, "compute environments", "256"),
    ({"credentials": "/nowhere"}, "session", "shared credentials file"),
    ({"profile": "nobodys"}, "credentials", "aws configure --profile"),
    ({"container_image_uri": "127.0.0.1:1/python:3.11-slim"}, "base image", "127.0.0.1:1"),
    ({"memory": 2000}, "machines of covalent-batch-environment", "1024 GiB"),
    ({"num_gpus": 1}, "machines of covalent-batch-environment", "covalent-awsbatch infra up --gpu"),
    ({"batch_queue": "asleep"}, "queue", "aws batch update-job-queue --job-queue asleep --state ENABLED"),
    ({"batch_queue": "shut"}, "compute environments", "update-compute-environment --compute-environment shut --state"),
    ({"batch_queue": "serverless", "num_gpus": 1}, "queue", "Set num_gpus to 0"),
    ({"batch_queue": "serverless", "vcpu": 17}, "queue", "at most vcpu 16"),
    ({"batch_queue": "mixed"}, "architecture", "of one architecture"),
    ({"vcpu": 1000}, "vCPU quota of covalent-batch-environment", "--quota-code L-1216C47A --desired-value 1000"),
    ({"batch_queue": "walled"}, "subnet", "Give it a route to a NAT gateway"),
    ({"s3_bucket_name": "plain"}, "bucket encryption", "aws s3api put-bucket-encryption --bucket plain"),
    (
        {"batch_execution_role_name": "powerless"},
        "permissions of the execution role",
        "put-role-policy --role-name powerle",
    ),
    ({"batch_job_role_name": "powerless"}, "permissions of the job role", "`WriteResults`"),
]


@pytest.fixture(scope="session")
def broken_world(guarded_aws: LocalAWS) -> None:
    """Beside what is well, everything that the table names."""
    session = botocore.session.Session(profile="local")
    session.set_config_variable("credentials_file", guarded_aws.section()["credentials"])
    batch, ec2, s3, iam = (session.create_client(name) for name in ("batch", "ec2", "s3", "iam"))
    (well,) = batch.describe_compute_environments()["computeEnvironments"]
    resources, role = well["computeResources"], well["serviceRole"]
    fargate = {key: resources[key] for key in ("maxvCpus", "subnets", "securityGroupIds")} | {"type": "FARGATE"}
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    walled = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    for name, told in {
        "shut": resources,
        "serverless": fargate,
        "mixed": resources | {"instanceTypes": ["m7g", "m5"]},
        "arm64": resources | {"instanceTypes": ["m7g"]},
        "walled": resources | {"subnets": [walled]},
    }.items():
        batch.create_compute_environment(
            computeEnvironmentName=name, type="MANAGED", computeResources=told, serviceRole=role
        )
        queue(batch, name, name)
    queue(batch, "asleep", well["computeEnvironmentName"], state="DISABLED")
    batch.update_compute_environment(computeEnvironment="shut", state="DISABLED")
    s3.create_bucket(Bucket="plain")
    iam.create_role(RoleName="powerless", AssumeRolePolicyDocument=json.dumps(checks.TRUST))


def queue(batch: Any, name: str, environment: str, state: str = "ENABLED") -> None:
    order = [{"order": 1, "computeEnvironment": environment}]
    batch.create_job_queue(jobQueueName=name, state=state, priority=1, computeEnvironmentOrder=order)


@pytest.mark.parametrize(("changed", "name", "mend"), WRONGS)
async def test_each_wrong_thing_is_told_with_what_mends_it(
    world: World, broken_world: None, changed: dict[str, Any], name: str, mend: str
) -> None:
    if name == "session":  # the command tells it as it comes: nothing could be looked at
        with pytest.raises(AWSBatchError, match=mend):
            await findings(world.settings(**changed))
        return
    found = await findings(world.settings(**changed))
    wrong = [each for each in found.values() if each.name.startswith(name) and each.state == WRONG]
    assert [each for each in wrong if mend in f"{each.text} {each.advice}"], list(found.values())
    others = {each.name for each in found.values() if each.state == WRONG} - {each.name for each in wrong}
    assert others <= FOLLOW.get(name, set()), "nothing else is blamed"


# What is wrong, too, when that is.
FOLLOW = {
    "bucket": {"bucket encryption", "bucket writable", "permissions of the job role"},
    "bucket encryption": {"permissions of the job role"},
    "compute environments": {
        "machines of covalent-batch-environment",
        "vCPU quota of covalent-batch-environment",
        "vCPU quota of shut",
    },
    "vCPU quota of covalent-batch-environment": {"compute environments", "machines of covalent-batch-environment"},
    # the execution role may use what `iam` prints for the names that it was made with, and no other
    "repository": {"base image", "permissions of the execution role"},
    "log group": {"permissions of the execution role"},
    "batch_execution_role_name": {"permissions", "permissions of the execution role"},
    "batch_job_role_name": {"permissions", "permissions of the job role"},
}


async def test_the_processor_of_the_queues_machines_counts(world: World, broken_world: None) -> None:
    found = await findings(world.settings(batch_queue="arm64", platform="linux/amd64"))
    assert found["queue"].state == OK
    assert "run linux/arm64: the image is built for that" in found["queue"].text
    assert found["architecture"].state == OK
    assert "linux/arm64" in found["base image"].text + found["base image"].advice, "the one here is amd64's alone"


async def test_on_fargate_the_nearest_legal_size_is_told(world: World, broken_world: None) -> None:
    found = await findings(world.settings(batch_queue="serverless", vcpu=3, memory=9))
    assert (found["queue"].state, "the task gets vcpu=4 and memory=9" in found["queue"].text) == (OK, True)


async def test_a_missing_permission_is_told_with_the_statement_that_allows_it(world: World, people: People) -> None:
    whole = dispatcher(configured_names(world.settings(), "123456789012", "us-east-1"))
    statements = [*without(whole, "PassRolesToJobs"), PULL_BASE, SIMULATE]
    settings = world.settings(credentials=people.user("patient", statements))
    found = await findings(settings)
    assert found["permissions"].text == "IAM does not allow iam:PassRole"
    assert "`PassRolesToJobs`" in found["permissions"].advice
    assert found["log group"].state == UNKNOWN, "whoever may not look does not know"
    assert found["batch_job_role_name"].state == UNKNOWN


async def test_a_session_of_a_role_with_a_path_is_simulated_as_that_role(world: World, people: People) -> None:
    """Users of IAM Identity Center have such roles, which cannot be changed in IAM."""
    whole = dispatcher(configured_names(world.settings(), "123456789012", "us-east-1"))
    name, path = "AWSReservedSSO_Science_0123456789abcdef", "/aws-reserved/sso.amazonaws.com/us-east-1/"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    trust_policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = people.admin.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trust_policy)["Role"]["Arn"]
    look = allow("GetRoles", "iam:GetRole", "*")
    people.allow_role(name, [*without(whole, "PassRolesToJobs"), PULL_BASE, SIMULATE, look])
    key = world.client("sts").assume_role(RoleArn=arn, RoleSessionName="alice")["Credentials"]
    credentials = world.profile(
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key["SessionToken"],
    )
    found = await findings(world.settings(credentials=credentials))
    assert found["permissions"].text == "IAM does not allow iam:PassRole"
    assert "to the permission set Science" in found["permissions"].advice
    assert "put-role-policy" not in found["permissions"].advice


async def test_the_advised_policy_can_be_given_to_the_user(world: World, people: People) -> None:
    """2,048 characters are all that a user's inline policies have, and the dispatcher's policy has more."""
    whole = dispatcher(configured_names(world.settings(), "123456789012", "us-east-1"))
    settings = world.settings(credentials=people.user("newcomer", [PULL_BASE, SIMULATE, *without(whole, "ListBucket")]))
    advice = (await findings(settings))["permissions"].advice
    create, attach = advice.splitlines()
    assert create.startswith("aws iam create-policy --policy-name covalent-dispatcher ")
    arn = attach.partition("--policy-arn ")[2].partition(";")[0]
    policy = json.dumps(document(whole))
    with pytest.raises(people.admin.exceptions.LimitExceededException, match="2048"):
        people.admin.put_user_policy(UserName="newcomer", PolicyName="own", PolicyDocument=policy)
    made = people.admin.create_policy(PolicyName="covalent-dispatcher", PolicyDocument=policy)["Policy"]["Arn"]
    assert made == arn
    people.admin.attach_user_policy(UserName="newcomer", PolicyArn=arn)
    assert (await findings(settings))["permissions"].state == OK


@pytest.mark.parametrize(
    ("arn", "state", "said"),
    [
        ("arn:aws:iam::123456789012:root", OK, "the account's root user may do everything"),
        ("arn:aws:sts::123456789012:federated-user/alice", UNKNOWN, "federated"),
    ],
)
def test_whom_iam_does_not_simulate_is_told_as_that(arn: str, state: str, said: str) -> None:
    found = checks.not_simulated(arn)
    assert found and found.state == state and said in found.text
    assert checks.not_simulated("arn:aws:iam::123456789012:user/team/alice") is None


SIMULATE = {"Sid": "Simulate", "Effect": "Allow", "Action": ["iam:SimulatePrincipalPolicy"], "Resource": ["*"]}


def test_the_command_says_it_in_json_and_by_its_exit_code(world: World) -> None:
    told = [w for name, value in world.aws.section().items() for w in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "doctor", "--json", *told]
    well = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (well.returncode, well.stderr) == (0, "")
    assert {line["state"] for line in json.loads(well.stdout)} == {OK}
    ill = subprocess.run([*command, "--batch-queue", "nobodys"], capture_output=True, text=True, check=False)
    assert ill.returncode == 1


def test_a_misspelt_key_of_the_config_section_is_wrong(world: World, tmp_path: Path) -> None:
    (tmp_path / "covalent.conf").write_text('[executors.awsbatch]\nbatch_que = "x"\n')
    told = [w for name, value in world.aws.section().items() for w in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "doctor", "--json", *told]
    environment = os.environ | {"COVALENT_CONFIG_DIR": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wrong = [line for line in json.loads(ran.stdout) if line["state"] == WRONG]
    assert (ran.returncode, ran.stderr, [line["name"] for line in wrong]) == (1, "", ["settings"])
    assert wrong[0]["text"].endswith("Did you mean `batch_queue`?")


# ---- what it makes of answers that the offline AWS does not give --------------------------------------------------
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_environment_that_aws_calls_invalid_is_told_with_its_reason() -> None:
    environment = {
        "computeEnvironmentName": "ce",
        "status": "INVALID",
        "statusReason": "CLIENT_ERROR - the role is gone",
    }
    assert lacks(environment, Settings()) == ["The compute environment ce is INVALID: CLIENT_ERROR - the role is gone"]


def test_credentials_that_end_within_the_hour_are_wrong() -> None:
    assert checks.credentials("me", NOW + timedelta(minutes=20), NOW).state == WRONG
    assert checks.credentials("me", NOW + timedelta(hours=9), NOW).state == OK


def test_a_clock_five_minutes_off_is_wrong() -> None:
    assert (checks.clock(-299).state, checks.clock(301).state) == (OK, WRONG)


@pytest.mark.parametrize(
    ("types", "platform", "state"),
    [
        (["optimal"], "linux/amd64", OK),
        (["m7g", "c6gn.large"], "linux/arm64", OK),
        (["m7g", "m5"], "linux/amd64", WRONG),
        (["default_arm64", "a1.large"], "linux/arm64", OK),
        (["default_x86_64"], "linux/amd64", OK),
        (["g5", "g4dn.xlarge"], "linux/amd64", OK),
        (["g5g.xlarge"], "linux/arm64", OK),
        ([], "linux/arm64", OK),
    ],
)
def test_the_machines_processor_is_read_from_their_types(types: list[str], platform: str, state: str) -> None:
    assert checks.architecture(platform, [{"computeResources": {"instanceTypes": types}}]).state == state


GATEWAY = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
ALL = [f"com.amazonaws.us-east-1.{service}" for service in checks.SERVICES]


@pytest.mark.parametrize(
    ("routes", "public", "endpoints", "mend"),
    [
        ([GATEWAY], True, [], ""),
        ([GATEWAY], False, [], "--map-public-ip-on-launch"),
        ([NAT], False, [], ""),
        ([{**NAT, "State": "blackhole"}], False, [], "NAT gateway"),
        ([], False, ALL, ""),
        ([], False, ALL[:-1], "the VPC endpoints logs."),
    ],
)
def test_a_subnet_needs_one_way_out(routes: list[Any], public: bool, endpoints: list[str], mend: str) -> None:
    found = checks.way_out("subnet-1", routes, public, endpoints, "us-east-1")
    assert found.state == (WRONG if mend else OK)
    assert mend in found.advice


async def test_a_subnet_with_ipv6_alone_is_wrong(world: World, guarded_aws: LocalAWS) -> None:
    ec2, batch = world.client("ec2"), world.client("batch")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], Ipv6CidrBlock=block, Ipv6Native=True)["Subnet"]["SubnetId"]
    (well,) = batch.describe_compute_environments(computeEnvironments=["covalent-batch-environment"])[
        "computeEnvironments"
    ]
    resources = well["computeResources"] | {"subnets": [subnet]}
    batch.create_compute_environment(
        computeEnvironmentName="ipv6", type="MANAGED", computeResources=resources, serviceRole=well["serviceRole"]
    )
    queue(batch, "ipv6", "ipv6")
    found = (await findings(world.settings(batch_queue="ipv6")))[f"subnet {subnet}"]
    assert (found.state, found.text) == (WRONG, "has no IPv4 addresses")


@pytest.mark.parametrize(
    ("resources", "codes"),
    [
        ({"type": "FARGATE"}, ["L-3032A538"]),
        ({"type": "FARGATE_SPOT"}, ["L-36FBB829"]),
        ({"type": "EC2", "instanceTypes": ["optimal"]}, ["L-1216C47A"]),
        ({"type": "SPOT", "instanceTypes": ["m7g.large", "default_arm64"]}, ["L-34B43A08"]),
        ({"type": "EC2", "instanceTypes": ["g5", "p4d.24xlarge", "c7i"]}, ["L-1216C47A", "L-DB2E81BA", "L-417A185B"]),
        ({"type": "EC2", "instanceTypes": ["trn1"]}, []),
    ],
)
def test_an_environment_has_the_quotas_of_its_instances(resources: dict[str, Any], codes: list[str]) -> None:
    assert [quota.code for quota in vcpu_quotas.quotas({"computeResources": resources})] == codes


@pytest.mark.parametrize(("value", "state", "said"), [(1, WRONG, "one task needs 2"), (64, OK, "maxvCpus is 256")])
def test_a_quota_below_a_task_is_wrong_and_one_below_the_environment_is_told(
    value: float, state: str, said: str
) -> None:
    environment = {"computeEnvironmentName": "ce", "computeResources": {"type": "FARGATE", "maxvCpus": 256}}
    (found,) = vcpu_quotas.judge(environment, 2, [(vcpu_quotas.FARGATE, value)])
    assert found.state == state and said in found.text
    assert ("--desired-value 256" in found.advice) == (state == WRONG)
