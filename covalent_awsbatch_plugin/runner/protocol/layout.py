# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Names and paths that the user's machine and the container share.

This file imports the standard library only: the container runs a copy of this folder.
"""

from __future__ import annotations

from typing import NamedTuple

FORMAT_VERSION = 2  # of the task file and the payload; a runner reads its own version only, and is sent with them

# ---- in the image -------------------------------------------------------------------------------------------------
# Both sides of the container derive their paths from one root, so that an unpacked image runs anywhere.
ROOT = "covalent"
RUNNER_DIR = f"{ROOT}/runner"
RUNNER_PACKAGE = "covalent_awsbatch_runner"  # the copy of this folder, under its name inside the image
SPAWNED = "covalent_awsbatch_script"  # the module that a process of multiprocessing imports in place of the script
PLUGIN_DIR = f"{RUNNER_DIR}/plugin"  # the part of this package that tasks may import, where the image lacks it
ENV_DIR = f"{ROOT}/env"  # the task's Python packages, as an installer writes them: modules, and bin/
CODE_DIR = f"{ROOT}/code"  # the user's own modules
COVALENT_DIR = f"{ROOT}/sdk"  # Covalent and what it imports, where a pickle refers to it
PAYLOAD_FILE = f"{ROOT}/payload"  # the payload of the job's tasks (`payload`), where the image contains it
ENTRYPOINT = ("python3", "-s", f"/{RUNNER_DIR}")  # -s: no user site-packages of whatever user the base image has

# ---- in the job's environment: places and names, never secrets; nothing grows with the number of tasks ---------------
ENV_DISPATCH_ID = "COVALENT_AWSBATCH_DISPATCH_ID"
ENV_BUCKET = "COVALENT_AWSBATCH_BUCKET"
ENV_RESULTS_PREFIX = "COVALENT_AWSBATCH_RESULTS_PREFIX"
ENV_EARLIER_ATTEMPTS = "COVALENT_AWSBATCH_EARLIER_ATTEMPTS"  # of earlier jobs for the same tasks; unset: none
ENV_REGION = "COVALENT_AWSBATCH_REGION"  # the bucket's; if unset, AWS_REGION and AWS_DEFAULT_REGION are read
ENV_ENDPOINT = "COVALENT_AWSBATCH_S3_ENDPOINT"  # the URL of S3 in that Region; if unset, the client's own rule
ENV_SSE = "COVALENT_AWSBATCH_SSE"  # the server-side encryption of results; if unset, the bucket's default
ENV_KMS_KEY = "COVALENT_AWSBATCH_KMS_KEY"  # the KMS key of that encryption
# How long (seconds) a request to S3 is repeated in an outage; if unset, the default of the setting `outage_patience`.
ENV_OUTAGE_PATIENCE = "COVALENT_AWSBATCH_OUTAGE_PATIENCE"
OUTAGE_PATIENCE_S = 900.0
# Where several tasks share a container. Without the first, container and task are one, and AWS Batch keeps the time.
ENV_TASKS_PER_JOB = "COVALENT_AWSBATCH_TASKS_PER_JOB"
ENV_PARALLEL_TASKS = "COVALENT_AWSBATCH_PARALLEL_TASKS"  # how many of these run at once
ENV_TASKS = "COVALENT_AWSBATCH_TASKS"  # in the whole array; its last container may have fewer than the others
ENV_BUNDLES = "COVALENT_AWSBATCH_BUNDLES"  # set: the container writes its tasks' results as bundles
ENV_TIME_LIMIT = "COVALENT_AWSBATCH_TIME_LIMIT"  # seconds each of them may run
# Where the tasks are no layer of the image.
ENV_PAYLOAD = "COVALENT_AWSBATCH_PAYLOAD"  # the sha256 that names and proves the object with the tasks
ENV_CONTAINERS = "COVALENT_AWSBATCH_CONTAINERS"  # the number of containers of that object

# Set by AWS Batch: https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html
ENV_JOB_ID = "AWS_BATCH_JOB_ID"
ENV_JOB_ATTEMPT = "AWS_BATCH_JOB_ATTEMPT"  # from 1
ENV_ARRAY_INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"

# ---- in the bucket ------------------------------------------------------------------------------------------------
S3_ROOT = "covalent-awsbatch"


def object_key(sha256: str) -> str:
    """Return the key of a function or argument that is too big for the image; named by content, so sent once."""
    return f"{S3_ROOT}/objects/{sha256}"


def payload_key(sha256: str) -> str:
    """Return the key of a job's payload, where that is no layer of its image."""
    return f"{S3_ROOT}/objects/tasks/{sha256}"


def state_key(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task may keep its state; the same for all jobs and attempts of the task."""
    return f"{S3_ROOT}/results/{dispatch_id}/state/{node_id}"


def member_id(job_id: str, member: int) -> str:
    """Return the id of one task of a shared container: the id of its job or array, and the task's number.

    A task with its own container has AWS Batch's job id, which for an array's child has the same form.
    """
    return f"{job_id.partition(':')[0]}:{member}"


def attempt_prefix(prefix: str, job_id: str, attempt: int) -> str:
    """Return the prefix of one attempt. The id of an array's child, `parent:index`, becomes `parent/index`."""
    return f"{prefix}/{job_id.replace(':', '/')}/{attempt}"


RESULT_NAME = "result"


def result_key(prefix: str, job_id: str, attempt: int) -> str:
    """Return the key of the envelope: it is written last, so its presence commits everything it names."""
    return f"{attempt_prefix(prefix, job_id, attempt)}/{RESULT_NAME}"


def part_key(prefix: str, job_id: str, attempt: int, sha256: str) -> str:
    """Return the key of a part that is too big for the envelope."""
    return f"{attempt_prefix(prefix, job_id, attempt)}/parts/{sha256}"


INLINE_PART_BYTES = 256 * 1024  # a bigger value or stream is a separate object
STREAM_KEEP_BYTES = 256 * 1024 * 1024  # of each stream of a task; CloudWatch gets all of it

# ---- when the container is told to stop ------------------------------------------------------------------------------
# Batch sends SIGTERM, and SIGKILL 30 s later: https://docs.aws.amazon.com/batch/latest/userguide/job_timeouts.html
STOP_GRACE_S = 14.0  # for the task to end by itself, before it is killed
STOP_COMMIT_S = 12.0  # for writing the result
OVERTIME_S = 30  # added per task to the job's timeout where several tasks share a job; the runner keeps their own limit


# ---- exit codes of the container ----------------------------------------------------------------------------------
# 0 is a committed value of every task and nothing else. A process killed by signal N ends with 128 + N, as in a shell.
class ExitCode(NamedTuple):
    """An exit code of the container, and its meaning for the user."""

    code: int
    meaning: str


RETURNED = ExitCode(0, "every task returned a value, and the result is committed")
RAISED = ExitCode(1, "a task ended without a value; the result that says how is committed")
NO_INPUT = ExitCode(70, "the task's description, function or arguments could not be read")
NOT_COMMITTED = ExitCode(71, "the task ran, but its result could not be written to the bucket")
TERMINATED = ExitCode(143, "told to stop by SIGTERM; what was there is committed")
