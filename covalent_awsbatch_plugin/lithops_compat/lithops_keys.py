# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The keys of a Lithops configuration: those that become settings, and the reason for each that has no meaning here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[Any], dict[str, Any]]

UNKNOWN = "it is no key of this section that is known here."
LEAST_TIME_S = 60  # of AWS Batch
_INFRA = "it belongs to the compute environment: `covalent-awsbatch infra up {}`."
_EC2 = "AWS Batch starts and stops the instances itself."
_LOGS = "logging is set up by `setup_lithops_logger` or Python's logging."


class Converted(Exception):
    """A value that is taken as another one; the text says which."""


def _setting(name: str, convert: Callable[[Any], Any] = lambda value: value) -> Rule:
    return lambda value: {name: convert(value)}


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    return float(value)


def seconds(value: Any) -> int:
    """Return a time limit in seconds: AWS Batch has none below 60."""
    return max(LEAST_TIME_S, round(_number(value)))


def gib(megabytes: Any) -> float:
    """Return GiB for Lithops' MB, which are MiB."""
    return _number(megabytes) / 1024


def _whole(value: Any) -> int:
    if _number(value) != int(value):
        raise ValueError(value)
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _image(value: Any) -> dict[str, Any]:
    if value == "python3":  # aws_ec2: the interpreter of the machine
        return {}
    return {"container_image_uri": str(value)}


def _processes(value: Any) -> dict[str, Any]:
    if value == "AUTO":
        return {}
    return {"parallel_tasks": _whole(value), "tasks_per_job": _whole(value)}


def _cleaner(value: Any) -> dict[str, Any]:
    return {} if _flag(value) else {"delete_objects": False, "delete_images": False, "delete_definitions": False}


def _env_type(value: Any) -> dict[str, Any]:
    if value not in ("EC2", "SPOT", "FARGATE", "FARGATE_SPOT"):
        raise ValueError(value)
    raise Converted(f"jobs run where the job queue leads: `covalent-awsbatch infra up --compute {value}` makes such.")


_REGION = _setting("region", str)
_RUNTIME: dict[str, Rule] = {
    "region": _REGION,
    "region_name": _REGION,
    "runtime": _image,
    "runtime_memory": _setting("memory", gib),
    "runtime_timeout": _setting("time_limit", seconds),
    "runtime_cpu": _setting("vcpu", _number),
    "container_vcpus": _setting("vcpu", _number),
    "worker_processes": _processes,
}
SETTINGS: Mapping[str, Mapping[str, Rule]] = {
    "lithops": {
        "execution_timeout": _setting("time_limit", seconds),
        "monitoring_interval": _setting("poll_freq", _number),
        "data_cleaner": _cleaner,
    },
    "aws": {"region": _REGION, "region_name": _REGION},
    "aws_batch": {
        **_RUNTIME,
        "execution_role": _setting("batch_execution_role_name", str),
        "job_role": _setting("batch_job_role_name", str),
        "assign_public_ip": _setting("assign_public_ip", _flag),
        "env_type": _env_type,
    },
    "aws_ec2": {"region": _REGION, "region_name": _REGION, "runtime": _image, "worker_processes": _processes},
    "aws_lambda": {name: _RUNTIME[name] for name in ("region", "region_name", "runtime_memory", "runtime_timeout")},
    "aws_s3": {"region": _REGION, "region_name": _REGION, "storage_bucket": _setting("s3_bucket_name", str)},
}
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "lithops": ("backend", "storage", "mode", "log_level", "log_format", "log_filename", "retries", "chunksize",
                "include_modules"),
}  # fmt: skip
TOLD: Mapping[str, Mapping[str, str]] = {
    "lithops": {
        "monitoring": "results are watched by AWS Batch's DescribeJobs; no RabbitMQ is needed.",
        "data_limit": "the elements of a map have no limit in sum.",
        "exclude_modules": "the setting `environment` says which packages go with a function.",
        "log_stream": _LOGS,
        "telemetry": "`covalent_awsbatch_plugin` records events: docs/events.md.",
        "max_workers": "the compute environment's vCPUs are the limit.",
    },
    "aws": {"account_id": "the account is that of the credentials."},
    "aws_batch": {
        "subnets": _INFRA.format("--vpc-id VPC --subnet-ids SUBNETS"),
        "security_groups": "`covalent-awsbatch infra up` makes the security group.",
        "instance_role": "`covalent-awsbatch infra up` makes the instances' role.",
        "service_role": "AWS Batch's service-linked role is used.",
        "env_max_cpus": _INFRA.format("--max-vcpus N"),
        "max_workers": "the compute environment's vCPUs are the limit.",
    },
    "aws_ec2": {
        "instance_role": "`covalent-awsbatch infra up` makes the instances' role.",
        "vpc_id": _INFRA.format("--vpc-id VPC"),
        "public_subnet_id": _INFRA.format("--vpc-id VPC --subnet-ids SUBNETS"),
        "security_group_id": "`covalent-awsbatch infra up` makes the security group.",
        "request_spot_instances": _INFRA.format("--compute SPOT"),
        "worker_instance_type": _INFRA.format("--instance-types TYPES"),
        "target_ami": _INFRA.format("--image-id AMI"),
        "max_workers": "the compute environment's vCPUs are the limit.",
        "ebs_volumes": "a launch template of the compute environment sets its disks.",
        "extra_apt_packages": "put them into a base image, and name that with `runtime`.",
        "extra_python_packages": "the setting `environment` adds Python packages.",
        **dict.fromkeys(
            (
                "public_subnet_cidr_block", "ssh_key_name", "ssh_username", "ssh_password", "ssh_key_filename",
                "master_instance_type", "delete_on_dismantle", "auto_dismantle", "soft_dismantle_timeout",
                "hard_dismantle_timeout", "exec_mode", "instance_id",
            ),
            _EC2,
        ),
    },
    "aws_lambda": {"execution_role": "AWS Lambda's role is none of a container on AWS Batch."},
}  # fmt: skip
