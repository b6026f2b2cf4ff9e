# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Every setting, born once: constructor, config section, validation and the README's table grow from these lines.

Unset is None and is looked up further down (constructor over config over default); 0 and "" are values.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .dependencies.spec import environment_spec, one_text
from .errors import SettingError
from .runner.protocol import layout

# Covalent's file transfer percent-encodes anything else, and then does not find the file.
_TRANSFERABLE = re.compile(r"[A-Za-z0-9._/~-]*")


def _transferable(path: str) -> str:
    if not _TRANSFERABLE.fullmatch(path):
        raise ValueError("Covalent can only transfer files below folders named with letters, digits and . _ - /")
    return path


def _region(name: str) -> str:
    if name and not re.fullmatch(r"[a-z]+(-[a-z]+)+-\d+", name):
        raise ValueError("a Region's name looks like eu-west-1")
    return name


def _readable(text: str) -> str:
    try:
        environment_spec(text)
    except SettingError as error:
        raise ValueError(error.advice) from error
    return text


Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Settings(BaseModel):
    """What one task is run with. `description` says what a setting means, with its unit and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    credentials: str = Field("", description="Path of a shared-credentials file. Empty: botocore's own chain.")
    profile: str = Field("", description="Profile in that file or in your AWS config. Empty: the default one.")
    region: Annotated[str, AfterValidator(_region)] = Field(
        "", description="AWS Region, such as eu-west-1. Empty: the profile's or the environment's."
    )
    s3_bucket_name: Name = Field("covalent-batch-job-resources", description="Bucket for results and big arguments.")
    ecr_repo_name: Name = Field("covalent-batch-job-images", description="ECR repository for the tasks' images.")
    batch_job_definition_name: str = Field(
        "covalent-batch-jobs",
        pattern=r"^[A-Za-z0-9_-]{1,100}$",
        description="How job definitions are called; each gets the hash of its content as an ending."
        " Letters, digits, - and _; at most 100.",
    )
    batch_queue: Name = Field("covalent-batch-queue", description="Job queue: its name or ARN.")
    batch_execution_role_name: Name = Field(
        "ecsTaskExecutionRole", description="Role with which AWS pulls the image and writes the log: its name or ARN."
    )
    batch_job_role_name: Name = Field(
        "CovalentBatchJobRole", description="Role that your function runs with: its name or ARN."
    )
    batch_job_log_group_name: Name = Field("covalent-batch-job-logs", description="CloudWatch log group of the jobs.")
    vcpu: Number = Field(2, ge=0.25, le=1024, description="vCPUs of one task. Below 1 on Fargate only.")
    memory: Number = Field(3.75, ge=4 / 1024, le=24576, description="Memory of one task, in GiB; 3.75 is legal.")
    num_gpus: int = Field(0, ge=0, le=64, description="GPUs of one task; 0 is none, whatever a config file says.")
    retry_attempts: int = Field(
        3, ge=1, le=10, description="Attempts in all when the infrastructure fails. Your exceptions run once."
    )
    retry_exceptions: str = Field(
        "",
        description="Exceptions of yours that are worth another attempt, by class name, with commas between;"
        " `retry_attempts` counts them too.",
    )
    max_memory: Number = Field(
        0,
        ge=0,
        le=24576,
        description="GiB up to which a task that ran out of memory is submitted again, with twice as much; 0: never.",
    )
    time_limit: int = Field(
        1800, ge=60, le=1_209_600, description="Seconds one attempt may run. AWS Batch allows no less than 60."
    )
    start_patience: Number = Field(
        0,
        ge=0,
        le=604_800,
        description="Seconds a job may wait in the queue before it is ended and told why; 0: any time.",
    )
    poll_freq: Number = Field(
        10, ge=0.1, le=3600, description="Seconds between two looks at a job: the longest its end goes unseen."
    )
    cache_dir: Annotated[str, AfterValidator(_transferable)] = Field(
        default_factory=lambda: str(Path(tempfile.gettempdir()) / "covalent"),
        description="Folder for files on their way to and from AWS; what is a day old is removed. Unset: `covalent` "
        "among the temporary files.",
    )
    container_image_uri: str = Field(
        "",
        description="Base image: any with your Python's minor version. Empty: the official python:<minor>-slim,"
        " copied once into your repository.",
    )
    environment: Annotated[str, BeforeValidator(one_text), AfterValidator(_readable)] = Field(
        "",
        description="Packages that travel with the task: `requirements.txt`, `pyproject.toml`, `pylock.toml`,"
        " requirements like `numpy>=2, pandas`, folders of your own code, `auto` (what the function needs of the"
        " packages installed here), or several of these. Empty: what the base image has.",
    )
    bake_deps_pip: bool = Field(
        True, description="Bake what an electron's DepsPip names into the image; else pip installs it at each start."
    )
    builder: Literal["registry", "docker"] = Field(
        "registry", description="What makes the image: `registry` (no Docker engine needed) or `docker`."
    )
    max_cache_gib: Number = Field(
        20,
        ge=0,
        le=1_000_000,
        description="GiB of environments' layers kept on this machine; what was used longest ago goes first. Within the"
        " hour nothing does, and after two months unused everything.",
    )
    platform: Literal["linux/amd64", "linux/arm64"] = Field(
        "linux/amd64",
        description="What images, and the machines of `infra`, are made for, in Docker's words. Where an EC2 queue's"
        " machines are of one processor, that counts.",
    )
    payload: Literal["image", "s3"] = Field(
        "image",
        description="How functions and arguments travel: `image` (a layer of their job's own image) or `s3` (an object"
        " for each job, and one image for each environment).",
    )
    max_baked_mib: Number = Field(
        10,
        ge=0,
        le=1024,
        description="MiB up to which a function or argument travels so; over it, it is an S3 object of its own.",
    )

    array_linger: Number = Field(
        1, ge=0, le=60, description="Seconds a task may wait for company of its kind, while more keep coming; 0: none."
    )
    max_array_size: int = Field(
        10_000,
        ge=1,
        le=10_000,
        description="Containers that one array job may have, each for tasks_per_job tasks; 1: no arrays.",
    )
    tasks_per_job: int = Field(
        1,
        ge=1,
        le=1000,
        description="Short tasks that share one container, which has vcpu and memory for all; each has its own outcome,"
        " output and time limit.",
    )
    parallel_tasks: int = Field(
        1, ge=1, le=1000, description="Of the tasks that share a container, how many run at once; 1: one by one."
    )
    max_layer_mib: Number = Field(
        256, ge=1, le=10_240, description="MiB of functions and arguments that one array's image or object may carry."
    )

    delete_images: bool = Field(
        True, description="Delete a job's own image from the repository when all was read; not one for an environment."
    )
    delete_objects: bool = Field(
        True, description="Delete what a job wrote to the bucket, and what was sent there for it, then."
    )
    delete_definitions: bool = Field(True, description="Deregister the job definition of that image then.")

    @property
    def has_own_image(self) -> bool:
        """Whether a job has an image and a definition of its own, which nobody needs when it is done."""
        return self.payload == "image"

    @property
    def shares_containers(self) -> bool:
        """Whether the runner, not AWS Batch, tells one task's end from another's."""
        return self.tasks_per_job > 1

    @property
    def job_time_limit(self) -> int:
        """Seconds for a whole attempt of a job, whose tasks may all use their time up."""
        if not self.shares_containers:
            return self.time_limit
        return -(-self.tasks_per_job // self.parallel_tasks) * (self.time_limit + layout.OVERTIME_S)

    @property
    def memory_mib(self) -> int:
        """Memory in AWS Batch's unit."""
        return round(self.memory * 1024)


