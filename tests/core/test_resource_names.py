# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Settings that name resources: URIs and ARNs are taken where they mean one resource, else the part to set is named."""

from __future__ import annotations

import shlex

import pytest

from covalent_awsbatch_plugin.core.resource_names import job_id
from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.settings import Given, Settings, resolve


def settings(**values: str) -> Settings:
    return resolve(Given(values, "by AWSBatchExecutor(...)"))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("s3_bucket_name", "s3://my-bucket", "my-bucket"),
        ("s3_bucket_name", "s3://my-bucket/", "my-bucket"),
        ("s3_bucket_name", "arn:aws:s3:::my-bucket", "my-bucket"),
        ("s3_bucket_name", "My_old.bucket", "My_old.bucket"),
        ("s3_bucket_name", "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", None),
        ("ecr_repo_name", "team/covalent-batch_images", None),
        ("ecr_repo_name", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b", None),
        ("ecr_repo_name", "arn:aws:ecr:eu-west-1:123456789012:repository/a/b", None),
        ("batch_queue", "arn:aws-cn:batch:cn-north-1:123456789012:job-queue/q", None),
        ("batch_job_role_name", "arn:aws:iam::123456789012:role/team/jobs", None),
        ("batch_job_role_name", "team/jobs", None),
        ("batch_job_log_group_name", "/aws/batch/job", None),
    ],
)
def test_what_means_one_resource_is_taken(name: str, text: str, value: str | None) -> None:
    assert getattr(settings(**{name: text}), name) == (value or text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s3_bucket_name", "s3://my-bucket/results", "set the bucket alone: my-bucket"),
        ("s3_bucket_name", "https://my-bucket.s3.amazonaws.com", "the name of a bucket"),
        ("ecr_repo_name", "ghcr.io/team/images", "ghcr.io is not the host of an ECR registry"),
        (
            "ecr_repo_name",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:v1",
            "set the repository alone: 1",
        ),
        ("ecr_repo_name", "arn:aws:batch:eu-west-1:123456789012:job-queue/q", "not of an ECR repository"),
        ("batch_queue", "arn:aws:batch:eu-west-1:123456789012:compute-environment/ce", "ARN of a compute-environment"),
        ("batch_queue", "my queue", "the name or the ARN of a job queue"),
        ("batch_queue", "q; rm -rf x", "the name or the ARN of a job queue"),
        ("batch_job_role_name", "arn:aws:iam::123456789012:instance-profile/x", "not of a role"),
        ("batch_job_role_name", "arn:aws:sts::123456789012:assumed-role/x/y", "not of a role"),
        ("batch_job_role_name", "$(id)", "the name or the ARN of a role"),
        ("batch_job_log_group_name", "arn:aws:logs:eu-west-1:123456789012:log-group:/a/b:*", "name alone: /a/b"),
        ("batch_job_log_group_name", "my group", "the name of a log group"),
    ],
)
def test_what_does_not_is_refused_with_the_part_to_set(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingError) as raised:
        settings(**{name: text})
    assert raised.value.happened.startswith(
        f"The setting {name}={text!r}, given by AWSBatchExecutor(...), can't be used:"
    )
    assert said in raised.value.happened


@pytest.mark.parametrize("value", [field.default for name, field in Settings.model_fields.items() if "_name" in name])
def test_the_defaults_are_safe_in_a_shell(value: str) -> None:
    assert shlex.quote(value) == value


def test_a_jobs_arn_is_its_id() -> None:
    assert job_id("arn:aws:batch:eu-west-1:123456789012:job/4f1c0b7e:3") == "4f1c0b7e:3"
    assert job_id("4f1c0b7e:3") == "4f1c0b7e:3"
