# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Policies and requests for repositories and keys that are not the stack's own."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_awsbatch_plugin.aws.ecr import ECR, registry_of
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.iam import ROLES
from covalent_awsbatch_plugin.infra import checks
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Settings

OURS = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
THEIRS = "210987654321.dkr.ecr.us-east-1.amazonaws.com"


def statements(role: str, **settings: Any) -> dict[str, list[str]]:
    """The resources of a role's statements, by Sid."""
    names = configured_names(Settings(**settings), "123456789012", "eu-west-1")
    return {each["Sid"]: each["Resource"] for each in ROLES[role](names)}


@pytest.mark.parametrize(
    ("image", "resources"),
    [
        (f"{THEIRS}/team/python:3.11", ["arn:aws:ecr:us-east-1:210987654321:repository/team/python"]),
        (f"{OURS}/python:3.11", ["arn:aws:ecr:eu-west-1:123456789012:repository/python"]),
        (f"{OURS}/covalent-batch-job-images:base", None),
        ("python:3.11-slim", None),
        ("", None),
    ],
)
def test_the_dispatcher_may_read_the_base_images_repository(image: str, resources: list[str] | None) -> None:
    assert statements("dispatcher", container_image_uri=image).get("ReadBase") == resources


@pytest.mark.parametrize(
    "repository", [f"{THEIRS}/team/tasks", "arn:aws:ecr:us-east-1:210987654321:repository/team/tasks"]
)
def test_a_repository_of_another_account_is_named_in_the_policies(repository: str) -> None:
    arn = ["arn:aws:ecr:us-east-1:210987654321:repository/team/tasks"]
    assert statements("dispatcher", ecr_repo_name=repository)["PushImages"] == arn
    assert statements("execution", ecr_repo_name=repository)["PullImages"] == arn
    assert registry_of(repository) == {"registryId": "210987654321"}


def test_a_repository_given_by_name_is_of_this_account() -> None:
    assert registry_of("tasks") == {}


async def test_a_repository_is_found_by_its_uri() -> None:
    async with LocalAWS(engine="process") as world:
        section = world.section()
        async with AWS(Connection(section["credentials"], section["profile"], section["region"])) as aws:
            uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{section['ecr_repo_name']}"
            assert (await ECR(aws).repository(uri)).name == section["ecr_repo_name"]
            await ECR(aws).delete_images(uri, [f"sha256:{'0' * 64}"])


@pytest.mark.parametrize("role", ["dispatcher", "job"])
@pytest.mark.parametrize(
    "key",
    [
        "0d3e1b0a-1111-2222-3333-444455556666",
        "arn:aws:kms:eu-west-1:123456789012:key/0d3e1b0a-1111-2222-3333-444455556666",
    ],
)
def test_the_key_of_the_bucket_is_in_the_policies(role: str, key: str) -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/0d3e1b0a-1111-2222-3333-444455556666"
    assert statements(role, kms_key=key)["UseKey"] == [arn]
    assert "UseKey" not in statements(role)


def test_the_execution_role_needs_no_key() -> None:
    assert "UseKey" not in statements("execution", kms_key="k")


@pytest.mark.parametrize(
    ("region", "prefix"),
    [
        ("eu-west-1", "com.amazonaws"),
        ("cn-north-1", "cn.com.amazonaws"),
        ("us-iso-east-1", "gov.ic.c2s"),
    ],
)
def test_vpc_endpoints_are_known_by_their_partitions_names(region: str, prefix: str) -> None:
    endpoints = [f"{prefix}.{region}.{service}" for service in checks.SERVICES]
    assert checks.way_out("subnet-1", [], False, endpoints, region).state == checks.OK
    assert checks.way_out("subnet-1", [], False, endpoints[1:], region).state == checks.WRONG
