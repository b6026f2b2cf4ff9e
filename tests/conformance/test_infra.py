# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`infra up`, `plan` and `down` on MiniStack, as a user with the deployer's policy. tests/infra has the offline AWS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.iam import Names, dispatcher
from covalent_awsbatch_plugin.infra.deployer_policy import deployer
from covalent_awsbatch_plugin.infra.stack_names import names
from covalent_awsbatch_plugin.infra.stack_settings import InfraSettings
from covalent_awsbatch_plugin.local.provision import ACCOUNT
from tests.conformance import second
from tests.conformance.ministack_process import REGION
from tests.conformance.world import World
from tests.infra.people import PULL_BASE
from tests.infra.shell import Shell

pytestmark = [
    pytest.mark.soak,
    pytest.mark.terraform,
    pytest.mark.timeout(2400),
    pytest.mark.parametrize("aws", [pytest.param(second.NAME, marks=pytest.mark.ministack)], indirect=True),
]

PREFIX = "second"
VARIANTS = {
    "Fargate": ("--compute", "FARGATE"),
    "Fargate Spot before Fargate": ("--compute", "FARGATE_SPOT,FARGATE"),
    "Spot before EC2": ("--compute", "SPOT,EC2"),
    "GPUs": ("--compute", "EC2", "--gpu"),
    "arm64": ("--compute", "EC2", "--no-gpu", "--platform", "linux/arm64"),
}
RUNS_HERE = ("Fargate", "Fargate Spot before Fargate", "Spot before EC2", "GPUs")  # our Batch has no arm64 machine


# MiniStack does not give a rule's description back, so that Terraform wants to write it again: docs/conformance.md
NEVER_SETTLED = {"aws_vpc_security_group_egress_rule.jobs: Plan to update"}


class Deployer:
    """A user who may do what `iam --role deployer` prints, and one who runs tasks; `made` are the stack's names."""

    def __init__(self, aws: World, folder: Path) -> None:
        self.aws, self.shell = aws, Shell(folder)
        self.made = names(PREFIX, ACCOUNT, REGION, {})
        own = Names.made(self.made, ACCOUNT, REGION)
        everything = InfraSettings(prefix=PREFIX, new_network=True, delete_data=True)
        self.credentials = aws.user(deployer(everything, own, self.made), folder)
        self.sender = aws.user([*dispatcher(own), PULL_BASE], folder)

    def infra(self, command: str, *words: str) -> str:
        """Run a command of `infra`; return what it printed."""
        given = ("--credentials", self.credentials, "--profile", "local", "--prefix", PREFIX)
        return self.shell.run("infra", command, *given, *words)

    def hello(self) -> str:
        """Run a task with the stack's queue."""
        base = str(self.aws.settings["container_image_uri"])
        words = ("--container-image-uri", base, "--poll-freq", "0.2", "--memory", "4")
        return self.shell.run("hello", "--credentials", self.sender, *words)

    def left(self) -> list[str]:
        """Return the names of the stack's resources that AWS still has, by plain boto3."""
        client = self.aws.client
        listed: list[tuple[list[Any], str]] = [
            (client("s3").list_buckets()["Buckets"], "Name"),
            (client("ecr").describe_repositories()["repositories"], "repositoryName"),
            (client("iam").list_roles()["Roles"], "RoleName"),
            (client("iam").list_instance_profiles()["InstanceProfiles"], "InstanceProfileName"),
            (client("iam").list_policies(Scope="Local")["Policies"], "PolicyName"),
            (client("logs").describe_log_groups()["logGroups"], "logGroupName"),
            (client("ec2").describe_security_groups()["SecurityGroups"], "GroupName"),
            (client("batch").describe_compute_environments()["computeEnvironments"], "computeEnvironmentName"),
            (client("batch").describe_job_queues()["jobQueues"], "jobQueueName"),
        ]
        found = [str(each[key]) for resources, key in listed for each in resources]
        return [name for name in found if name.startswith(PREFIX) or f"/{PREFIX}-" in name]


@pytest.fixture
def builder(aws: World, tmp_path: Path, checked_apart_from_terraforms: None) -> Deployer:
    return Deployer(aws, tmp_path)


def test_five_kinds_of_compute_are_made_one_after_the_other_and_removed(builder: Deployer) -> None:
    for name, words in VARIANTS.items():
        assert "to create" in builder.infra("plan", *words) or name != "Fargate"
        builder.infra("up", *words, "--yes")
        plan = builder.infra("plan")
        assert {line.strip() for line in plan.splitlines() if ": Plan to " in line} <= NEVER_SETTLED, f"{name}: {plan}"
        if name in RUNS_HERE:
            assert "Result: Hello" in builder.hello(), name
    assert builder.left()
    assert "The stack is deleted." in builder.infra("down", "--data", "--yes")
    assert builder.left() == []