SETTING_NAMES = tuple(Settings.model_fields)


@dataclass(frozen=True)
class Given:
    """Settings from one place; `origin` completes "given ...", e.g. "by AWSBatchExecutor(...)"."""

    values: Mapping[str, Any]
    origin: str


def resolve(*places: Given) -> Settings:
    """The settings to run with, the first place winning. Raises SettingError, which tells of the first wrong value."""
    chosen: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for place in places:
        for name, value in place.values.items():
            if value is not None and name not in chosen:
                chosen[name], origins[name] = value, place.origin
    try:
        return Settings(**chosen)
    except ValidationError as error:
        raise _sentence(error, chosen, origins) from None


def unknown_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Names that are no setting, each with the nearest setting's name or ""."""
    strangers = [name for name in values if name not in Settings.model_fields]
    return {name: next(iter(difflib.get_close_matches(name, SETTING_NAMES, 1)), "") for name in strangers}


def _sentence(error: ValidationError, chosen: Mapping[str, Any], origins: Mapping[str, str]) -> SettingError:
    wrong = error.errors()[0]
    name = str(wrong["loc"][0])
    if name not in Settings.model_fields:
        hint = unknown_names({name: None})[name]
        return SettingError(
            f"There is no setting `{name}`, given {origins[name]}.", advice=f"Did you mean `{hint}`?" if hint else ""
        )
    return SettingError(
        f"The setting {name}={chosen[name]!r}, given {origins[name]}, can't be used: {wrong_with(wrong)}.",
        advice=f"{name}: {Settings.model_fields[name].description}",
    )


_WORDS = {
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than_equal": "it must be at most {le:g}",
    "string_too_short": "it must not be empty",
    "string_pattern_mismatch": "it has other characters than it may have, or too many",
    "string_type": "it must be text",
    "finite_number": "it must be a finite number",
    "literal_error": "it must be {expected}",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
}
_BEGINNINGS = {"int": "it must be a whole number", "float": "it must be a number"}


def wrong_with(error: Any) -> str:
    """`error` is one of `pydantic.ValidationError.errors()`."""
    kind = str(error["type"])
    if kind in _WORDS:
        return _WORDS[kind].format(**error.get("ctx", {}))
    return _BEGINNINGS.get(kind.partition("_")[0], str(error["msg"]).removeprefix("Value error, "))
