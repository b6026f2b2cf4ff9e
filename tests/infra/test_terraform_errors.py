# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What Terraform blames is told with what mends it. The texts are the AWS provider's."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.iam import Names
from covalent_awsbatch_plugin.infra import terraform
from covalent_awsbatch_plugin.infra.deployer_policy import allowing, deployer
from covalent_awsbatch_plugin.infra.stack_names import names
from covalent_awsbatch_plugin.infra.stack_settings import infra_settings
from covalent_awsbatch_plugin.infra.terraform_errors import failed

WHO = "User: arn:aws:iam::123456789012:user/builder is not authorized to perform"
BECAUSE = "because no identity-based policy allows it"
DENIED = "api error AccessDenied: " + WHO


def test_a_terraform_that_never_answers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "terraform").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(terraform, "VERSION_LIMIT_S", 0.1)
    with pytest.raises(SettingError, match=f"`{tmp_path}/terraform version` did not end within 0.1 s"):
        terraform.program()


BLAMED = [
    (
        f"aws_s3_bucket.this: creating S3 Bucket (x): {DENIED}: s3:CreateBucket on resource: arn:aws:s3:::x {BECAUSE}",
        ["lack s3:CreateBucket;", "the statement `ManageBucket`."],
    ),
    (
        f"{DENIED}: iam:PassRole on resource: arn:aws:iam::123456789012:role/ours-batch-service-us-east-1 {BECAUSE}",
        ["lack iam:PassRole;", "the statement `PassRoleToBatch`."],
    ),
    (
        f"{DENIED}: iam:PassRole on resource: arn:aws:iam::123456789012:role/ours-batch-instance-us-east-1.",
        ["the statement `PassRoleToInstances`."],
    ),
    (
        f"{DENIED}: iam:PassRole on resource: arn:aws:iam::123456789012:role/somebodys",
        ["the statement `PassRoleToBatch` and `PassRoleToInstances`."],
    ),
    (f"{DENIED}: kms:Decrypt on resource: arn:aws:kms:us-east-1:123456789012:key/x", ["lack kms:Decrypt.\n"]),
    (
        "reading S3 Bucket (x): operation error S3: HeadBucket, https response error StatusCode: 403, RequestID: 1,"
        " HostID: 2, api error Forbidden: Forbidden",
        ["lack s3:ListBucket;", "`ManageBucket`"],
    ),
    (
        "creating Batch Job Queue (q) operation error Batch: CreateJobQueue, https response error StatusCode: 400,"
        " RequestID: 1, ClientException: Job queue q already exists",
        ["--prefix"],
    ),
    ("creating ECR Repository (r): RepositoryAlreadyExistsException: there is one", ["--prefix"]),
    ("creating Security Group (g): api error InvalidGroup.Duplicate: there is one", ["--prefix"]),
    ("creating S3 Bucket (b): BucketAlreadyExists", ["--prefix"]),
    ("Error acquiring the state lock resource temporarily unavailable", ["wait for its end"]),
    ("Error: Failed to query available provider packages", ["Correct what Terraform names.\n"]),
]


@pytest.mark.parametrize(("blamed", "words"), BLAMED)
def test_what_is_blamed_is_told_with_what_mends_it(blamed: str, words: list[str]) -> None:
    error = failed("apply", [blamed])
    assert blamed in error.says
    assert [word for word in words if word not in error.advice] == []
    assert error.advice.endswith("it continues where it stopped.")


def test_what_is_missing_twice_is_told_once() -> None:
    one, two = BLAMED[0][0], BLAMED[6][0]
    advice = failed("apply", [one, two, one]).advice
    assert advice.count("s3:CreateBucket") == 1
    assert "--prefix" in advice


MADE = names("ours", "123456789012", "us-east-1", {})
WHOLE = deployer(
    infra_settings({"new_network": True, "delete_data": True}), Names.made(MADE, "123456789012", "us-east-1"), MADE
)


@pytest.mark.parametrize(
    ("sid", "action", "resource"),
    [(each["Sid"], action, each["Resource"][0]) for each in WHOLE for action in each["Action"]],
)
def test_every_action_of_the_deployer_leads_to_its_statement(sid: str, action: str, resource: str) -> None:
    assert allowing(action, resource) == [sid]
