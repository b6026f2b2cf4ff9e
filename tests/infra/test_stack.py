# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From nothing to a working queue and back, as a user who may do just what `iam --role deployer` prints.

One stack goes through all kinds of compute, in the order of the tests: what Terraform's provider waits for by itself
makes a fresh one a minute and a half.
"""

from __future__ import annotations

import os
import signal
import tomllib
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest
from moto.iam.access_control import PermissionResult

from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.iam import of_statement
from covalent_awsbatch_plugin.thought.deployer import deployer
from covalent_awsbatch_plugin.thought.infra_settings import InfraSettings
from covalent_awsbatch_plugin.thought.policies import Names, Statement
from covalent_awsbatch_plugin.thought.stack import names
from tests.infra.people import PULL_BASE, Asked, People
from tests.infra.shell import Shell

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

PREFIX, ACCOUNT, REGION = "ours", "123456789012", "us-east-1"
MADE = names(PREFIX, ACCOUNT, REGION, {})
ALL = InfraSettings(prefix=PREFIX, new_network=True, delete_data=True)
PASSED = {"iam:PassedToService": "batch.amazonaws.com"}, {"iam:PassedToService": "ec2.amazonaws.com"}, {}


@dataclass
class Company:
    """An account with two users: one makes the infrastructure, one runs the Covalent server."""

    people: People
    shell: Shell
    deployer: str  # their credentials files
    dispatcher: str

    def infra(self, deed: str, *words: str, code: int = 0) -> str:
        who = ("--credentials", self.deployer, "--profile", "local", "--prefix", PREFIX)
        return self.shell.run("infra", deed, *who, *words, code=code)

    def hello(self) -> str:
        """A task by whoever runs the server, with the policy that Terraform made for them."""
        base = self.people.aws.section()["container_image_uri"]
        words = ("--container-image-uri", base, "--poll-freq", "0.2", "--memory", "4")
        return self.shell.run("hello", "--credentials", self.dispatcher, *words)

    @property
    def section(self) -> dict[str, Any]:
        path = self.shell.home / ".config" / "covalent" / "covalent.conf"
        return tomllib.loads(path.read_text())["executors"]["awsbatch"] if path.exists() else {}

    def client(self, service: str) -> Any:
        session = botocore.session.Session(profile="local")
        session.set_config_variable("credentials_file", self.people.aws.section()["credentials"])
        return session.create_client(service)

    def environments(self) -> list[dict[str, Any]]:
        """Of the queue, in its order."""
        batch = self.client("batch")
        (queue,) = batch.describe_job_queues(jobQueues=[MADE["queue"]])["jobQueues"]
        found = [
            each["computeEnvironment"] for each in sorted(queue["computeEnvironmentOrder"], key=lambda e: e["order"])
        ]
        told = {e["computeEnvironmentArn"]: e for e in batch.describe_compute_environments()["computeEnvironments"]}
        return [told[arn] for arn in found]


def statements() -> list[Statement]:
    return deployer(ALL, Names.made(MADE, ACCOUNT, REGION), MADE)


@pytest.fixture(scope="module")
def company(guarded_aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Company:
    folder = tmp_path_factory.mktemp("company")
    people = People(guarded_aws, folder)
    shell = Shell(folder)
    return Company(people, shell, people.user("builder", statements()), people.user("server", [PULL_BASE]))


def test_a_run_that_is_interrupted_leaves_the_config_file_alone_and_can_be_run_again(company: Company) -> None:
    who = ("--credentials", company.deployer, "--profile", "local", "--prefix", PREFIX)
    process = company.shell.begin("infra", "up", *who, "--compute", "FARGATE", "--yes")
    assert process.stdout is not None
    for line in process.stdout:
        if "aws_batch_job_queue.this: Creating" in line:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C goes to everybody at the terminal
            break
    process.communicate()
    assert process.returncode != 0
    assert company.section == {}
    assert "aws_iam_role.job: Plan to create" not in company.infra("plan"), "what was made is known"

    company.infra("up", "--yes")
    assert company.section["batch_queue"] == MADE["queue"]


def test_what_is_made_is_called_as_python_says(company: Company) -> None:
    settings = {
        "bucket": "s3_bucket_name",
        "repository": "ecr_repo_name",
        "queue": "batch_queue",
        "execution_role": "batch_execution_role_name",
        "job_role": "batch_job_role_name",
        "log_group": "batch_job_log_group_name",
        "definition": "batch_job_definition_name",
    }
    assert {company.section[setting]: MADE[kind] for kind, setting in settings.items()} == {
        MADE[kind]: MADE[kind] for kind in settings
    }


def test_a_task_runs_with_the_policy_that_terraform_made(company: Company) -> None:
    policy = f"arn:aws:iam::{ACCOUNT}:policy/{MADE['dispatcher']}"
    company.people.admin.attach_user_policy(UserName="server", PolicyArn=policy)
    assert "It answers: Hello" in company.hello()


def test_a_second_run_changes_nothing(company: Company) -> None:
    assert "There is nothing to change." in company.infra("plan")


KINDS = {
    "SPOT,EC2": (),
    "FARGATE_SPOT,FARGATE": ("--new-network", "--stuck-after", "3600"),
    "EC2": ("--gpu", "--no-new-network", "--stuck-after", "0"),
}


@pytest.mark.parametrize("compute", KINDS)
def test_a_queue_of_every_kind_runs_a_task(company: Company, compute: str) -> None:
    company.infra("up", "--compute", compute, *KINDS[compute], "--yes")
    assert [each["computeResources"]["type"] for each in company.environments()] == compute.split(",")
    assert all(each["computeResources"].get("minvCpus", 0) == 0 for each in company.environments())
    assert "It answers: Hello" in company.hello()
    assert "There is nothing to change." in company.infra("plan")


def test_terraforms_own_checks_pass(company: Company) -> None:
    (folder,) = (company.shell.home / ".local" / "share" / "covalent-awsbatch" / "infra").iterdir()
    company.shell.terraform(folder, "fmt", "-check", "-diff")
    company.shell.terraform(folder, "validate")


def test_a_name_that_can_not_be_is_refused_before_anything_is_asked(company: Company) -> None:
    told = company.infra("plan", "--compute", "EC2,FARGATE", code=1)
    assert "SettingError" in told
    assert "compute" in told


def test_down_keeps_what_holds_data_and_removes_the_rest(company: Company) -> None:
    company.client("s3").put_object(Bucket=MADE["bucket"], Key="covalent-awsbatch/results/late", Body=b"")
    told = company.infra("down", "--yes")
    assert f"Kept, for something lies in it: the bucket {MADE['bucket']}" in told
    assert f"Kept, for something lies in it: the repository {MADE['repository']}" in told
    assert company.client("batch").describe_job_queues(jobQueues=[MADE["queue"]])["jobQueues"] == []
    assert company.client("ecr").describe_repositories(repositoryNames=[MADE["repository"]])["repositories"]
    assert "batch_queue" not in company.section


def test_down_with_data_leaves_nothing(company: Company) -> None:
    assert f"Deleted too, with what lies in it: the bucket {MADE['bucket']}" in company.infra("down", "--data", "--yes")
    client = company.client
    left = [
        *(bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]),
        *(each["repositoryName"] for each in client("ecr").describe_repositories()["repositories"]),
        *(each["RoleName"] for each in client("iam").list_roles()["Roles"]),
        *(each["InstanceProfileName"] for each in client("iam").list_instance_profiles()["InstanceProfiles"]),
        *(each["PolicyName"] for each in client("iam").list_policies(Scope="Local")["Policies"]),
        *(each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]),
        *(each["GroupName"] for each in client("ec2").describe_security_groups()["SecurityGroups"]),
        *(
            each["computeEnvironmentName"]
            for each in client("batch").describe_compute_environments()["computeEnvironments"]
        ),
    ]
    assert [name for name in left if name.startswith(PREFIX)] == []
    assert len(client("ec2").describe_vpcs()["Vpcs"]) == 1
    assert "No stack ours" in company.infra("status", code=1)


def test_the_deployer_was_never_refused_and_needs_every_statement_and_action(company: Company) -> None:
    asked = company.people.asked("builder")
    assert [found for found in asked if not found.allowed] == []
    for statement in statements():
        rest = [other for other in statements() if other["Sid"] != statement["Sid"]]
        needed = [found for found in asked if not any(permits(other, found) for other in rest)]
        assert needed, f"nothing needs {statement['Sid']}"
        unused = [action for action in statement["Action"] if action not in {found.action for found in needed}]
        assert unused == [], f"no call needs {unused} of {statement['Sid']}"


def permits(statement: Statement, asked: Asked) -> bool:
    """Whether a statement allows what was asked, whoever a role was to be passed to."""
    results = {of_statement(statement, asked.action, asked.resource, context) for context in PASSED}
    return PermissionResult.PERMITTED in results


def test_without_a_statement_the_deployer_reads_which_action_is_missing(company: Company) -> None:
    company.people.allow("builder", [each for each in statements() if each["Sid"] != "MakeLogGroup"])
    told = company.infra("up", "--yes", code=1)
    assert "logs:CreateLogGroup" in told
