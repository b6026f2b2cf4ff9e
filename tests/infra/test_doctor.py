# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`doctor` finds what is wrong before a task does, each thing by itself, with what mends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.hands.aws import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.story import cloud
from covalent_awsbatch_plugin.story.doctor import Doctor
from covalent_awsbatch_plugin.thought import checkup
from covalent_awsbatch_plugin.thought.checkup import OK, UNKNOWN, WRONG, Finding
from covalent_awsbatch_plugin.thought.policies import Names, dispatcher
from covalent_awsbatch_plugin.thought.settings import Settings
from tests.infra.people import PULL_BASE, People, without
from tests.story.small_world import World


@pytest.fixture
async def world(guarded_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(guarded_aws, tmp_path)
    await close_shared()


async def findings(settings: Settings) -> dict[str, Finding]:
    async with cloud(settings) as aws:
        return {found.name: found async for found in Doctor(aws, settings).findings()}


async def test_where_all_is_well_every_line_is_ok(world: World) -> None:
    assert {found.state for found in (await findings(world.settings())).values()} == {OK}


WRONGS: list[tuple[dict[str, Any], str, str]] = [
    ({"s3_bucket_name": "nobodys"}, "bucket", "aws s3 mb s3://nobodys"),
    ({"ecr_repo_name": "nobodys"}, "repository", "aws ecr create-repository --repository-name nobodys"),
    ({"batch_queue": "nobodys"}, "queue", "Correct batch_queue"),
    ({"batch_execution_role_name": "nobodys"}, "batch_execution_role_name", "role"),
    ({"batch_job_role_name": "AWSBatchServiceRole"}, "batch_job_role_name", "ecs-tasks.amazonaws.com"),
    ({"batch_job_log_group_name": "nobodys"}, "log group", "aws logs create-log-group"),
    ({"vcpu": 1000}, "compute environments", "256"),
    ({"credentials": "/nowhere"}, "credentials", "shared-credentials file"),
    ({"platform": "linux/arm64"}, "base image", "platform"),
]


@pytest.mark.parametrize(("changed", "name", "mend"), WRONGS)
async def test_each_wrong_thing_is_told_with_what_mends_it(
    world: World, changed: dict[str, Any], name: str, mend: str
) -> None:
    try:
        found = (await findings(world.settings(**changed)))[name]
        told = f"{found.told} {found.mend}"
        assert found.state == WRONG
    except Exception as error:  # noqa: BLE001 - settings that can't even open a session are refused at once
        told = str(error)
    assert mend in told


async def test_a_missing_permission_is_told_with_the_statement_that_allows_it(world: World, people: People) -> None:
    whole = dispatcher(Names.of(world.settings(), "123456789012", "us-east-1"))
    statements = [*without(whole, "GiveRolesToJobs"), PULL_BASE, SIMULATE]
    settings = world.settings(credentials=people.user("patient", statements))
    found = await findings(settings)
    assert found["permissions"].told == "IAM does not allow iam:PassRole"
    assert "`GiveRolesToJobs`" in found["permissions"].mend
    assert found["log group"].state == OK, "whoever may not look is believed"
    assert found["batch_job_role_name"].state == UNKNOWN


SIMULATE = {"Sid": "Simulate", "Effect": "Allow", "Action": ["iam:SimulatePrincipalPolicy"], "Resource": ["*"]}


def test_the_command_says_it_in_json_and_by_its_exit_code(world: World) -> None:
    told = [w for name, value in world.aws.section().items() for w in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "doctor", "--json", *told]
    well = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (well.returncode, well.stderr) == (0, "")
    assert {line["state"] for line in json.loads(well.stdout)} == {OK}
    ill = subprocess.run([*command, "--batch-queue", "nobodys"], capture_output=True, text=True, check=False)
    assert ill.returncode == 1


# ---- what it makes of answers that the offline AWS does not give --------------------------------------------------
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_credentials_that_end_within_the_hour_are_wrong() -> None:
    assert checkup.credentials("me", NOW + timedelta(minutes=20), NOW).state == WRONG
    assert checkup.credentials("me", NOW + timedelta(hours=9), NOW).state == OK


def test_a_clock_five_minutes_off_is_wrong() -> None:
    assert (checkup.clock(-299).state, checkup.clock(301).state) == (OK, WRONG)


@pytest.mark.parametrize(
    ("types", "platform", "state"),
    [
        (["optimal"], "linux/amd64", OK),
        (["m7g", "c6gn.large"], "linux/arm64", OK),
        (["m7g"], "linux/amd64", WRONG),
        (["g5", "g4dn.xlarge"], "linux/amd64", OK),
        (["g5g.xlarge"], "linux/arm64", OK),
        ([], "linux/arm64", OK),
    ],
)
def test_the_machines_processor_is_read_from_their_types(types: list[str], platform: str, state: str) -> None:
    assert checkup.architecture(platform, [{"computeResources": {"instanceTypes": types}}]).state == state


GATEWAY = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
ALL = [f"com.amazonaws.us-east-1.{service}" for service in checkup.SERVICES]


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
    found = checkup.way_out("subnet-1", routes, public, endpoints, "us-east-1")
    assert found.state == (WRONG if mend else OK)
    assert mend in found.mend
