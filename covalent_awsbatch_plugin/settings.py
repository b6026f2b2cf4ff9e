# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The settings of a task. The constructor, the config section, the checks and the README's table use this list.

A setting that is not given is None and is looked up at the next place: constructor, then config section, then default.
0 and "" are values.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from .core import resource_names
from .core.units import gib_of, seconds_of
from .core.url_passwords import without_passwords
from .dependencies.spec import one_text, relative_paths
from .errors import SettingError
from .runner.protocol import layout

# Covalent's file transfer percent-encodes anything else, and then does not find the file.
_TRANSFERABLE = re.compile(r"[A-Za-z0-9._/~-]*")


def is_transferable(path: str) -> bool:
    """Return whether Covalent transfers files below a folder of this name."""
    return _TRANSFERABLE.fullmatch(path) is not None


def _transferable(path: str) -> str:
    if path and not is_transferable(path):
        raise ValueError("Covalent can only transfer files below folders named with letters, digits and . _ - /")
    return path


def _region(name: str) -> str:
    if name and not re.fullmatch(r"[a-z]+(-[a-z]+)+-\d+", name):
        raise ValueError("a Region's name looks like eu-west-1")
    return name


def _of_kms(key: str, info: ValidationInfo) -> str:
    """Return a KMS key. An alias can't stand in the statements that allow the key's use."""
    if key and not re.fullmatch(r"(arn:[a-z-]+:kms:[a-z0-9-]+:\d+:key/)?[A-Za-z0-9-]+", key):
        raise ValueError("it must be the ID or the ARN of a key, and not an alias")
    if key and info.data.get("sse") == "AES256":
        raise ValueError("a key belongs to sse=aws:kms or sse=aws:kms:dsse")
    return key


def _readable(text: str) -> str:
    try:
        relative = relative_paths(text)
    except SettingError as error:
        raise ValueError(error.advice) from error
    if relative:
        raise ValueError(f"{relative[0]} is relative, and the folder is unknown where the task is sent; write it whole")
    return text


def _read_by(read: Callable[[str], float]) -> BeforeValidator:
    """Return a validator that reads texts with a unit, and leaves all else as it is."""

    def value_of(value: Any) -> Any:
        try:
            float(value)
        except (TypeError, ValueError):
            return read(value) if isinstance(value, str) else value
        return value

    return BeforeValidator(value_of)


Number = Annotated[float, Field(allow_inf_nan=False)]
GiB = Annotated[Number, _read_by(gib_of)]
Seconds = Annotated[Number, _read_by(seconds_of)]
WholeSeconds = Annotated[int, _read_by(seconds_of)]
Name = Annotated[str, Field(min_length=1)]
Bucket = Annotated[Name, AfterValidator(resource_names.bucket_name)]
Repository = Annotated[Name, AfterValidator(resource_names.repository_name)]
Queue = Annotated[Name, AfterValidator(resource_names.queue_name)]
Role = Annotated[Name, AfterValidator(resource_names.role_name)]
LogGroup = Annotated[Name, AfterValidator(resource_names.log_group_name)]


