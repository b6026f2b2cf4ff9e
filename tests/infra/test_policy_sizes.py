# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The sizes of policies: what `iam` prints fits what IAM takes, in parts where it must, and the offline IAM counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.iam import (
    MANAGED_CHARACTERS,
    ROLE_CHARACTERS,
    USER_CHARACTERS,
    Names,
    allow,
    characters,
    document,
    split,
)
from covalent_awsbatch_plugin.infra.deployer_policy import deployer
from covalent_awsbatch_plugin.infra.stack_names import names
from covalent_awsbatch_plugin.infra.stack_settings import infra_settings
from tests.infra.people import People

LONG = {"ecr_repo_name": "images/" + "r" * 100, "s3_bucket_name": "b" * 63, "batch_job_log_group_name": "g" * 200}


def longest() -> dict[str, Any]:
    """The deployer's policy with every option, and long names."""
    resources = names("p" * 23, "123456789012", "ap-southeast-2", LONG)
    everything = infra_settings({"prefix": "p" * 23, "new_network": True, "delete_data": True})
    return document(deployer(everything, Names.made(resources, "123456789012", "ap-southeast-2"), resources))


def test_a_policy_that_is_too_long_is_split_at_its_statements() -> None:
    whole = longest()
    assert MANAGED_CHARACTERS < characters(whole) < ROLE_CHARACTERS
    parts = split(whole["Statement"])
    assert [statement for part in parts for statement in part["Statement"]] == whole["Statement"]
    assert len(parts) == 2
    assert all(characters(part) <= MANAGED_CHARACTERS for part in parts)


@pytest.mark.parametrize("limit", [1, 300, 100_000])
def test_no_statement_is_lost_by_splitting(limit: int) -> None:
    whole = longest()["Statement"]
    parts = split(whole, limit)
    assert [statement for part in parts for statement in part["Statement"]] == whole
    assert len(parts) == {1: len(whole), 100_000: 1}.get(limit, len(parts))


def printed(*words: str) -> Any:
    where = ["--account", "123456789012", "--region", "ap-southeast-2", "--prefix", "p" * 23]
    long_names = [word for name, value in LONG.items() for word in (f"--{name.replace('_', '-')}", value)]
    return CliRunner().invoke(
        main, ["iam", "--role", "deployer", "--new-network", "--delete-data", *where, *long_names, *words]
    )


def test_iam_prints_the_parts_of_the_deployers_policy() -> None:
    whole, first, second = printed(), printed("--part", "1"), printed("--part", "2")
    assert json.loads(whole.stdout) == longest()
    assert "in 2 parts, with --part 1 to 2" in whole.stderr
    assert first.stderr == second.stderr == ""
    statements = [*json.loads(first.stdout)["Statement"], *json.loads(second.stdout)["Statement"]]
    assert statements == longest()["Statement"]
    assert "The policy has 2 parts." in printed("--part", "3").stderr


def of_size(size: int) -> str:
    """A policy of just so many characters."""
    short = characters(document([allow("A", "s3:GetObject", "")]))
    return json.dumps(document([allow("A", "s3:GetObject", "arn:aws:s3:::" + "x" * (size - short - 13))]), indent=3)


def test_the_offline_iam_takes_what_aws_takes_and_no_more(people: People) -> None:
    admin = people.admin
    refused = pytest.raises(admin.exceptions.LimitExceededException)
    admin.create_user(UserName="small")
    admin.put_user_policy(UserName="small", PolicyName="a", PolicyDocument=of_size(USER_CHARACTERS - 200))
    admin.put_user_policy(UserName="small", PolicyName="b", PolicyDocument=of_size(200))
    admin.put_user_policy(UserName="small", PolicyName="b", PolicyDocument=of_size(200))  # instead of the first
    with refused:
        admin.put_user_policy(UserName="small", PolicyName="b", PolicyDocument=of_size(201))
    trust = json.dumps(document([{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]))
    admin.create_role(RoleName="big", AssumeRolePolicyDocument=trust)
    admin.put_role_policy(RoleName="big", PolicyName="a", PolicyDocument=of_size(ROLE_CHARACTERS))
    with refused:
        admin.put_role_policy(RoleName="big", PolicyName="a", PolicyDocument=of_size(ROLE_CHARACTERS + 1))
    arn = admin.create_policy(PolicyName="most", PolicyDocument=of_size(MANAGED_CHARACTERS))["Policy"]["Arn"]
    for call, of in ((admin.create_policy, {"PolicyName": "more"}), (admin.create_policy_version, {"PolicyArn": arn})):
        with refused:
            call(PolicyDocument=of_size(MANAGED_CHARACTERS + 1), **of)
