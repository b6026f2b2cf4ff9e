# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The causes of a job's end, with their side, the chance of a retry, and their words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """The cause of a job's end, or of its waiting."""

    SUCCESS = "success"
    USER_ERROR = "user_error"
    COMMAND_NOT_RUNNABLE = "command_not_runnable"
    KILLED_BY_SIGNAL = "killed_by_signal"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    HOST_LOST = "host_lost"
    FARGATE_SPOT_INTERRUPTED = "fargate_spot_interrupted"
    IMAGE_PULL = "image_pull"
    WRONG_ARCHITECTURE = "wrong_architecture"
    AGENT = "agent"
    CONTAINER_START = "container_start"
    RESOURCE_INIT = "resource_init"
    ROLE = "role"
    CANCELLED = "cancelled"
    STOPPED_BY_POLICY = "stopped_by_policy"
    DEPENDENCY_FAILED = "dependency_failed"
    QUEUE_GONE = "queue_gone"
    NEVER_STARTED = "never_started"
    REQUEST_REJECTED = "request_rejected"
    THROTTLED = "throttled"
    UNKNOWN = "unknown"


class Detail(StrEnum):
    """AWS's reason for a failed image pull. It can be wrong: see `image_pulls`."""

    NOT_FOUND = "not_found"
    DENIED = "denied"
    RATE_LIMITED = "rate_limited"
    NETWORK = "network"
    DISK_FULL = "disk_full"
    UNCLEAR = "unclear"


class Blame(StrEnum):
    """The side that has to change so that the job ends well."""

    INFRASTRUCTURE = "infrastructure"
    USER = "user"
    CONFIGURATION = "configuration"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """A cause with its facts. `retry_may_help` is None if that cannot be known.

    `happened` follows the job's name; `advice` is one next step. Both may hold {code}, {status}, {signal}, {memory} and
    {time_limit}, of which the last three are empty where they are not known.
    """

    cause: Cause
    blame: Blame
    retry_may_help: bool | None
    happened: str
    advice: str
    detail: Detail | None = None


_INFRA, _USER, _CONFIG, _UNKNOWN = Blame.INFRASTRUCTURE, Blame.USER, Blame.CONFIGURATION, Blame.UNKNOWN

_FACTS = {
    each.cause: each
    for each in (
        Verdict(Cause.SUCCESS, _UNKNOWN, False, "succeeded according to AWS Batch", ""),
        Verdict(
            Cause.USER_ERROR, _USER, False, "ended with exit code {code}",
            "Read the last lines of the log: they name the reason."
        ),
        Verdict(
            Cause.COMMAND_NOT_RUNNABLE, _CONFIG, False, "could not run its command",
            "Check that the image has this command, executable and with its interpreter, and check its ENTRYPOINT.",
        ),
        Verdict(
            Cause.KILLED_BY_SIGNAL, _UNKNOWN, None, "was killed{signal}; AWS does not say why",
            "If it may have run out of memory, raise memory{memory}; otherwise read the last lines of the log.",
        ),
        Verdict(Cause.OUT_OF_MEMORY, _USER, False, "needed more memory than it was given", "Raise memory{memory}."),
        Verdict(
            Cause.TIMED_OUT, _CONFIG, False, "ran longer than its time limit and was stopped",
            "Raise time_limit{time_limit}, or make the task smaller.",
        ),
        Verdict(
            Cause.HOST_LOST, _INFRA, True, "failed because its instance was terminated or failed",
            "Run it again. Raise retry_attempts, or use On-Demand capacity, which is lost less often than Spot.",
        ),
        Verdict(
            Cause.FARGATE_SPOT_INTERRUPTED, _INFRA, True, "was interrupted: AWS reclaimed its Fargate Spot capacity",
            "Run it again, raise retry_attempts, or use a queue with On-Demand capacity.",
        ),
        Verdict(
            Cause.IMAGE_PULL, _UNKNOWN, None, "did not start: its image could not be pulled",
            "Check that the image exists, that the execution role may pull it, and that the network reaches it.",
            Detail.UNCLEAR,
        ),
        Verdict(
            Cause.WRONG_ARCHITECTURE, _CONFIG, False, "has an image for another processor than its instance has",
            "Build the image for the instance's processor (linux/amd64 or linux/arm64), or use another queue.",
        ),
        Verdict(
            Cause.AGENT, _INFRA, True, "lost the connection to its instance's container agent",
            "Check whether its work is done, else run it again; many jobs at once can overload an instance's disk.",
        ),
        Verdict(
            Cause.CONTAINER_START, _UNKNOWN, None, "did not start: its container could not be created",
            "AWS's message names what failed: a device, a mount, a driver. Compare it with the job definition.",
        ),
        Verdict(
            Cause.RESOURCE_INIT, _CONFIG, False, "did not start: the resources of its container could not be"
                                                 " initialized",
            "Check that the execution role may use ECR, the secrets and CloudWatch Logs, and that the network reaches"
            " them.",
        ),
        Verdict(
            Cause.ROLE, _CONFIG, False, "did not start: a role could not be assumed",
            "Check that the execution role and the job role exist and that ecs-tasks.amazonaws.com may assume them.",
        ),
        Verdict(Cause.CANCELLED, Blame.CANCELLED, False, "was cancelled or terminated", ""),
        Verdict(
            Cause.STOPPED_BY_POLICY, _CONFIG, None, "was terminated by a rule of its queue or of AWS",
            "Check the queue's jobStateTimeLimitActions, and what else terminates jobs in this account.",
        ),
        Verdict(
            Cause.DEPENDENCY_FAILED, _UNKNOWN, False, "ended because a job it depends on failed",
            "Run `covalent-awsbatch why` for that job.",
        ),
        Verdict(
            Cause.QUEUE_GONE, _CONFIG, False, "ended because its queue was deleted or disabled",
            "Submit it to a queue that exists and is ENABLED.",
        ),
        Verdict(
            Cause.NEVER_STARTED, _UNKNOWN, None, "was not placed on an instance",
            "Check that the queue's compute environments are ENABLED and VALID, and that their instances are big"
            " enough.",
        ),
        Verdict(
            Cause.REQUEST_REJECTED, _CONFIG, False, "was rejected by AWS",
            "Correct what AWS's message names, then submit it again.",
        ),
        Verdict(
            Cause.THROTTLED, _INFRA, True, "failed because of a rate limit of AWS",
            "Run it again, with fewer at once.",
        ),
        Verdict(
            Cause.UNKNOWN, _UNKNOWN, None, "ended, and AWS Batch does not say how",
            "Read its log; the job's record does not name the cause.",
        ),
    )
}  # fmt: skip


def verdict(cause: Cause, **facts: Any) -> Verdict:
    """Return a cause's usual facts, with those of `facts` replaced."""
    return replace(_FACTS[cause], **facts)
