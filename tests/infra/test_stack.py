# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From nothing to a working queue and back, as users who may do just what `iam --role deployer` prints.

Two companies' stacks go through all kinds of compute, in one test of many steps and beside each other: AWS's provider
waits a minute for a bucket's rules and half of one for each queue, whatever it is told.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.iam.access_control import PermissionResult

from covalent_awsbatch_plugin.iam import Statement
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.iam.enforcement import of_statement
from covalent_awsbatch_plugin.settings import defaults
from tests.infra.company import ACCOUNT, Company
from tests.infra.people import Asked

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(2400)]

PASSED = {"iam:PassedToService": "batch.amazonaws.com"}, {"iam:PassedToService": "ec2.amazonaws.com"}, {}
DIFFERENT = ("--scan-images", "--keep-days", "7", "--log-retention-days", "7", "--max-vcpus", "64")


@pytest.fixture(scope="module")
def ours(guarded_aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    company = Company.founded("ours", guarded_aws, tmp_path_factory.mktemp("ours"))
    yield company
    company.close()


@pytest.fixture(scope="module")
def other(guarded_aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Its stack is under way from the beginning."""
    company = Company.founded("other", guarded_aws, tmp_path_factory.mktemp("other"))
    more = ("--new-network", "--stuck-after", "3600", "--tags", "team=vision,cost=42")
    company.begin("up", "--compute", "FARGATE_SPOT,FARGATE", *more, "--yes")
    yield company
    company.close()


def a_run_that_is_interrupted_leaves_the_config_file_alone_and_can_be_run_again(ours: Company, other: Company) -> None:
    process = ours.begin("up", "--compute", "FARGATE", "--yes")
    assert process.stdout is not None
    for line in process.stdout:
        if "aws_batch_job_queue.this: Creating" in line:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C goes to everybody at the terminal
            break
    ours.close()
    ours.under_way = None
    assert process.returncode != 0
    assert ours.section == {}
    assert "aws_iam_role.job: Plan to create" not in ours.infra("plan"), "what was made is known"

    ours.infra("up", "--yes")
    assert ours.section["batch_queue"] == ours.made["queue"]


def what_is_made_is_called_as_python_says(ours: Company) -> None:
    settings = {
        "bucket": "s3_bucket_name",
        "repository": "ecr_repo_name",
        "queue": "batch_queue",
        "execution_role": "batch_execution_role_name",
        "job_role": "batch_job_role_name",
        "log_group": "batch_job_log_group_name",
        "definition": "batch_job_definition_name",
    }
    assert {kind: ours.section[setting] for kind, setting in settings.items()} == {
        kind: ours.made[kind] for kind in settings
    }


def may_send(company: Company) -> None:
    """Whoever runs the server has the policy that Terraform made, and runs a task with it."""
    policy = f"arn:aws:iam::{ACCOUNT}:policy/{company.made['dispatcher']}"
    company.people.admin.attach_user_policy(UserName=company.user("server"), PolicyArn=policy)
    assert "Result: Hello" in company.hello()


def a_task_runs_with_the_policy_that_terraform_made(ours: Company) -> None:
    may_send(ours)


def a_second_run_changes_nothing(ours: Company) -> None:
    assert "Nothing to change." in ours.infra("plan")


def terraforms_warnings_are_not_taken_for_its_answers(ours: Company) -> None:
    well = ours.infra("status")
    with_warnings = Company(ours.prefix, ours.people, ours.shell.where(TF_CLI_CONFIG_FILE="/nowhere"), ours.credentials)
    assert with_warnings.infra("status") == well


def a_queue_of_fargates_spot_first_in_a_network_of_its_own_runs_a_task(ours: Company, other: Company) -> None:
    definition = ("--batch-job-definition-name", "elsewhere")  # it is in the dispatcher's policy
    ours.begin("up", "--compute", "SPOT,EC2", *DIFFERENT, *definition, "--yes")
    assert "costs money" in other.finish()
    assert [each["type"] for each in other.machines()] == ["FARGATE_SPOT", "FARGATE"]
    limits = [
        (each["state"], each["action"], each["maxTimeSeconds"]) for each in other.queue["jobStateTimeLimitActions"]
    ]
    assert limits == [("RUNNABLE", "CANCEL", 3600)] * 3
    may_send(other)
    assert "Nothing to change." in other.infra("plan")


def all_that_takes_tags_has_them(other: Company) -> None:
    wanted = {"covalent:plugin": "awsbatch", "covalent:infra": "other", "team": "vision", "cost": "42"}
    state = json.loads((other.folder / "terraform.tfstate").read_text())
    tagged = {
        f"{each['type']}.{each['name']}": instance["attributes"]["tags_all"]
        for each in state["resources"] if each["mode"] == "managed"
        for instance in each["instances"] if "tags_all" in instance["attributes"]
    }  # fmt: skip
    assert len(tagged) >= 12
    assert len(networks(other)) == 1
    assert {name: tags for name, tags in tagged.items() if not wanted.items() <= tags.items()} == {}


def networks(company: Company) -> list[Any]:
    """Those that a stack made; the account has others."""
    by_tag = [{"Name": "tag:covalent:plugin", "Values": ["awsbatch"]}]
    return list(company.client("ec2").describe_vpcs(Filters=by_tag)["Vpcs"])


GIVEN_BEFORE_MACHINES = ["PassRoleToInstances", "PassRoleToBatch"]  # in the order in which they are needed


def without_a_statement_machines_are_not_made_and_the_missing_action_is_told(other: Company, sid: str) -> None:
    told_of(sid, other.refused(sid, "up", "--compute", "EC2", "--yes"), other)
    if sid == "PassRoleToInstances":  # AWS's provider made a profile, could not finish it, and forgot it
        other.people.admin.delete_instance_profile(InstanceProfileName=other.made["instance_role"])


def told_of(sid: str, told: str, company: Company) -> None:
    """The error names what is missing, and the statement that allows it."""
    (actions,) = (each["Action"] for each in company.statements if each["Sid"] == sid)
    assert [action for action in actions if f"lack {action}" in told], told
    assert f"`{sid}`" in told


def a_queue_of_spot_first_runs_a_task_where_everything_was_changed(ours: Company, other: Company) -> None:
    vpc, subnets = a_network(other)
    network = ("--no-new-network", "--vpc-id", vpc, "--subnet-ids", ",".join(subnets))
    other.begin("up", "--compute", "EC2", "--gpu", *network, "--stuck-after", "0", "--yes")
    ours.finish()
    spot, on_demand = ours.machines()
    assert (spot["type"], on_demand["type"]) == ("SPOT", "EC2")
    for each in spot, on_demand:
        assert (each["minvCpus"], each["maxvCpus"], set(each["instanceTypes"])) == (0, 64, {"optimal"})
    assert "Result: Hello" in ours.hello()
    assert "Nothing to change." in ours.infra("plan")


def a_network(company: Company) -> tuple[str, list[str]]:
    """A VPC, and some of its subnets."""
    ec2 = company.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    return vpc["VpcId"], sorted(each["SubnetId"] for each in found)[:2]


def what_holds_data_is_private_encrypted_and_does_not_stay_for_ever(ours: Company) -> None:
    s3, bucket, made = ours.client("s3"), ours.made["bucket"], ours.made
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [each["Expiration"]["Days"] for each in rules if "Expiration" in each] == [7]

    ecr, repository = ours.client("ecr"), made["repository"]
    (told,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert told["imageScanningConfiguration"]["scanOnPush"] is True
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"])
    assert {each["selection"]["countNumber"] for each in policy["rules"]} == {7}
    (group,) = ours.client("logs").describe_log_groups(logGroupNamePrefix=made["log_group"])["logGroups"]
    assert group["retentionInDays"] == 7


def what_was_changed_by_hand_is_mended(ours: Company) -> None:
    iam = ours.client("iam")
    role, nobody = ours.made["job_role"], {"Service": "lambda.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": nobody, "Action": "sts:AssumeRole"}
    by_hand = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=by_hand)
    ours.infra("up", "--yes")
    assert iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] != nobody
    assert "Nothing to change." in ours.infra("plan")


# What each statement is needed for, where looking is not enough. Options are told, for they are remembered.
NEEDED_FOR = {
    "ManageNetwork": ("plan", "--new-network"),
    "ManageSecurityGroup": ("up", "--new-network", "--yes"),
    "ManageQueue": ("up", "--no-new-network", "--max-vcpus", "63", "--yes"),
    "ManageBucket": ("down", "--yes"),
    "ListImages": ("down", "--yes"),
    "DescribeLogStreams": ("down", "--yes"),
}
LOOK = ("plan", "--no-new-network")
TO_LOOK_AT_IT = [
    "ReadBucketConfiguration", "ManageRepository", "ManageLogGroup", "DescribeLogGroups", "ManageRoles",
    "ManageDispatcherPolicy", "ManageInstanceProfile", "DescribeQueues", "DescribeNetwork",
]  # fmt: skip


def without_a_statement_the_missing_action_is_told(ours: Company, sid: str) -> None:
    told_of(sid, ours.refused(sid, *NEEDED_FOR.get(sid, LOOK)), ours)


def a_queue_of_gpus_in_a_given_network_runs_a_task(other: Company) -> None:
    other.finish()
    (machines,) = other.machines()
    assert machines["type"] == "EC2"
    assert set(machines["instanceTypes"]) == {"g4dn", "g5", "g6"}
    assert [each["imageType"] for each in machines["ec2Configuration"]] == ["ECS_AL2023_NVIDIA"]
    assert sorted(machines["subnets"]) == a_network(other)[1]
    assert other.queue.get("jobStateTimeLimitActions", []) == []
    assert "Result: Hello" in other.hello()
    assert "Nothing to change." in other.infra("plan")


def machines_become_arm64s_and_tags_can_be_taken_away(other: Company) -> None:
    told = other.infra("plan", "--platform", "linux/arm64", code=1)
    assert "name one with image_id" in told, "AWS Batch knows no image for these with GPUs"
    other.infra("up", "--platform", "linux/arm64", "--no-gpu", "--tags", "", "--yes")
    (machines,) = other.machines()
    assert set(machines["instanceTypes"]) == {"m7g", "c7g", "r7g"}
    assert other.section["platform"] == "linux/arm64"
    assert "team" not in other.queue["tags"]
    assert other.queue["tags"]["covalent:infra"] == "other"
    other.begin("down", "--data", "--yes")


def terraforms_own_checks_pass(ours: Company) -> None:
    ours.shell.terraform(ours.folder, "fmt", "-check", "-diff")
    ours.shell.terraform(ours.folder, "validate")


def a_name_that_can_not_be_is_refused_before_anything_is_asked(ours: Company) -> None:
    told = ours.infra("plan", "--compute", "EC2,FARGATE", code=1)
    assert "The setting compute='EC2,FARGATE'" in told


def down_keeps_what_holds_data_and_removes_the_rest(ours: Company) -> None:
    ours.client("s3").put_object(Bucket=ours.made["bucket"], Key="covalent-awsbatch/results/late", Body=b"")
    told = ours.infra("down", "--yes")
    assert f"Will be kept with its data: the bucket {ours.made['bucket']}" in told
    assert f"Will be kept with its data: the repository {ours.made['repository']}" in told
    assert ours.client("batch").describe_job_queues(jobQueues=[ours.made["queue"]])["jobQueues"] == []
    assert ours.client("ecr").describe_repositories(repositoryNames=[ours.made["repository"]])["repositories"]
    assert ours.section["batch_queue"] == defaults(["batch_queue"])["batch_queue"]


TO_EMPTY_THE_BUCKET = ["ListObjectVersions", "DeleteObjects"]


def without_a_statement_data_stays_and_the_missing_action_is_told(ours: Company, sid: str) -> None:
    told = ours.refused(sid, "down", "--data", "--yes")
    told_of(sid, told, ours)
    assert ours.client("s3").list_objects_v2(Bucket=ours.made["bucket"])["KeyCount"]


def every_statement_was_missed(ours: Company) -> None:
    missed = {*GIVEN_BEFORE_MACHINES, *TO_LOOK_AT_IT, *NEEDED_FOR, *TO_EMPTY_THE_BUCKET}
    assert missed == {each["Sid"] for each in ours.statements}


def down_with_data_leaves_nothing(ours: Company, other: Company) -> None:
    assert "The stack is deleted." in ours.infra("down", "--data", "--yes")
    other.finish()
    client = ours.client
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
    assert [name for name in left if name.startswith((ours.prefix, other.prefix))] == []
    assert networks(ours) == []
    assert "No stack ours" in ours.infra("status", code=1)


# Terraform mends a changed rule with it. Moto demands ports even for a rule of all protocols, which has none.
NOT_ON_MOTO = {"ec2:ModifySecurityGroupRules"}


def the_builders_were_never_refused_and_need_every_statement_and_action(ours: Company, other: Company) -> None:
    asked = [*ours.people.asked(ours.user("builder")), *as_if_of(ours, other)]
    assert [found for found in asked if not found.allowed] == []
    for statement in ours.statements:
        rest = [each for each in ours.statements if each["Sid"] != statement["Sid"]]
        needed = [found for found in asked if not any(permits(each, found) for each in rest)]
        assert needed, f"nothing needs {statement['Sid']}"
        used = {found.action for found in needed} | NOT_ON_MOTO
        unused = [action for action in statement["Action"] if action not in used]
        assert unused == [], f"no call needs {unused} of {statement['Sid']}"


def as_if_of(ours: Company, other: Company) -> list[Asked]:
    """What the other's builder asked, of what would be ours."""
    found = other.people.asked(other.user("builder"))
    return [Asked(e.who, e.action, e.resource.replace(f"{other.prefix}-", f"{ours.prefix}-"), e.allowed) for e in found]


def permits(statement: Statement, asked: Asked) -> bool:
    """Whether a statement allows what was asked, whoever a role was to be passed to."""
    results = {of_statement(statement, asked.action, asked.resource, context) for context in PASSED}
    return PermissionResult.PERMITTED in results


# In this order: a step needs what the steps before it left at AWS.
STEPS: list[tuple[Callable[..., None], str | None]] = [
    (a_run_that_is_interrupted_leaves_the_config_file_alone_and_can_be_run_again, None),
    (what_is_made_is_called_as_python_says, None),
    (a_task_runs_with_the_policy_that_terraform_made, None),
    (a_second_run_changes_nothing, None),
    (terraforms_warnings_are_not_taken_for_its_answers, None),
    (a_queue_of_fargates_spot_first_in_a_network_of_its_own_runs_a_task, None),
    (all_that_takes_tags_has_them, None),
    *((without_a_statement_machines_are_not_made_and_the_missing_action_is_told, sid) for sid in GIVEN_BEFORE_MACHINES),
    (a_queue_of_spot_first_runs_a_task_where_everything_was_changed, None),
    (what_holds_data_is_private_encrypted_and_does_not_stay_for_ever, None),
    (what_was_changed_by_hand_is_mended, None),
    *((without_a_statement_the_missing_action_is_told, sid) for sid in TO_LOOK_AT_IT),
    *((without_a_statement_the_missing_action_is_told, sid) for sid in NEEDED_FOR),
    (a_queue_of_gpus_in_a_given_network_runs_a_task, None),
    (machines_become_arm64s_and_tags_can_be_taken_away, None),
    (terraforms_own_checks_pass, None),
    (a_name_that_can_not_be_is_refused_before_anything_is_asked, None),
    (down_keeps_what_holds_data_and_removes_the_rest, None),
    *((without_a_statement_data_stays_and_the_missing_action_is_told, sid) for sid in TO_EMPTY_THE_BUCKET),
    (every_statement_was_missed, None),
    (down_with_data_leaves_nothing, None),
    (the_builders_were_never_refused_and_need_every_statement_and_action, None),
]


def test_two_companies_stacks_from_nothing_and_back(ours: Company, other: Company, subtests: pytest.Subtests) -> None:
    for step, sid in STEPS:
        given = {"ours": ours, "other": other, "sid": sid}
        with subtests.test(step.__name__, sid=sid):
            step(**{name: given[name] for name in inspect.signature(step).parameters})
