# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The settings of the AWS resources that `infra up` creates.

Terraform's variables, the options of `infra up`, the docs, and the two classes that `covalent deploy` asks for are made
from this list. Values are text, numbers and switches, and a list of names is one text with commas, because `covalent
deploy` hands every option to Terraform as a quoted string.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Optional

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from ..errors import SettingError
from ..settings import Settings

LEAST_STUCK_S = 600  # https://docs.aws.amazon.com/batch/latest/APIReference/API_JobStateTimeLimitAction.html
COMPUTE = ("EC2", "SPOT", "FARGATE", "FARGATE_SPOT")
MOST_ENVIRONMENTS = 3  # of one queue: https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
NAME_RULE = r"^[a-z][a-z0-9-]{0,21}[a-z0-9]$"  # with a Region and an ending it still fits a role's 64 characters
COMPUTE_RULE = r"^((EC2|SPOT)(,(EC2|SPOT))*|(FARGATE|FARGATE_SPOT)(,(FARGATE|FARGATE_SPOT))*)$"
LIST_RULE = r"^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$"
TAGS_RULE = r"^$|^[^=,%]+=[^=,%]*(,[^=,%]+=[^=,%]*)*$"
# PutRetentionPolicy takes no other: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference
RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)


def _known_retention(days: int) -> int:
    if days not in RETENTION_DAYS:
        raise ValueError(f"CloudWatch Logs allows {', '.join(map(str, RETENTION_DAYS))}")
    return days


def _never_or_long(seconds: int) -> int:
    if 0 < seconds < LEAST_STUCK_S:
        raise ValueError(f"it must be 0 or at least {LEAST_STUCK_S}")
    return seconds


def _each_once(compute: str) -> str:
    kinds = compute.split(",")
    if len(set(kinds)) != len(kinds):
        raise ValueError("each type may appear once")
    return compute


class InfraSettings(BaseModel):
    """The settings of a stack. With the defaults, the stack costs nothing while no job runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str = Field(
        "covalent",
        pattern=NAME_RULE,
        description="Prefix of the names of all resources: 2 to 23 lower-case letters, digits and -. Each stack of an"
        " account and Region needs its own.",
    )
    compute: Annotated[str, AfterValidator(_each_once)] = Field(
        "EC2",
        pattern=COMPUTE_RULE,
        description="Types of the compute environments, in the order in which the job queue tries them, separated by"
        " commas: EC2, SPOT, or both; or FARGATE, FARGATE_SPOT, or both. `SPOT,EC2` uses On-Demand instances when no"
        " Spot capacity is available.",
    )
    instance_types: str = Field(
        "",
        pattern=LIST_RULE,
        description="EC2 instance types or families, separated by commas. Empty: `optimal`; for arm64 m7g, c7g and"
        " r7g; with GPUs g4dn, g5 and g6 (arm64: g5g).",
    )
    image_id: str = Field(
        "",
        pattern=r"^$|^ami-[0-9a-f]+$",
        description="AMI of the EC2 instances. Empty: the newest ECS-optimized AMI, with NVIDIA drivers if `gpu` is"
        " set. AWS offers no such AMI for GPUs with arm64, so that needs a value.",
    )
    gpu: bool = Field(False, description="Use EC2 instances with GPUs, for tasks with `num_gpus`.")
    max_vcpus: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Maximum vCPUs of each compute environment, over all jobs. The minimum is 0: no instance runs"
        " while no job does.",
    )
    vpc_id: str = Field(
        "",
        pattern=r"^$|^vpc-[0-9a-f]+$",
        description="VPC of the compute environments. Empty: the Region's default VPC.",
    )
    subnet_ids: str = Field(
        "", pattern=LIST_RULE, description="Subnets of `vpc_id`, separated by commas. Empty: all subnets of the VPC."
    )
    new_network: bool = Field(
        False,
        description="Create a VPC with public subnets and an S3 gateway endpoint, and use it. It has no NAT gateway"
        " and costs nothing.",
    )
    keep_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Days after which the bucket's objects and the repository's images of tasks expire.",
    )
    log_retention_days: Annotated[int, AfterValidator(_known_retention)] = Field(
        30,
        json_schema_extra={"one_of": list(RETENTION_DAYS)},  # for Terraform, which can't call the validator
        description="Retention of the jobs' log group, in days; one of the values that CloudWatch Logs allows.",
    )
    scan_images: bool = Field(
        False, description="Scan each image on push (ECR). AWS may bill the scan of each task's image."
    )
    stuck_after: Annotated[int, AfterValidator(_never_or_long)] = Field(
        0,
        ge=0,
        le=86_400,
        json_schema_extra={"zero_or_least": LEAST_STUCK_S},
        description="Time, in seconds (600 to 86400), after which AWS Batch cancels a RUNNABLE job at the head of the"
        " queue that cannot be placed (job state limit action). 0: never. The first EC2 instance can take minutes to"
        " start.",
    )
    permissions_boundary: str = Field(
        "",
        pattern=r"^$|^arn:[^%]+$",
        description="ARN of the permissions boundary of all roles. Empty: none.",
    )
    tags: str = Field(
        "", pattern=TAGS_RULE, description="Additional tags of all resources, for example team=vision,cost=42."
    )
    delete_data: bool = Field(
        False, description="Allow `infra down` to delete a bucket and a repository that are not empty."
    )


def _unset(field: FieldInfo) -> Any:
    """Return a setting's type and limits, with None as its default."""
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return (Optional[kind], Field(None, description=field.description))  # noqa: UP045 - the kind is a value here


ExecutorInfraDefaults = InfraSettings
# Each setting's default is None here: `covalent deploy` writes every default into the user's file, where it would hide
# the defaults of later versions.
ExecutorPluginDefaults: type[BaseModel] = create_model(
    "ExecutorPluginDefaults",
    __doc__="The `[executors.awsbatch]` section, as `covalent deploy` writes it.",
    **{name: _unset(field) for name, field in Settings.model_fields.items()},
)


def infra_settings(values: Mapping[str, Any]) -> InfraSettings:
    """Return checked settings. Raises SettingError, which names the first wrong value."""
    try:
        return InfraSettings(**values)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        raise SettingError(
            f"The setting {name}={values.get(name)!r} can't be used: {wrong['msg'].removeprefix('Value error, ')}.",
            advice=f"{name}: {InfraSettings.model_fields[name].description}",
        ) from None
