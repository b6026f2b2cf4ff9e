# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Ends of jobs as AWS tells them, with what they mean: the texts that AWS, ECS and Docker document, and their kin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from covalent_awsbatch_plugin.jobs.outcomes.causes import Blame, Cause, Detail

INFRA, USER, CONFIG, UNKNOWN = Blame.INFRASTRUCTURE, Blame.USER, Blame.CONFIGURATION, Blame.UNKNOWN
EXITED = "Essential container in task exited"
NOT_STARTED = "Task failed to start"
OOM = "OutOfMemoryError: Container killed due to memory usage"


@dataclass(frozen=True)
class Record:
    """One job's last attempt; `detail` is its JobDetail, `bare` what people paste of one."""

    cause: Cause
    blame: Blame
    again: bool | None
    status_reason: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    status: str | None = "FAILED"
    pull: Detail | None = None
    log: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def container(self) -> dict[str, Any]:
        return present(exitCode=self.exit_code, reason=self.reason)

    @property
    def detail(self) -> dict[str, Any]:
        attempt = present(container=self.container, statusReason=self.status_reason)
        ran = self.container or self.status_reason in (EXITED, NOT_STARTED)
        told = present(jobId="4f1c0b7e", jobName="fit", status=self.status, statusReason=self.status_reason)
        told |= dict.fromkeys(self.flags, True) | present(logTail=self.log)
        return told | {"container": {"image": "python", **self.container}, "attempts": [attempt] if ran else []}

    @property
    def bare(self) -> dict[str, Any]:
        told = present(status=self.status, statusReason=self.status_reason, logTail=self.log)
        return told | self.container | dict.fromkeys(self.flags, True) | {"attempts": []}

    @property
    def expected(self) -> tuple[Cause, Detail | None, Blame, bool | None]:
        return self.cause, self.pull, self.blame, self.again


def present(**told: Any) -> dict[str, Any]:
    return {key: value for key, value in told.items() if value is not None}


def unpulled(said: str, pull: Detail, blame: Blame, again: bool | None) -> Record:
    return Record(Cause.IMAGE_PULL, blame, again, NOT_STARTED, f"CannotPullContainerError: {said}", pull=pull)


def unstarted(cause: Cause, blame: Blame, again: bool | None, said: str) -> Record:
    return Record(cause, blame, again, NOT_STARTED, said)


def refused(cause: Cause, blame: Blame, again: bool | None, said: str) -> Record:
    """Ended, or told of, without a container."""
    return Record(cause, blame, again, said)


def cancelled(said: str | None, *flags: str, exit_code: int | None = None) -> Record:
    return Record(Cause.CANCELLED, Blame.CANCELLED, False, said, exit_code=exit_code, flags=flags)


def waiting(blame: Blame, again: bool | None, said: str | None) -> Record:
    return Record(Cause.NEVER_STARTED, blame, again, said, status="RUNNABLE")


LIMIT_ACTION = "Canceled by JobStateTimeLimit action due to reason: "
DAEMON = "Error response from daemon: "
RUNC = f"CannotStartContainerError: {DAEMON}failed to create task: OCI runtime create failed: runc create failed: "

