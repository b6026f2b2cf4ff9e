# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Every cause that a job can end of: who is to blame, whether trying again may help, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """What ended a job, or keeps it from starting."""

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
    """What AWS says of an image that could not be pulled. It is not always true: see `pulls`."""

    NOT_FOUND = "not_found"
    DENIED = "denied"
    RATE_LIMITED = "rate_limited"
    NETWORK = "network"
    DISK_FULL = "disk_full"
    UNCLEAR = "unclear"


class Blame(StrEnum):
    """Whose side has to change for the job to end well."""

    INFRASTRUCTURE = "infrastructure"
    USER = "user"
    CONFIGURATION = "configuration"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """One cause with its facts. `retry_may_help` None: nobody can know.

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
        Verdict(Cause.SUCCESS, _UNKNOWN, False, "succeeded, AWS Batch says", ""),
        Verdict(
            Cause.USER_ERROR, _USER, False, "ended with exit code {code}", "Read the log: its last lines say why."
        ),
        Verdict(
            Cause.COMMAND_NOT_RUNNABLE, _CONFIG, False, "could not run its command",
            "See that the image has that command, executable, with its interpreter, and look at its ENTRYPOINT.",
        ),
        Verdict(
            Cause.KILLED_BY_SIGNAL, _UNKNOWN, None, "was killed{signal}, and nobody says by whom",
            "If it may have run out of memory, raise memory{memory}; else read the last lines of the log.",
        ),
        Verdict(Cause.OUT_OF_MEMORY, _USER, False, "needed more memory than it was given", "Raise memory{memory}."),
        Verdict(
            Cause.TIMED_OUT, _CONFIG, False, "ran longer than its time limit and was stopped",
            "Raise time_limit{time_limit}, or make the task smaller.",
        ),
        Verdict(
            Cause.HOST_LOST, _INFRA, True, "lost its machine",
            "Run it again; more retry_attempts ride out more losses, on-demand capacity has fewer.",
        ),
        Verdict(
            Cause.FARGATE_SPOT_INTERRUPTED, _INFRA, True, "lost its Fargate Spot capacity",
            "Run it again, raise retry_attempts, or use a queue with on-demand capacity.",
        ),
        Verdict(
            Cause.IMAGE_PULL, _UNKNOWN, None, "did not start: its image could not be pulled",
            "Look whether the image exists, whether the execution role may pull it, and whether there is a way to it.",
            Detail.UNCLEAR,
        ),
        Verdict(
            Cause.WRONG_ARCHITECTURE, _CONFIG, False, "has an image for another processor than its machine",
            "Build the image for the machine's processor (linux/amd64 or linux/arm64), or use a queue that fits it.",
        ),
        Verdict(
            Cause.AGENT, _INFRA, True, "lost the machine's container agent",
            "Look whether its work is done all the same, else run it again; many at once overload a machine's disk.",
        ),
        Verdict(
            Cause.CONTAINER_START, _UNKNOWN, None, "did not start: its container could not be made",
            "AWS's words name what failed: a device, a mount, a driver. Compare them with the job definition.",
        ),
        Verdict(
            Cause.RESOURCE_INIT, _CONFIG, False, "did not start: what its container needs could not be set up",
            "See that the execution role may use, and the network reaches, ECR, the secrets and CloudWatch Logs.",
        ),
        Verdict(
            Cause.ROLE, _CONFIG, False, "did not start: a role could not be used",
            "Let ecs-tasks.amazonaws.com assume the execution role and the job role, and see that both exist.",
        ),
        Verdict(Cause.CANCELLED, Blame.CANCELLED, False, "was ended on request", ""),
        Verdict(
            Cause.STOPPED_BY_POLICY, _CONFIG, None, "was ended by a rule of its queue or service",
            "Look at the queue's jobStateTimeLimitActions, or what else ends jobs there.",
        ),
        Verdict(
            Cause.DEPENDENCY_FAILED, _UNKNOWN, False, "ended because a job it depends on failed",
            "Ask `covalent-awsbatch why` about that job.",
        ),
        Verdict(
            Cause.QUEUE_GONE, _CONFIG, False, "ended because its queue is gone or closed",
            "Submit it to a queue that exists and is ENABLED.",
        ),
        Verdict(
            Cause.NEVER_STARTED, _UNKNOWN, None, "did not get a machine",
            "Look at the queue: whether its compute environments are ENABLED and VALID, and what they hold.",
        ),
        Verdict(
            Cause.REQUEST_REJECTED, _CONFIG, False, "was not accepted as it was asked for",
            "Correct what AWS's words name, then submit it again.",
        ),
        Verdict(
            Cause.THROTTLED, _INFRA, True, "met a limit on how often AWS can be asked",
            "Run it again, with fewer at once.",
        ),
        Verdict(
            Cause.UNKNOWN, _UNKNOWN, None, "ended, and nobody says how",
            "Read its log, and keep this record: it tells nothing of the cause.",
        ),
    )
}  # fmt: skip


def verdict(cause: Cause, **facts: Any) -> Verdict:
    """A cause's usual facts, with `facts` in place of those that are different this time."""
    return replace(_FACTS[cause], **facts)
