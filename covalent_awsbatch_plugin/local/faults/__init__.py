# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Faults of AWS on demand, as often and as long as a test asks for.

`LocalAWS.fault("host_lost", of="covalent-*")` adds one; over HTTP it is a POST of its JSON to `FAULTS_PATH`, and DELETE
removes those of the kind in its query, else all. Faults of calls happen in request_filter.py, those of jobs in the
scheduler.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

# ---- of calls: `of` is an operation like batch:SubmitJob or ecr:PutImage -------------------------------------------
THROTTLE = "throttle"  # the service's throttling error
ERROR = "error"  # a server error, status 500
EXPIRED = "expired"  # the credentials have expired
SLOW = "slow"  # the call starts `delay_s` seconds late
CUT_BEFORE = "cut_before"  # the connection breaks before the call takes effect
CUT_AFTER = "cut_after"  # the connection breaks after the call has taken effect
CUT_AMID = "cut_amid"  # the response ends in its middle
SMALL_PAGES = "small_pages"  # a list comes in pages of three entries
TEXT_ERROR = "text_error"  # a load balancer's error: status 500 and `text`, in no format of the service
PORTAL = "portal"  # a captive portal answers instead of AWS: status 200 and the page `text`
CALLS = frozenset({THROTTLE, ERROR, EXPIRED, SLOW, CUT_BEFORE, CUT_AFTER, CUT_AMID, SMALL_PAGES, TEXT_ERROR, PORTAL})

# ---- of jobs: `of` is a job's name, with :index for an array's child -----------------------------------------------
HOST_LOST = "host_lost"  # `after_s` seconds after its start the container is killed without a signal before
SPOT = "spot"  # `after_s` seconds after its start the container gets SIGTERM, and later SIGKILL
NOT_STARTED = "not_started"  # `text` is the reason: see PULLS, FARGATE_STARTS, ROLE
STUCK = "stuck"  # the job stays RUNNABLE, with `text` as its reason, until the fault ends
UNSEEN = "unseen"  # the first `times` DescribeJobs calls do not return the job
AGENT = "agent"  # the container ended, but its exit code is unknown
LATE_LOG = "late_log"  # log events arrive in batches `delay_s` seconds late, as `_Late` says
UNKNOWN_JOB = "unknown_job"  # the first `times` TerminateJob and CancelJob calls do not know the job
JOBS = frozenset({HOST_LOST, SPOT, NOT_STARTED, STUCK, UNSEEN, AGENT, LATE_LOG, UNKNOWN_JOB})
LOSSES = (HOST_LOST, SPOT)

# ---- of job definitions, which AWS shows late: `of` is a definition's name -------------------------------------------
UNKNOWN_DEFINITION = "unknown_definition"  # the first `times` SubmitJob calls do not know the new definition
STALE_DEFINITION = (
    "stale_definition"  # the first `times` DescribeJobDefinitions calls show a deregistered one as active
)
DEFINITIONS = frozenset({UNKNOWN_DEFINITION, STALE_DEFINITION})
KINDS = CALLS | JOBS | DEFINITIONS

# https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html has the first; the second is Fargate's.
HOST_TERMINATED = "Host EC2 (instance i-0f00dfeed0badcafe) terminated."
SPOT_INTERRUPTED = "Your Spot Task was interrupted."
INSPECT = "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s"
LOGIN_PAGE = "<!doctype html><html><body><form>Welcome to the hotel. Please log in.<br></form></body></html>"
_TEXTS = {
    HOST_LOST: HOST_TERMINATED, SPOT: SPOT_INTERRUPTED, AGENT: INSPECT, TEXT_ERROR: "upstream connect error",
    PORTAL: LOGIN_PAGE,
}  # fmt: skip

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
_PULL = "CannotPullContainerError: Error response from daemon: "
PULLS = {
    "not_found": f"{_PULL}manifest for 1.dkr.ecr.us-east-1.amazonaws.com/tasks@sha256:0 not found: manifest unknown",
    "denied": f"{_PULL}pull access denied: denied: User is not authorized to perform: ecr:BatchGetImage",
    "rate_limited": f"{_PULL}toomanyrequests: You have reached your pull rate limit.",
    "network": f"{_PULL}Get https://1.dkr.ecr.us-east-1.amazonaws.com/v2/: dial tcp 10.0.0.1:443: i/o timeout",
    "disk_full": f"{_PULL}write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
    "unclear": f"{_PULL}context canceled",
}
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html; on Fargate these are
# the status reason of a job, without "Task failed to start".
FARGATE_STARTS = {
    "resources": "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
    "failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request "
    "failed",
    "network": "Timeout waiting for network interface provisioning to complete.",
}
ROLE = (
    "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/CovalentBatchJobRole' that was provided for "
    "this task. Please verify that the role being passed has the proper trust relationship and permissions and that "
    "your IAM user has permissions to pass this role."
)
# https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
STUCK_REASONS = {
    "capacity": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance "
    "type [p4d.24xlarge]",
    "max_resource": "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue max vCPU "
    "setting is lower than the job requirement.",
    "requirement": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is "
    "higher than that can be met by the CE(s) attached to the job queue.",
    "service_role": "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - Batch service role has a permission issue.",
    "instance": "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - The instance types of the CE(s) associated "
    "with the job queue are not supported in the Availability Zones of their subnets.",
    "invalid": "ACTION_REQUIRED - CE(s) associated with the job queue are INVALID.",
    "undetermined": "UNDETERMINED - Batch job is blocked, root cause is undetermined.",
}


