# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What is made in the account, each setting born once: Terraform's variables, `infra up`'s options and the docs grow
from these lines, and so do the two classes that `covalent deploy` asks for.

Values are text, numbers and switches, and several names are one text with commas: `covalent deploy` hands every option
to Terraform as a quoted string.
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
        raise ValueError(f"CloudWatch knows {', '.join(map(str, RETENTION_DAYS))}")
    return days


def _never_or_long(seconds: int) -> int:
    if 0 < seconds < LEAST_STUCK_S:
        raise ValueError(f"it is 0 or at least {LEAST_STUCK_S}")
    return seconds


def _each_once(compute: str) -> str:
    kinds = compute.split(",")
    if len(set(kinds)) != len(kinds):
        raise ValueError("each kind may stand in it once")
    return compute


class InfraSettings(BaseModel):
    """What to make. Everything has a default, and with all of them nothing costs money while no job runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str = Field(
        "covalent",
        pattern=NAME_RULE,
        description="How the names of all that is made begin: 2 to 23 lower-case letters, digits and -."
        " Two stacks in one account and Region need two.",
    )
    compute: Annotated[str, AfterValidator(_each_once)] = Field(
        "EC2",
        pattern=COMPUTE_RULE,
        description="What runs jobs, tried in this order: EC2, SPOT, or both; or FARGATE, FARGATE_SPOT, or both."
        " `SPOT,EC2` is Spot first and on demand when there is none.",
    )
    instance_types: str = Field(
        "",
        pattern=LIST_RULE,
        description="EC2 instance types or families, with commas. Empty: `optimal`, for arm64 m7g, c7g and r7g,"
        " with GPUs g4dn, g5 and g6 (arm64: g5g).",
    )
    image_id: str = Field(
        "",
        pattern=r"^$|^ami-[0-9a-f]+$",
        description="AMI of the EC2 instances. Empty: the newest ECS-optimized one, with NVIDIA's drivers for GPUs; for"
        " GPUs with arm64 there is none.",
    )
    gpu: bool = Field(False, description="EC2 instances with GPUs, for tasks with num_gpus.")
    max_vcpus: int = Field(
        256, ge=1, le=100_000, description="vCPUs that may run at once, over all jobs; none run idle."
    )
    vpc_id: str = Field(
        "", pattern=r"^$|^vpc-[0-9a-f]+$", description="VPC for the jobs. Empty: the Region's default VPC."
    )
    subnet_ids: str = Field(
        "", pattern=LIST_RULE, description="Subnets of it, with commas. Empty: all of the VPC's own."
    )
    new_network: bool = Field(
        False,
        description="Make a VPC with public subnets and an S3 endpoint instead: no NAT gateway, so it costs nothing.",
    )
    keep_days: int = Field(
        30, ge=1, le=3650, description="Days after which what tasks left in the bucket and their images are deleted."
    )
    log_retention_days: Annotated[int, AfterValidator(_known_retention)] = Field(
        30,
        json_schema_extra={"one_of": list(RETENTION_DAYS)},  # for Terraform, which can't call the validator
        description="Days that the jobs' logs are kept, of those that CloudWatch knows.",
    )
    scan_images: bool = Field(
        False, description="Scan every image that is pushed. AWS may bill each task's image for it."
    )
    stuck_after: Annotated[int, AfterValidator(_never_or_long)] = Field(
        0,
        ge=0,
        le=86_400,
        json_schema_extra={"zero_or_least": LEAST_STUCK_S},
        description="Seconds (600 to 86400) after which AWS Batch cancels the job at the queue's head when it can't be"
        " placed. 0: never; a first EC2 instance can take minutes to come.",
    )
    permissions_boundary: str = Field(
        "",
        pattern=r"^$|^arn:[^%]+$",
        description="ARN of the policy that bounds the roles, where your company asks for one.",
    )
    tags: str = Field("", pattern=TAGS_RULE, description="More tags for all that is made, such as team=vision,cost=42.")
    delete_data: bool = Field(
        False, description="Whether `down` may delete bucket and repository while something lies in them."
    )


def _unset(field: FieldInfo) -> Any:
    """A setting's type and limits, with None for not said."""
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return (Optional[kind], Field(None, description=field.description))  # noqa: UP045 - the kind is a value here


ExecutorInfraDefaults = InfraSettings
# Every setting is None until somebody says more: `covalent deploy` writes each into the user's file, and a default
# written there would be today's for ever.
ExecutorPluginDefaults: type[BaseModel] = create_model(
    "ExecutorPluginDefaults",
    __doc__="The `[executors.awsbatch]` section, as `covalent deploy` writes it.",
    **{name: _unset(field) for name, field in Settings.model_fields.items()},
)


def infra_settings(given: Mapping[str, Any]) -> InfraSettings:
    """What to make, checked. Raises SettingError, which names the first wrong value."""
    try:
        return InfraSettings(**given)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        raise SettingError(
            f"{name}={given.get(name)!r} can't be used: {wrong['msg'].removeprefix('Value error, ')}.",
            advice=f"{name}: {InfraSettings.model_fields[name].description}",
        ) from None
