# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One stack of infrastructure: which it is, what it is made with, and what in it holds data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.covalent_config import section, write_section
from ..settings import Settings
from ..tasks.services import Services
from .contents import DataPlaces
from .stack_settings import InfraSettings, infra_settings
from .terraform import Say, Terraform

COST = (
    "While no job runs none of this costs money, but what lies in the bucket, the repository and the log group does"
    " a little, until it is deleted after {keep_days} days (logs: {log_retention_days})."
)
# Which of Terraform's addresses belong to a place that holds data.
_PLACES = {"bucket": "aws_s3_bucket", "repository": "aws_ecr_", "log group": "aws_cloudwatch_log_group"}


@dataclass(frozen=True)
class Stack:
    """Where a stack is: two with the same three are the same."""

    account: str
    region: str
    prefix: str

    @property
    def name(self) -> str:
        """What its folder and state are called."""
        return f"{self.account}-{self.region}-{self.prefix}"

    def terraform(self, say: Say) -> Terraform:
        """Its Terraform."""
        return Terraform(self.name, say)


async def stack(services: Services, prefix: str) -> Stack:
    """The stack of that prefix in the account and Region that we are connected to."""
    identity = await services.account.identity()
    return Stack(identity.account, await services.aws.region(), prefix)


def connection(settings: Settings) -> dict[str, str]:
    """The variables that lead Terraform to the account."""
    path = settings.credentials and str(Path(settings.credentials).expanduser().absolute())  # it runs elsewhere
    return {"credentials": path, "profile": settings.profile}


def variables(stack: Stack, known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Terraform's variables: those of last time, with what is given now. Raises SettingError for a wrong one."""
    chosen = {**known, **{name: value for name, value in given.items() if value is not None}}
    infra = infra_settings({name: value for name, value in chosen.items() if name in InfraSettings.model_fields})
    return {**chosen, **infra.model_dump(), "region": stack.region}


def write_settings(settings: Mapping[str, Any]) -> None:
    """The config section leads to the stack, and no longer to an offline AWS's base image."""
    values = {name: value for name, value in settings.items() if value not in (None, "")}
    before = section()
    elsewhere = before.get("credentials", "") != values.get("credentials", "")
    stale = {"credentials", "profile", "container_image_uri", "poll_freq"} if elsewhere else set()
    write_section(values, drop=(stale - set(values)) & set(before))


def forget_settings(settings: Mapping[str, Any]) -> None:
    """The config section no longer names what was removed."""
    names = {name: value for name, value in settings.items() if name.startswith(("s3_", "ecr_", "batch_"))}
    write_section({}, drop={name for name, value in section().items() if names.get(name) == value})


async def held(services: Services, settings: Mapping[str, Any]) -> dict[str, str]:
    """What lies in the stack's places, a sentence each; a place with nothing in it is not among them."""
    places = DataPlaces(services.aws)
    found = {
        "bucket": await places.in_bucket(settings["s3_bucket_name"]),
        "repository": await places.in_repository(settings["ecr_repo_name"]),
        "log group": await places.in_log_group(settings["batch_job_log_group_name"]),
    }
    return {kind: sentence for kind, sentence in found.items() if sentence}


def is_kept(address: str, kinds: Mapping[str, str]) -> bool:
    """Whether an address belongs to a place that is kept."""
    return address.startswith(tuple(_PLACES[kind] for kind in kinds))