@dataclass
class Fault:
    """A fault that happens `times` times (None: always), and at most during the next `seconds`.

    `of` and `who` (an access key, for calls only) are patterns with *. With `once_heard`, `after_s` begins at a
    container's first output instead of its start, because the time until then depends on this machine.
    """

    kind: str
    of: str = "*"
    who: str = "*"
    times: int | None = 1
    seconds: float | None = None
    after_s: float = 0.0
    once_heard: bool = False
    delay_s: float = 0.0
    at_most_s: float = 0.0
    every_s: float = 0.0
    out_of_order: bool = False
    twice: bool = False
    text: str = ""
    until: float = field(default=float("inf"), init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no fault; there are {', '.join(sorted(KINDS))}")
        self.text = self.text or _TEXTS.get(self.kind, "")

    def fits(self, kinds: Iterable[str], name: str, who: str, now: float) -> bool:
        """Return whether the fault applies to this name now."""
        spent = now >= self.until or (self.times is not None and self.times <= 0)
        return self.kind in kinds and not spent and fnmatchcase(name, self.of) and fnmatchcase(who, self.who)


class Named(Protocol):
    """The names of a job that faults need."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...


class Sink(Protocol):
    """A receiver of a container's output."""

    name: str

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class LogSink(Sink, Protocol):
    """A log stream that can also receive lines out of order and twice."""

    def write_batch(self, chunks: Sequence[tuple[int, bytes]], *, out_of_order: bool) -> None: ...
    def repeat(self) -> None: ...


class Faults:
    """The faults that are still to happen, for the API's threads and the scheduler's loop. `add` calls `added`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._faults: list[Fault] = []
        self._looks: Counter[tuple[str, str]] = Counter()
        self.added: Callable[[], object] = lambda: None

    def add(self, fault: Fault) -> None:
        if fault.seconds is not None:
            fault.until = self._clock() + fault.seconds
        with self._lock:
            self._faults.append(fault)
        self.added()

    def clear(self, kind: str = "") -> None:
        """Remove the faults of a kind, or all."""
        with self._lock:
            self._faults = [each for each in self._faults if kind and each.kind != kind]

    def _find(self, kinds: Iterable[str], name: str, who: str = "") -> Fault | None:
        now = self._clock()
        return next((each for each in self._faults if each.fits(kinds, name, who, now)), None)

    def take(self, kinds: Iterable[str], name: str, who: str = "") -> Fault | None:
        """Return the first fault that applies, None where none does, and count that it happened."""
        with self._lock:
            fault = self._find(kinds, name, who)
            if fault and fault.times is not None:
                fault.times -= 1
        return fault

    def of_call(self, operation: str, who: str) -> Fault | None:
        return self.take(CALLS, operation, who)

    def of_job(self, job: Named, *kinds: str) -> Fault | None:
        return self.take(kinds, job.label)

    def stuck(self, job: Named) -> str | None:
        """Return the reason why the job does not start now, None where it may."""
        with self._lock:
            fault = self._find((STUCK,), job.label)
        return fault.text if fault else None

    def unseen(self, job: Named) -> bool:
        """Return whether this DescribeJobs call must leave the job out. `times` counts for each job."""
        return self._counts(UNSEEN, job.label, job.id)

    def unknown(self, job: Named) -> bool:
        """Return whether this TerminateJob or CancelJob call must not know the job. `times` counts for each job."""
        return self._counts(UNKNOWN_JOB, job.label, job.id)

    def hides(self, kind: str, definition: str, arn: str) -> bool:
        """Return whether this call shows a definition (name and ARN) late. `times` counts for each revision."""
        return self._counts(kind, definition, arn)

    def _counts(self, kind: str, name: str, key: str) -> bool:
        """Return whether a fault applies to this call; its `times` count for each key, the id of one thing."""
        with self._lock:
            fault = self._find((kind,), name)
            if fault is None or fault.times is None:
                return fault is not None
            self._looks[kind, key] += 1
            return self._looks[kind, key] <= fault.times

    def sink(self, job: Named, sink: LogSink) -> Sink:
        late = self.of_job(job, LATE_LOG)
        return _Late(sink, late) if late else sink


class _Late:
    """A sink that passes writes on late, as awslogs and CloudWatch may.

    With `every_s`, what is written within that time is one batch. Batches arrive `delay_s` later, or with `at_most_s`
    after a random delay up to that, but never before the one before. With `out_of_order` the lines of a batch arrive in
    reverse; with `twice` a batch arrives a second time. The lines keep the times at which they were written.
    """

    def __init__(self, sink: LogSink, fault: Fault) -> None:
        self._sink, self._fault, self.name = sink, fault, sink.name
        self._batch: list[tuple[int, bytes]] = []
        self._waiting: list[Callable[[], None]] = []
        self._chance = random.Random(sink.name)  # noqa: S311 - the same delays for the same stream
        self._arrives = 0.0  # of the last batch, time of the loop

    def write(self, data: bytes) -> None:
        if not self._batch:
            asyncio.get_running_loop().call_later(self._fault.every_s, self._send)
        self._batch.append((int(time.time() * 1000), data))

    def close(self) -> None:
        self._send()
        self._later(self._sink.close, 0.1)  # after what repeats

    def _send(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        delay_s = max(self._fault.delay_s, self._fault.at_most_s * self._chance.random())
        self._arrives = max(self._arrives, asyncio.get_running_loop().time() + delay_s)
        self._later(lambda: self._sink.write_batch(batch, out_of_order=self._fault.out_of_order))
        if self._fault.twice:
            self._later(self._sink.repeat, 0.05)  # at another time of ingestion

    def _later(self, call: Callable[[], None], more_s: float = 0) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append(call)
        self._arrives = max(self._arrives, loop.time()) + more_s
        loop.call_at(self._arrives, lambda: self._waiting.pop(0)())
