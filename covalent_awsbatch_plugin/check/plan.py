# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The list of checks, and an upper bound of what they use and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SettingError
from ..settings import Settings

TIME_LIMIT_S = 300  # of every job but that of the check `timeout`
CANCELLED_AFTER_S = 60  # at the latest: AWS Batch's shortest time limit
CANCEL_TRIES = {
    "RUNNABLE": 9,
    "STARTING": 3,
    "RUNNING": 1,
}  # submissions to see a job in a state
MOST_VCPU, MOST_MEMORY_GIB = 1.0, 2.0  # of a job, where the settings ask for more
BIG_MIB = 20
RUNNER_MIB = 12  # the runner's layer and a task's own, which a repository without them gets

# Fargate, Linux on x86, us-east-1, in USD: https://aws.amazon.com/fargate/pricing/ . An instance of EC2 costs about as
# much per vCPU. No Region of 2026 costs twice as much as us-east-1.
PRICE_DATE, PRICE_REGION, PRICE_SOURCE = "2026-03", "us-east-1", "https://aws.amazon.com/fargate/pricing/"
VCPU_HOUR_USD, GIB_HOUR_USD = 0.04048, 0.004445
DEAREST_REGION = 2.0


@dataclass(frozen=True)
class Check:
    """A check by its name; `containers` are the most that it starts, `seconds` the longest time of each."""

    name: str
    title: str
    containers: int = 0
    seconds: int = TIME_LIMIT_S
    pushed_mib: int = 0
    stored_mib: int = 0


CHECKS = (
    Check("doctor", "everything that a task needs is there"),
    Check("task", "a task returns its value", 1, pushed_mib=RUNNER_MIB),
    Check("array", "three tasks are one array: a value, an exception, a container that dies", 3, pushed_mib=1),
    Check("big-objects", f"{BIG_MIB} MiB travel both ways", 1, pushed_mib=1, stored_mib=2 * BIG_MIB),
    Check("payload-s3", "a task travels in the bucket", 1, pushed_mib=1, stored_mib=1),
    Check("tasks-per-job", "two tasks share a container", 1, pushed_mib=1),
    Check("cancel-runnable", "a job is cancelled in RUNNABLE", 9, CANCELLED_AFTER_S + 30, pushed_mib=9),
    Check("cancel-starting", "a job is cancelled in STARTING", 3, CANCELLED_AFTER_S + 30, pushed_mib=3),
    Check("cancel-running", "a job is cancelled in RUNNING", 1, CANCELLED_AFTER_S + 30, pushed_mib=1),
    Check("retry-exceptions", "an exception is tried again", 2, pushed_mib=1),
    Check("timeout", "a job is stopped after 60 s and saves its state", 1, 60 + 30, pushed_mib=1, stored_mib=1),
    Check("out-of-memory", "a container that needs too much memory is killed", 1, pushed_mib=1),
    Check("same-task", "the same task again pushes and defines nothing", 2, pushed_mib=1),
    Check("records", "AWS describes the jobs as expected"),
    Check("nothing-left", "no job, image, definition or object is left"),
)
NAMES = tuple(check.name for check in CHECKS)
LAST = ("records", "nothing-left")  # about the jobs of the other checks


@dataclass(frozen=True)
class Usage:
    """The most that a run uses. `usd` covers the containers; the rest costs less than a cent."""

    containers: int
    vcpu_minutes: float
    gib_minutes: float
    pushed_mib: int
    stored_mib: int

    @property
    def usd(self) -> float:
        """The upper bound of the price, in USD, in the dearest Region."""
        price = self.vcpu_minutes / 60 * VCPU_HOUR_USD + self.gib_minutes / 60 * GIB_HOUR_USD
        return price * DEAREST_REGION + (0.01 if self.containers else 0)

    def text(self) -> str:
        """Return the lines that are shown before a run begins."""
        if not self.containers:
            return "No job is run."
        return (
            f"At most {self.containers} containers: {self.vcpu_minutes:.0f} vCPU-minutes, {self.gib_minutes:.0f}"
            f" GiB-minutes; {self.pushed_mib} MiB are pushed and {self.stored_mib} MiB stored for minutes.\n"
            f"That costs at most {self.usd:.2f} USD: twice Fargate's prices of {PRICE_DATE} in {PRICE_REGION}"
            f" ({PRICE_SOURCE}).\nAn instance of EC2 that is started for it also costs until the queue ends it."
        )


def selection(only: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks of these names in their order, all if there are none. Raises SettingError.

    The last checks are about the jobs of the others, so they belong to every selection.
    """
    names = [name for text in only for name in text.replace(",", " ").split()]
    if unknown := sorted(set(names) - set(NAMES)):
        raise SettingError(f"There is no check {', '.join(unknown)}.", advice=f"The checks are {', '.join(NAMES)}.")
    if not names or set(names) <= set(LAST):
        return CHECKS
    names_to_run = set(names) | (set(LAST) if set(names) - {"doctor"} else set())
    return tuple(check for check in CHECKS if check.name in names_to_run)


def trial_settings(settings: Settings, run: str) -> Settings:
    """Return the settings of a run's jobs: small, short, without GPUs, with definitions that bear the run's id."""
    name = f"{settings.batch_job_definition_name[:86]}-check{run}"  # 100 characters, the setting's limit
    changes = {
        "vcpu": min(settings.vcpu, MOST_VCPU),
        "memory": min(settings.memory, MOST_MEMORY_GIB),
        "num_gpus": 0,
        "time_limit": TIME_LIMIT_S,
        "retry_exceptions": "",
        "max_memory": 0.0,
        "start_patience": 0.0,
        "payload": "image",
        "tasks_per_job": 1,
        "parallel_tasks": 1,
        "environment": "",
        "array_linger": max(settings.array_linger, 0.5),
        "max_array_size": max(settings.max_array_size, 3),
        "delete_images": True,
        "delete_objects": True,
        "delete_definitions": True,
        "keep_failed": False,
        "batch_job_definition_name": name,
    }
    return settings.model_copy(update=changes)


def usage(checks: Sequence[Check], settings: Settings) -> Usage:
    """Return the most that these checks use; `settings` are those of the jobs."""
    minutes = sum(check.containers * check.seconds for check in checks) / 60
    return Usage(
        sum(check.containers for check in checks),
        minutes * settings.vcpu,
        minutes * settings.memory,
        sum(check.pushed_mib for check in checks),
        sum(check.stored_mib for check in checks),
    )