class Settings(BaseModel):
    """The settings of one task. Each `description` gives the meaning, the unit and the limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    credentials: str = Field(
        "",
        description="Path of an AWS shared credentials file. Empty: boto3's usual search (environment variables,"
        " ~/.aws, instance role).",
    )
    profile: str = Field("", description="Profile of the AWS credentials and config files. Empty: the default profile.")
    region: Annotated[str, AfterValidator(_region)] = Field(
        "",
        description="AWS Region, for example eu-west-1. Empty: the profile's Region, or `AWS_REGION` of the"
        " environment.",
    )
    s3_bucket_name: Bucket = Field(
        "covalent-batch-job-resources", description="S3 bucket for results and large arguments."
    )
    sse: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = Field(
        "",
        description="Encryption by S3 (SSE) of every object that is written, for a bucket whose policy demands that"
        " requests name it: `AES256`, `aws:kms` or `aws:kms:dsse`. Empty: the bucket's default; with `kms_key`,"
        " `aws:kms`.",
    )
    kms_key: Annotated[str, AfterValidator(_of_kms)] = Field(
        "",
        description="KMS key of the objects, as ID or ARN: for a bucket with a customer managed key, or whose policy"
        " demands one. `iam` then prints the statements for the key. A key in another Region or account needs its ARN."
        " Empty: the bucket's default.",
    )
    ecr_repo_name: Repository = Field(
        "covalent-batch-job-images",
        description="ECR repository for the tasks' images: its name, or its URI where it belongs to another account.",
    )
    batch_job_definition_name: str = Field(
        "covalent-batch-jobs",
        pattern=r"^[A-Za-z0-9_-]{1,100}$",
        description="Prefix of job definition names; the hash of the definition's content is appended."
        " Letters, digits, - and _; at most 100 characters.",
    )
    batch_queue: Queue = Field("covalent-batch-queue", description="Job queue: its name or ARN.")
    batch_execution_role_name: Role = Field(
        "ecsTaskExecutionRole",
        description="Execution role, as name or ARN: ECS pulls the image and writes the log with it.",
    )
    batch_job_role_name: Role = Field(
        "CovalentBatchJobRole", description="Job role, as name or ARN: your function has its permissions."
    )
    batch_job_log_group_name: LogGroup = Field(
        "covalent-batch-job-logs", description="CloudWatch Logs log group of the jobs."
    )
    vcpu: Number = Field(
        2,
        ge=0.25,
        le=1024,
        description="vCPUs of one task. Values below 1 need a Fargate queue."
        " On EC2 a fraction is raised to the next whole number.",
    )
    memory: GiB = Field(
        3.75,
        ge=4 / 1024,
        le=24576,
        description='Memory of one task, in GiB; may be a fraction, or a text with a unit such as "500MiB" or "16GB".',
    )
    num_gpus: int = Field(0, ge=0, le=64, description="GPUs of one task. 0: none.")
    assign_public_ip: bool = Field(
        True,
        description="Give a task on Fargate a public IP address (AWS Batch: `assignPublicIp`), which it needs in a"
        " subnet with an internet gateway to reach ECR and S3. False: none, for a subnet with a NAT gateway or VPC"
        " endpoints.",
    )
    share_identifier: str = Field(
        "",
        pattern=r"^([A-Za-z0-9]{1,255}\*?)?$",
        description="Share identifier of the jobs (AWS Batch: `shareIdentifier`), which a queue with a fair-share"
        " scheduling policy needs and any other queue refuses. At most 255 letters and digits, which a * may follow."
        " Empty: none.",
    )
    scheduling_priority: int = Field(
        0,
        ge=0,
        le=9999,
        description="Scheduling priority of the jobs within their share identifier (AWS Batch:"
        " `schedulingPriorityOverride`), 0 to 9999; jobs with a higher one start first. Only for a queue with a"
        " fair-share scheduling policy.",
    )
    retry_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Largest number of attempts of a job when the infrastructure fails (AWS Batch:"
        " `retryStrategy.attempts`)."
        " 1: no retry. An exception of your function is not retried, see `retry_exceptions`.",
    )
    retry_exceptions: str = Field(
        "",
        description="Class names of exceptions, separated by commas, after which the function is run again, within"
        " `retry_attempts`. Empty: none.",
    )
    max_memory: GiB = Field(
        0,
        ge=0,
        le=24576,
        description="Limit, in GiB, for tasks that ran out of memory: such a task is submitted again with twice the"
        " memory, up to this limit. 0: not submitted again.",
    )
    time_limit: WholeSeconds = Field(
        1800,
        ge=60,
        le=1_209_600,
        description="Longest time, in seconds, that one attempt of a task may run (AWS Batch: job attempt timeout, at"
        ' least 60 s); or a text with a unit such as "1h" or "2d".',
    )
    start_patience: Seconds = Field(
        0,
        ge=0,
        le=604_800,
        description="Longest time, in seconds, that a job may wait in the queue; then it is terminated and the error"
        " names the cause. 0: no limit.",
    )
    poll_freq: Number = Field(
        10,
        ge=0.1,
        le=3600,
        description="Time, in seconds, between two status requests for a job; also the longest delay until its end is"
        " seen.",
    )
    outage_patience: Seconds = Field(
        900,
        ge=0,
        le=604_800,
        description="Longest time, in seconds, that one request to AWS or to a registry is repeated while no answer"
        " comes; then the task fails, and the error names the job that may still run. 0: not repeated.",
    )
    cache_dir: Annotated[str, AfterValidator(_transferable)] = Field(
        "",
        description="Local folder for files that are uploaded or downloaded, in a subfolder that only you can read;"
        " files older than a day are deleted. Empty: `covalent-awsbatch/staging` in your cache folder.",
    )
    container_image_uri: str = Field(
        "",
        description="Base image; it must have the same minor version of Python as the client. One in any ECR registry"
        " is read with your AWS credentials, another private one with Docker's login of this machine. Empty: the"
        " official `python:<minor>-slim`, copied once into the ECR repository.",
    )
    environment: Annotated[str, BeforeValidator(one_text), AfterValidator(_readable)] = Field(
        "",
        description="Python packages to add to the base image: `requirements.txt`, `pyproject.toml`, `pylock.toml`,"
        " requirements such as `numpy>=2, pandas`, folders of your own code, `auto` (the installed packages that the"
        " function needs), or several of these, separated by commas or lines. Empty: none.",
    )
    bake_deps_pip: bool = Field(
        True,
        description="Put the packages of an electron's DepsPip into the image. False: pip installs them at each start"
        " of the container.",
    )
    builder: Literal["registry", "docker"] = Field(
        "registry",
        description="Builder of images: `registry` writes layers straight to the registry and needs no Docker engine;"
        " `docker` uses one.",
    )
    max_cache_gib: Number = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Size limit, in GiB, of the local cache of dependency layers. Over it, the least recently used"
        " layers are deleted, except those used within the last hour; layers unused for two months are always deleted.",
    )
    platform: Literal["linux/amd64", "linux/arm64"] = Field(
        "linux/amd64",
        description="Platform of images and of the instances that `infra` creates, as Docker names it. If all"
        " instances of an EC2 queue have one processor architecture, that architecture is used instead.",
    )
    payload: Literal["image", "s3"] = Field(
        "image",
        description="Transport of functions and arguments: `image` (a layer in an image of the job's own) or `s3` (one"
        " object per job; jobs with the same environment share an image).",
    )
    max_baked_mib: Number = Field(
        10,
        ge=0,
        le=1024,
        description="Size limit, in MiB, of a function or argument in the layer or object of `payload`; a larger one"
        " becomes an S3 object of its own.",
    )

    array_linger: Number = Field(
        1,
        ge=0,
        le=60,
        description="Longest time, in seconds, to hold a task so that similar tasks can join the same array job. 0:"
        " submit at once.",
    )
    max_array_size: int = Field(
        10_000,
        ge=1,
        le=10_000,
        description="Largest number of child jobs of an array job (AWS Batch: array size); each runs `tasks_per_job`"
        " tasks. 1: no array jobs.",
    )
    tasks_per_job: int = Field(
        1,
        ge=1,
        le=1000,
        description="Number of tasks that share one container and its `vcpu` and `memory`; each has its own result,"
        " output and time limit. 1: a container per task.",
    )
    parallel_tasks: int = Field(
        1,
        ge=1,
        le=1000,
        description="Number of tasks that run at the same time in a shared container. 1: one after another.",
    )
    max_layer_mib: Number = Field(
        256,
        ge=1,
        le=10_240,
        description="Size limit, in MiB, of all functions and arguments in the image or object of one array job.",
    )

    delete_images: bool = Field(
        True,
        description="Delete a job's own image from the ECR repository after its results were read. Shared images of an"
        " environment stay.",
    )
    delete_objects: bool = Field(
        True,
        description="Delete a job's inputs and results from the S3 bucket after its results were read.",
    )
    keep_failed: bool = Field(
        True,
        description="Keep image, definition and inputs of a failed task, for the command `replay`, until the command"
        " `clean` or a lifecycle rule deletes them.",
    )
    delete_definitions: bool = Field(
        True, description="Deregister a job's own job definition after its results were read."
    )

    @property
    def has_own_image(self) -> bool:
        """True if a job has an image and a job definition of its own, which are of no use after it."""
        return self.payload == "image"

    @property
    def encryption(self) -> dict[str, str]:
        """The parameters of PutObject for `sse` and `kms_key`; none for the bucket's default encryption."""
        kind = self.sse or ("aws:kms" if self.kms_key else "")
        values = {"ServerSideEncryption": kind, "SSEKMSKeyId": self.kms_key}
        return {name: value for name, value in values.items() if value}

    @property
    def may_resubmit(self) -> bool:
        """True if a failure could lead to another submission: only then the packed task is stored."""
        return bool(self.retry_exceptions.strip()) or self.max_memory > self.memory

    @property
    def shares_containers(self) -> bool:
        """True if several tasks run in one container, so that the runner records each task's end."""
        return self.tasks_per_job > 1

    @property
    def job_time_limit(self) -> int:
        """Time limit, in seconds, of an attempt of a job in which every task may use its whole `time_limit`."""
        if not self.shares_containers:
            return self.time_limit
        return -(-self.tasks_per_job // self.parallel_tasks) * (self.time_limit + layout.OVERTIME_S)

    @property
    def memory_mib(self) -> int:
        """Memory in MiB, the unit of AWS Batch."""
        return round(self.memory * 1024)


SETTING_NAMES = tuple(Settings.model_fields)


@dataclass(frozen=True)
class Given:
    """Settings from one place. `origin` completes "given ...", for example "by AWSBatchExecutor(...)"."""

    values: Mapping[str, Any]
    origin: str


def resolve(*places: Given) -> Settings:
    """Return the settings of a task; the first place that gives a setting wins.

    Raises SettingError, which names the first wrong value and its place.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for place in places:
        for name, item in place.values.items():
            if item is not None and name not in values:
                values[name], origins[name] = item, place.origin
    try:
        return Settings(**values)
    except ValidationError as error:
        raise _sentence(error, values, origins) from None


def defaults(names: Iterable[str]) -> dict[str, Any]:
    """Return the defaults of settings, for a place that can't leave them out."""
    return {name: Settings.model_fields[name].default for name in names if name in Settings.model_fields}


def unknown_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that are no setting, each with the most similar setting's name or ""."""
    strangers = [name for name in values if name not in Settings.model_fields]
    return {name: next(iter(difflib.get_close_matches(name, SETTING_NAMES, 1)), "") for name in strangers}


def ignored_keys(values: Mapping[str, Any], others: Collection[str], place: str) -> list[str]:
    """Return a sentence for each key of a config section that is neither a setting nor in `others`."""
    hints = {name: f" Did you mean `{near}`?" if near else "" for name, near in unknown_names(values).items()}
    return [
        f"{place} has `{name}`, which is no setting and is ignored.{hint}"
        for name, hint in hints.items()
        if name not in others
    ]


def place_of(text: str, place: str) -> str:
    """Return a sentence that says where the settings are set that a text names in backticks, or ""."""
    names = [name for name in SETTING_NAMES if f"`{name}`" in text]
    if not names or place in text:
        return ""
    return f"{', '.join(f'`{name}`' for name in names)}: in {place}."


def _sentence(error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> SettingError:
    wrong = error.errors()[0]
    name = str(wrong["loc"][0])
    if name not in Settings.model_fields:
        hint = unknown_names({name: None})[name]
        return SettingError(
            f"There is no setting `{name}`, given {origins[name]}.", advice=f"Did you mean `{hint}`?" if hint else ""
        )
    return SettingError(
        f"The setting {name}={without_passwords(repr(values[name]))}, given {origins[name]}, can't be used: "
        f"{wrong_with(wrong)}.",
        advice=f"{name}: {Settings.model_fields[name].description}",
    )


_WORDS = {
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than_equal": "it must be at most {le:g}",
    "string_too_short": "it must not be empty",
    "string_pattern_mismatch": "it has a character that is not allowed, or too many characters",
    "string_type": "it must be text",
    "finite_number": "it must be a finite number",
    "literal_error": "it must be {expected}",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
}
_BEGINNINGS = {"int": "it must be a whole number", "float": "it must be a number"}


def wrong_with(error: Any) -> str:
    """Return what is wrong with a value; `error` is an item of `pydantic.ValidationError.errors()`."""
    kind = str(error["type"])
    if kind in _WORDS:
        return _WORDS[kind].format(**error.get("ctx", {}))
    return _BEGINNINGS.get(kind.partition("_")[0], str(error["msg"]).removeprefix("Value error, "))
