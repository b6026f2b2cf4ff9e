# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Faults on demand: what goes wrong with calls and jobs at AWS, as often and as long as somebody asks for.

`LocalAWS.fault("host_lost", of="covalent-*")` adds one; over HTTP it is a POST of its JSON to `FAULTS_PATH`, and DELETE
ends them all. Two sorts: those of calls, met at the gate (gate.py), and those of jobs, met in the scheduler.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

# ---- of calls: `of` is an operation like batch:SubmitJob or ecr:PutImage -------------------------------------------
THROTTLE = "throttle"  # the service's own words for "too often"
ERROR = "error"  # a server's error, 500
EXPIRED = "expired"  # the credentials are no longer good
SLOW = "slow"  # `delay_s` seconds late
CUT_BEFORE = "cut_before"  # the connection breaks, and nothing took effect
CUT_AFTER = "cut_after"  # the connection breaks when the call has taken effect
CUT_AMID = "cut_amid"  # the answer breaks off in its middle
CALLS = frozenset({THROTTLE, ERROR, EXPIRED, SLOW, CUT_BEFORE, CUT_AFTER, CUT_AMID})

# ---- of jobs: `of` is a job's name, with :index for an array's child -----------------------------------------------
HOST_LOST = "host_lost"  # `after_s` seconds after its start the container is gone, and nobody told it
SPOT = "spot"  # `after_s` seconds after its start the container gets SIGTERM, and later SIGKILL
NOT_STARTED = "not_started"  # `text` says why: see PULLS, ROLE
STUCK = "stuck"  # the job stays RUNNABLE, with `text` for a reason, for as long as the fault is there
UNSEEN = "unseen"  # DescribeJobs does not know the job at its first `times` looks
AGENT = "agent"  # the container ended as it did, and nobody could look how
LATE_LOG = "late_log"  # log events arrive `delay_s` seconds late
JOBS = frozenset({HOST_LOST, SPOT, NOT_STARTED, STUCK, UNSEEN, AGENT, LATE_LOG})
LOSSES = (HOST_LOST, SPOT)

# https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html has the first; the second is Fargate's.
HOST_TERMINATED = "Host EC2 (instance i-0f00dfeed0badcafe) terminated."
SPOT_INTERRUPTED = "Your Spot Task was interrupted."
INSPECT = "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s"
_TEXTS = {HOST_LOST: HOST_TERMINATED, SPOT: SPOT_INTERRUPTED, AGENT: INSPECT}

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
    """One thing that goes wrong `times` times, None: always; and for no longer than `seconds`.

    `of` and `who` (an access key) are patterns with *; the latter counts for calls. With `once_heard`, `after_s` begins
    at a container's first output instead of its start: how long it needs until then is this machine's affair.
    """

    kind: str
    of: str = "*"
    who: str = "*"
    times: int | None = 1
    seconds: float | None = None
    after_s: float = 0.0
    once_heard: bool = False
    delay_s: float = 0.0
    text: str = ""
    until: float = field(default=float("inf"), init=False)

    def __post_init__(self) -> None:
        if self.kind not in CALLS | JOBS:
            raise ValueError(f"{self.kind!r} is no fault; there are {', '.join(sorted(CALLS | JOBS))}")
        self.text = self.text or _TEXTS.get(self.kind, "")

    def fits(self, kinds: Iterable[str], name: str, who: str, now: float) -> bool:
        spent = now >= self.until or (self.times is not None and self.times <= 0)
        return self.kind in kinds and not spent and fnmatchcase(name, self.of) and fnmatchcase(who, self.who)


class Named(Protocol):
    """A job, as far as its faults are concerned."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...


class Sink(Protocol):
    name: str

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Faults:
    """Those that are to come. The API's threads and the scheduler's loop both ask; `added` is called after `add`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._faults: list[Fault] = []
        self._looks: Counter[str] = Counter()
        self.added: Callable[[], object] = lambda: None

    def add(self, fault: Fault) -> None:
        if fault.seconds is not None:
            fault.until = self._clock() + fault.seconds
        with self._lock:
            self._faults.append(fault)
        self.added()

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def _find(self, kinds: Iterable[str], name: str, who: str = "") -> Fault | None:
        now = self._clock()
        return next((each for each in self._faults if each.fits(kinds, name, who, now)), None)

    def take(self, kinds: Iterable[str], name: str, who: str = "") -> Fault | None:
        """The first that fits, which has then happened once more."""
        with self._lock:
            found = self._find(kinds, name, who)
            if found and found.times is not None:
                found.times -= 1
        return found

    def of_call(self, operation: str, who: str) -> Fault | None:
        return self.take(CALLS, operation, who)

    def of_job(self, job: Named, *kinds: str) -> Fault | None:
        return self.take(kinds, job.label)

    def stuck(self, job: Named) -> str | None:
        """Why the job does not start now."""
        with self._lock:
            found = self._find((STUCK,), job.label)
        return found.text if found else None

    def unseen(self, job: Named) -> bool:
        """Whether DescribeJobs shall not know the job at this look; `times` are each job's own."""
        with self._lock:
            found = self._find((UNSEEN,), job.label)
            if found is None or found.times is None:
                return found is not None
            self._looks[job.id] += 1
            return self._looks[job.id] <= found.times

    def sink(self, job: Named, sink: Sink) -> Sink:
        late = self.of_job(job, LATE_LOG)
        return _Late(sink, late.delay_s) if late else sink


class _Late:
    """What is written arrives later, in its order."""

    def __init__(self, sink: Sink, delay_s: float) -> None:
        self._sink, self._delay_s, self.name = sink, delay_s, sink.name
        self._waiting: list[Callable[[], None]] = []

    def write(self, data: bytes) -> None:
        self._later(lambda: self._sink.write(data))

    def close(self) -> None:
        self._later(self._sink.close)

    def _later(self, deed: Callable[[], None]) -> None:
        self._waiting.append(deed)
        asyncio.get_running_loop().call_later(self._delay_s, lambda: self._waiting.pop(0)())
