# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A stack of AWS resources: its identity, its variables, and the data in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.covalent_config import section, write_section
from ..errors import SettingError
from ..settings import Given, Settings, defaults, resolve
from ..tasks.services import Services
from .contents import DataPlaces
from .stack_names import SETTINGS
from .stack_settings import InfraSettings, infra_settings
from .terraform import Say, Terraform

COST = (
    "While no job runs, only stored data costs money: objects, images and logs. Objects and images are deleted after"
    " {keep_days} days, logs after {log_retention_days}."
)
# Terraform's addresses of the resources that hold data.
_PLACES = {"bucket": "aws_s3_bucket", "repository": "aws_ecr_", "log group": "aws_cloudwatch_log_group"}


@dataclass(frozen=True)
class Stack:
    """The identity of a stack: account, Region and prefix."""

    account: str
    region: str
    prefix: str

    @property
    def name(self) -> str:
        """Name of the stack's folder and of its state."""
        return f"{self.account}-{self.region}-{self.prefix}"

    def terraform(self, say: Say) -> Terraform:
        """Return the stack's Terraform."""
        return Terraform(self.name, say)


async def stack(services: Services, prefix: str) -> Stack:
    """Return the stack of a prefix in the account and Region of the connection."""
    identity = await services.account.identity()
    return Stack(identity.account, await services.aws.region(), prefix)


def connection(settings: Settings) -> dict[str, str]:
    """Return the variables with which Terraform connects to the account."""
    path = settings.credentials and str(Path(settings.credentials).expanduser().absolute())  # it runs elsewhere
    return {"credentials": path, "profile": settings.profile}


def variables(stack: Stack, last_run: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return Terraform's variables: those of the last run, replaced by options that are not None.

    Raises SettingError for a wrong one.
    """
    values = {**last_run, **{name: value for name, value in options.items() if value is not None}}
    infra = infra_settings({name: value for name, value in values.items() if name in InfraSettings.model_fields})
    return {**values, **_names(values), **infra.model_dump(), "region": stack.region}


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of resources that the user chose. Raises SettingError, also for an ARN of what is to be made."""
    own_names = {name: values[name] for name in SETTINGS.values() if values.get(name)}
    settings = resolve(Given(own_names, "to infra"))
    for name, value in own_names.items():
        if str(getattr(settings, name)).startswith("arn:"):
            raise SettingError(f"The setting {name}={value!r} is an ARN.", advice="Give the name of the new resource.")
    return {name: str(getattr(settings, name)) for name in own_names}


def write_settings(settings: Mapping[str, Any]) -> None:
    """Write the stack's names to the config section.

    If the section named another account's credentials before, for example those of an offline AWS, their settings get
    their defaults.
    """
    values = {name: value for name, value in settings.items() if value not in (None, "")}
    before = section()
    elsewhere = before.get("credentials", "") != values.get("credentials", "")
    stale = {"credentials", "profile", "container_image_uri", "poll_freq"} if elsewhere else set()
    write_section(defaults((stale - set(values)) & set(before)) | values)


def forget_settings(settings: Mapping[str, Any]) -> None:
    """Give the settings of the config section that name the stack's resources their defaults."""
    names = {name: value for name, value in settings.items() if name.startswith(("s3_", "ecr_", "batch_"))}
    write_section(defaults(name for name, value in section().items() if names.get(name) == value))


async def held(services: Services, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence about the data in each of the stack's places; an empty place has none."""
    places = DataPlaces(services.aws)
    sentences = {
        "bucket": await places.in_bucket(settings["s3_bucket_name"]),
        "repository": await places.in_repository(settings["ecr_repo_name"]),
        "log group": await places.in_log_group(settings["batch_job_log_group_name"]),
    }
    return {kind: sentence for kind, sentence in sentences.items() if sentence}


def is_kept(address: str, kinds: Mapping[str, str]) -> bool:
    """Return whether an address belongs to a place that is kept."""
    return address.startswith(tuple(_PLACES[kind] for kind in kinds))
