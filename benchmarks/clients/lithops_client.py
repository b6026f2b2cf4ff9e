# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Drives lithops on AWS Batch: one `map` over all arguments, and its results."""

from __future__ import annotations

import boto3
import meter


def main(told: dict) -> None:
    import lithops

    executor = lithops.FunctionExecutor(config=configuration(told), log_level=None)

    def run(n: int) -> list[int]:
        futures = executor.map(meter.task, meter.arguments(n))
        return executor.get_result(futures, show_progressbar=False)

    run(told["warm"])
    with meter.Meter(told) as measured:
        values = run(told["n"])
    assert values == meter.right(told["n"])
    measured.report()


def configuration(told: dict) -> dict:
    """One container for each task, as with the others; `env_max_cpus` is what lithops would share out instead."""
    section = told["section"]
    keys = boto3.Session().get_credentials()
    role = "arn:aws:iam::123456789012:role/{}".format
    own = {"region": section["region"], "access_key_id": keys.access_key, "secret_access_key": keys.secret_key}
    return {
        "lithops": {
            "backend": "aws_batch",
            "storage": "aws_s3",
            "monitoring_interval": section["poll_freq"],
            "data_cleaner": False,
            "telemetry": False,
        },
        "aws": own,
        "aws_s3": {"storage_bucket": section["s3_bucket_name"]},
        "aws_batch": {
            "runtime": told["settings"]["runtime"],
            "runtime_cpu": 1,
            "runtime_memory": 2048,
            "env_type": "EC2",
            "env_max_cpus": 10_000,
            "execution_role": role(section["batch_execution_role_name"]),
            "job_role": role(section["batch_job_role_name"]),
            "instance_role": "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole",
            "service_role": role("AWSBatchServiceRole"),
            "security_groups": told["settings"]["security_groups"],
            "subnets": told["settings"]["subnets"],
        },
    }


if __name__ == "__main__":
    main(meter.told())