RECORDS: dict[str, Record] = {
    # ---- the container ran
    "success": Record(Cause.SUCCESS, UNKNOWN, False, EXITED, exit_code=0, status="SUCCEEDED"),
    "success that the agent could not inspect": Record(
        Cause.SUCCESS, UNKNOWN, False, EXITED, "CannotInspectContainerError: timed out", status="SUCCEEDED"
    ),
    "exit 1": Record(Cause.USER_ERROR, USER, False, EXITED, exit_code=1),
    "exit 255": Record(Cause.USER_ERROR, USER, False, EXITED, exit_code=255),
    "exit 3, a traceback in the log": Record(
        Cause.USER_ERROR, USER, False, EXITED, exit_code=3, log="Traceback:\nValueError: the process was Killed off"
    ),
    "exit code missing": Record(Cause.USER_ERROR, UNKNOWN, None, EXITED),
    "exit 0 but failed": Record(Cause.UNKNOWN, UNKNOWN, None, EXITED, exit_code=0),
    "nothing at all": Record(Cause.UNKNOWN, UNKNOWN, None),
    "no status, exit 0": Record(Cause.SUCCESS, UNKNOWN, False, EXITED, exit_code=0, status=None),
    "sigkill": Record(Cause.KILLED_BY_SIGNAL, UNKNOWN, None, EXITED, exit_code=137),
    "sigterm": Record(Cause.KILLED_BY_SIGNAL, UNKNOWN, None, EXITED, exit_code=143),
    "sigsegv": Record(Cause.KILLED_BY_SIGNAL, USER, False, EXITED, exit_code=139),
    "sigabrt": Record(Cause.KILLED_BY_SIGNAL, USER, False, EXITED, exit_code=134),
    "killed, says the shell": Record(
        Cause.KILLED_BY_SIGNAL, UNKNOWN, None, EXITED, exit_code=1, log="run.sh: line 4:    17 Killed    python fit.py"
    ),
    "killed, exit code missing": Record(Cause.KILLED_BY_SIGNAL, UNKNOWN, None, EXITED, log="step 3\nKilled"),
    "not executable": Record(Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, EXITED, exit_code=126),
    "not found": Record(Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, EXITED, exit_code=127),
    "script is a folder": Record(
        Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, EXITED, exit_code=1, log="/bin/bash: /opt/run.sh: Is a directory"
    ),
    "an entry point that took the command as its argument": Record(
        Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, EXITED, exit_code=2, log="python: can't open file 'sh': [Errno 2]"
    ),
    "interpreter with a carriage return": Record(
        Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, EXITED, exit_code=1,
        log="standard_init_linux.go:228: exec user process caused: no such file or directory",
    ),
    "another processor's image, exit 1": Record(
        Cause.WRONG_ARCHITECTURE, CONFIG, False, EXITED, exit_code=1, log="exec /usr/bin/python: exec format error"
    ),
    "another processor's image, exit 126": Record(
        Cause.WRONG_ARCHITECTURE, CONFIG, False, EXITED, exit_code=126, log="exec /run: exec format error"
    ),
    # ---- memory: the exit code is anything
    **{f"out of memory, exit {code}": Record(Cause.OUT_OF_MEMORY, USER, False, EXITED, OOM, code)
       for code in (None, 0, 1, 2, 137)},
    "out of memory and yet succeeded": Record(Cause.OUT_OF_MEMORY, USER, False, EXITED, OOM, 0, "SUCCEEDED"),
    "out of memory as the status reason": Record(Cause.OUT_OF_MEMORY, USER, False, OOM),
    "out of memory while starting": unstarted(
        Cause.OUT_OF_MEMORY, USER, False, f"{RUNC}container init was OOM-killed (memory limit too low?): unknown"
    ),
    "out of memory on EKS": Record(Cause.OUT_OF_MEMORY, USER, False, "Pod failed", "OOMKilled", 137),
    "out of memory in the kernel's words": Record(
        Cause.OUT_OF_MEMORY, USER, False, EXITED, exit_code=1, log="Out of memory: Killed process 77 (python)"
    ),
    # ---- taken away or ended from outside
    "timeout": Record(Cause.TIMED_OUT, CONFIG, False, "Job attempt duration exceeded timeout"),
    "timeout, exit 137": Record(Cause.TIMED_OUT, CONFIG, False, "Job attempt duration exceeded timeout", None, 137),
    "timeout of a flagged job": Record(
        Cause.TIMED_OUT, CONFIG, False, "Job attempt duration exceeded timeout", flags=("isTerminated",)
    ),
    "host terminated": Record(Cause.HOST_LOST, INFRA, True, "Host EC2 (instance i-0ab) terminated."),
    "host terminated, exit 143": Record(
        Cause.HOST_LOST, INFRA, True, "Host EC2 (instance i-0ab) terminated", exit_code=143
    ),
    "host stopped": Record(Cause.HOST_LOST, INFRA, True, "Host EC2 (instance i-0ab) stopped."),
    "Fargate's maintenance": refused(
        Cause.HOST_LOST, INFRA, True, "ECS is performing maintenance on the underlying infrastructure hosting the task."
    ),
    "Fargate Spot": Record(Cause.FARGATE_SPOT_INTERRUPTED, INFRA, True, "Your Spot Task was interrupted.", None, 137),
    "Fargate Spot, a polite worker": Record(
        Cause.FARGATE_SPOT_INTERRUPTED, INFRA, True, "Your Spot Task was interrupted.", None, 0, "SUCCEEDED"
    ),
    "cancelled by a flag": cancelled("whatever", "isCancelled"),
    "terminated by a flag, without a reason": cancelled(None, "isTerminated", exit_code=143),
    "terminated in words that name an error": cancelled(
        "OutOfMemoryError again, giving up", "isTerminated", exit_code=137
    ),
    "cancelled in words alone": cancelled("Cancelled by alice: no capacity for g5.xlarge since an hour"),
    "killed by another tool": cancelled("Job killed by the scheduler"),
    "superseded": cancelled("Superseded by a newer run"),
    "a reason with an underscore": cancelled("man_stop"),
    "a word that is a trap": cancelled("capacity probe complete"),
    "terminated by a user, exit 1": cancelled("Terminated by user request", exit_code=1),
    # ---- the image
    "unknown manifest": unpulled(
        f"{DAEMON}manifest for registry/app:v1 not found: manifest unknown", Detail.NOT_FOUND, CONFIG, False
    ),
    "unknown repository": unpulled(
        "pull image manifest has been retried 1 time(s): failed to resolve ref registry/app:v1: registry/app:v1:"
        " not found", Detail.NOT_FOUND, CONFIG, False,
    ),
    "a digest whose tag has moved": unpulled(
        "failed to resolve ref registry/app:v1@sha256:9f86d081: not found", Detail.NOT_FOUND, INFRA, None
    ),
    "a name that can't be": unpulled("invalid reference format", Detail.NOT_FOUND, CONFIG, False),
    "missing or forbidden": unpulled(
        f"{DAEMON}pull access denied for app, repository does not exist or may require 'docker login'",
        Detail.UNCLEAR, CONFIG, False,
    ),
    "forbidden": unpulled(
        'inspect image has been retried 1 time(s): failed to resolve ref "registry/app": unexpected status code'
        " [manifests v1]: 403 Forbidden", Detail.DENIED, CONFIG, False,
    ),
    "no login": unpulled(f"{DAEMON}Get https://registry/v2/: no basic auth credentials", Detail.DENIED, CONFIG, False),
    "pull limit": unpulled(
        f"{DAEMON}toomanyrequests: You have reached your pull rate limit.", Detail.RATE_LIMITED, INFRA, True
    ),
    "429": unpulled(
        "ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: unexpected status code"
        " https://registry/v2/app/manifests/v1: 429 Too Many Requests", Detail.RATE_LIMITED, INFRA, True,
    ),
    "disk full": unpulled("write /var/lib/docker/tmp/Blob1: no space left on device", Detail.DISK_FULL, INFRA, True),
    "no way out": unpulled(
        f'{DAEMON}Get "https://registry/v2/": dial tcp 203.0.113.7:443: i/o timeout', Detail.NETWORK, CONFIG, None
    ),
    "connection reset": unpulled(
        "failed to copy: read tcp 10.0.0.7:4242->203.0.113.7:443: read: connection reset by peer",
        Detail.NETWORK, INFRA, True,
    ),
    "registry down": unpulled(
        f"{DAEMON}received unexpected HTTP status: 503 Service Unavailable", Detail.NETWORK, INFRA, True
    ),
    "pull broken off": unpulled("context canceled", Detail.UNCLEAR, INFRA, True),
    "pull without a word": unpulled("", Detail.UNCLEAR, UNKNOWN, None),
    "ECR's own name, cut": unstarted(
        Cause.IMAGE_PULL, CONFIG, False,
        "CannotPullECRContainerError: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/x is not"
        " authorized to perform: ecr:GetAuthorizationToken on r",
    ),
    "pull on Fargate": refused(
        Cause.IMAGE_PULL, CONFIG, False, "CannotPullContainerError: failed to resolve ref registry/app: not found"
    ),
    "pull on one line": refused(
        Cause.IMAGE_PULL, INFRA, True, f"{NOT_STARTED} - CannotPullImageManifestError: {DAEMON}toomanyrequests: slow"
    ),
    "pull without the error's name": refused(
        Cause.IMAGE_PULL, CONFIG, False, "failed to resolve ref registry/app:v1: unexpected status code: 403 Forbidden"
    ),
    "back-off on EKS": Record(Cause.IMAGE_PULL, UNKNOWN, None, None, "ImagePullBackOff", pull=Detail.UNCLEAR),
    "no descriptor for this platform": refused(
        Cause.WRONG_ARCHITECTURE, CONFIG, False,
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/arm64'.",
    ),
    # ---- the machine and its agent
    "create timed out": unstarted(
        Cause.AGENT, INFRA, True, "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s"
    ),
    "inspect timed out": Record(
        Cause.AGENT, INFRA, True, EXITED, "CannotInspectContainerError: Could not transition to inspecting; timed out"
    ),
    "stop failed": Record(
        Cause.AGENT, INFRA, True, EXITED, "CannotStopContainerError: failed sending SIGTERM to container"
    ),
    "runtime timed out": refused(
        Cause.AGENT, INFRA, True, "ContainerRuntimeTimeoutError: Could not transition to running; timed out after 1m"
    ),
    "agent is away": refused(Cause.AGENT, INFRA, True, "AGENT"),
    "control group": unstarted(
        Cause.AGENT, INFRA, True, "CgroupError: Agent could not create task's platform resources"
    ),
    # ---- the container's making
    "no such executable": unstarted(
        Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, f'{RUNC}exec: "fit": executable file not found in $PATH: unknown'
    ),
    "no such script, cut": unstarted(
        Cause.COMMAND_NOT_RUNNABLE, CONFIG, False, f'{RUNC}exec: "/usr/local/bin/run.sh": stat /usr/lo'
    ),
    "no such executable on Fargate": refused(
        Cause.COMMAND_NOT_RUNNABLE, CONFIG, False,
        "ResourceInitializationError: failed to create new container runtime task: OCI runtime create failed:"
        ' exec: "fit": permission denied',
    ),
    "no such device": unstarted(
        Cause.CONTAINER_START, CONFIG, False,
        f'CannotStartContainerError: {DAEMON}error gathering device information while adding custom device "/dev/fuse":'
        " no such file or directory",
    ),
    "no GPU driver": unstarted(
        Cause.CONTAINER_START, CONFIG, False,
        f'CannotStartContainerError: {DAEMON}could not select device driver "" with capabilities: [[gpu]]',
    ),
    "GPU driver broke": unstarted(
        Cause.CONTAINER_START, INFRA, None, f"{RUNC}error running hook #0: nvidia-container-cli: driver rpc error"
    ),
    "start took too long": unstarted(
        Cause.CONTAINER_START, INFRA, True, f"CannotStartContainerError: {DAEMON}context deadline exceeded"
    ),
    "thin pool full": unstarted(
        Cause.CONTAINER_START, INFRA, True, "CannotCreateContainerError: API error (500): devmapper: Thin Pool is full"
    ),
    "mount refused": unstarted(
        Cause.CONTAINER_START, CONFIG, False, "CannotCreateContainerError: failed to chown x: operation not permitted"
    ),
    "EFS": refused(
        Cause.CONTAINER_START, CONFIG, False,
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: code: 32",
    ),
    "volume took too long": refused(
        Cause.CONTAINER_START, INFRA, True, "CannotCreateVolumeError: unable to copy to it: context deadline exceeded"
    ),
    "start failed without a word": Record(Cause.CONTAINER_START, UNKNOWN, True, NOT_STARTED),
    # ---- what the container needs
    "no log group, on EC2": unstarted(
        Cause.RESOURCE_INIT, CONFIG, False,
        f"CannotStartContainerError: {DAEMON}failed to initialize logging driver: ResourceNotFoundException",
    ),
    "no log group, on Fargate": refused(
        Cause.RESOURCE_INIT, CONFIG, False,
        "ResourceInitializationError: failed to validate logger args: The specified log group does not exist : exit 1",
    ),
    "secret": refused(
        Cause.RESOURCE_INIT, CONFIG, False,
        "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm:"
        " AccessDeniedException",
    ),
    "ECR's login out of reach": refused(
        Cause.RESOURCE_INIT, CONFIG, False,
        "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve ecr registry auth:"
        " RequestError: send request failed",
    ),
    "resources without a word": refused(
        Cause.RESOURCE_INIT, CONFIG, False, "ResourceInitializationError: exit status 1"
    ),
    "network interface late": refused(
        Cause.RESOURCE_INIT, INFRA, True, "Timeout waiting for network interface provisioning to complete."
    ),
    "subnet full": refused(
        Cause.RESOURCE_INIT, CONFIG, None,
        "Unexpected EC2 error while attempting to Create Network Interface in subnet 's': InsufficientFreeAddresses",
    ),
    "tag policy": refused(
        Cause.RESOURCE_INIT, CONFIG, False,
        "Unexpected EC2 error while attempting to tag the network interface: TagPolicyViolation",
    ),
    "role": refused(
        Cause.ROLE, CONFIG, False,
        "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/x' that was provided for this task.",
    ),
    "role may not be passed": refused(
        Cause.ROLE, CONFIG, False, "AccessDeniedException: User: x is not authorized to perform: iam:PassRole on y"
    ),
    # ---- never got so far
    "dependency": refused(Cause.DEPENDENCY_FAILED, UNKNOWN, False, "Dependent Job failed"),
    "array": refused(Cause.DEPENDENCY_FAILED, UNKNOWN, False, "Array Child Job failed"),
    "queue deleted": refused(Cause.QUEUE_GONE, CONFIG, False, "JobQueue deleted"),
    "overrides too long": refused(
        Cause.REQUEST_REJECTED, CONFIG, False, "Container Overrides length must be at most 8192"
    ),
    "client exception": refused(
        Cause.REQUEST_REJECTED, CONFIG, False,
        "An error occurred (ClientException) when calling the SubmitJob operation: JobDefinition x is INACTIVE",
    ),
    "too many requests": refused(
        Cause.THROTTLED, INFRA, True, "An error occurred (TooManyRequestsException) when calling SubmitJob: slow down"
    ),
    "rate exceeded": refused(Cause.THROTTLED, INFRA, True, "ThrottlingException: Rate exceeded"),
    "quota": refused(Cause.NEVER_STARTED, CONFIG, None, "VcpuLimitExceeded: more than your current vCPU limit of 32"),
    "Fargate is full": refused(
        Cause.NEVER_STARTED, INFRA, True, "Capacity is unavailable at this time. Please try again later."
    ),
    "the queue's limit, for capacity": refused(
        Cause.NEVER_STARTED, INFRA, True, f"{LIMIT_ACTION}CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    ),
    "the queue's limit, for size": refused(
        Cause.NEVER_STARTED, CONFIG, False, f"{LIMIT_ACTION}MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    ),
    "the queue's limit, flagged": Record(
        Cause.NEVER_STARTED, CONFIG, False, f"{LIMIT_ACTION}MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        flags=("isCancelled",),
    ),
    "the queue's limit, for nothing known": refused(
        Cause.STOPPED_BY_POLICY, CONFIG, None, f"{LIMIT_ACTION}waited too long"
    ),
    "waits for capacity": waiting(INFRA, True, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill it"),
    "waits for a bigger machine": waiting(CONFIG, False, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too high"),
    "waits for a right, after an en dash": waiting(
        CONFIG, False, "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue."
    ),
    "waits for a valid environment": waiting(CONFIG, False, "ACTION_REQUIRED - CE(s) associated are invalid."),
    "waits, environment's own words": waiting(CONFIG, False, "CLIENT_ERROR - security group of another VPC"),
    "waits, nobody knows why": waiting(UNKNOWN, True, "UNDETERMINED - Batch job is blocked."),
    "waits its turn": waiting(UNKNOWN, None, None),
    "words that nobody has seen yet": refused(
        Cause.UNKNOWN, UNKNOWN, None, "The frobnicator could not be reached: unexpected answer"
    ),
}  # fmt: skip

EVERY_RECORD = pytest.mark.parametrize("record", [pytest.param(each, id=name) for name, each in RECORDS.items()])
