# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`make demo`: an AWS on this machine, a real Covalent server, and workflow.py on both. Nothing is left behind.

With a Docker engine the electrons run in real containers, without one as processes; `docker` or `process` as an
argument decides it. Your own Covalent config, server and AWS account are not touched.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import aioboto3
from covalent_server import CovalentServer

from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.background import LocalAWSFailed

WORKFLOW = Path(__file__).with_name("workflow.py")
BEGAN = time.monotonic()


def say(text: str) -> None:
    print(f"\n{time.monotonic() - BEGAN:5.1f} s  {text}", flush=True)


def detail(text: str) -> None:
    print(textwrap.indent(text, "         "), flush=True)


async def main(engine: str) -> None:
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-demo-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        say("Starting an AWS on this machine: S3, ECR, Batch, IAM, CloudWatch Logs ...")
        async with LocalAWS(engine, enforce_iam=True, progress=detail) as aws:
            detail(f"It answers at {aws.endpoint_url}, and its Docker registry at {aws.registry}.")
            # The images are kept for `tell_aws` to tell of.
            settings = aws.section() | {"cache_dir": str(home / "staging"), "delete_images": False}
            say("Starting a Covalent server ...")
            with CovalentServer(home, settings) as covalent:
                detail(f"It answers at {covalent.address}. [executors.awsbatch] of its config file leads to that AWS.")
                say(f"Running examples/{WORKFLOW.name} ...")
                await run_workflow(covalent)
                say("What this AWS saw of it:")
                await tell_aws(settings)
                say("Stopping both ...")
    say("Done, and nothing is left running. Next: your own AWS, see README.md.")


async def run_workflow(covalent: CovalentServer) -> None:
    """As you would run it: Covalent's config file says where the server is. Raises when it ends badly."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(WORKFLOW), env=covalent.environment, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    try:
        async for line in process.stdout:
            detail(line.decode().rstrip())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        raise
    if code := await process.wait():
        raise SystemExit(f"{WORKFLOW.name} ended with exit code {code}: the demo failed.\n{covalent.last_words()}")


async def tell_aws(settings: dict) -> None:
    """The same API calls as to the real one: its address and keys are in a profile of the credentials file."""
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = settings["credentials"]
    session = aioboto3.Session(profile_name=settings["profile"])
    repository, queue, group = (settings[k] for k in ("ecr_repo_name", "batch_queue", "batch_job_log_group_name"))
    async with session.client("ecr") as ecr, session.client("batch") as batch, session.client("logs") as logs:
        images = (await ecr.describe_images(repositoryName=repository))["imageDetails"]
        detail(f"{len(images)} images in the ECR repository {repository}: the base, and the tasks' upon it.")
        jobs = await ended_jobs(batch, jobQueue=queue)
        detail(f"{len(jobs)} jobs in the queue {queue}, their output in the CloudWatch log group {group}:")
        for job in jobs:
            seconds, size = (job["stoppedAt"] - job["createdAt"]) / 1000, job.get("arrayProperties", {}).get("size")
            alike = f", an array of {size} electrons that became ready together" if size else ""
            detail(f"\n{job['status']} after {seconds:.1f} s: {job['jobName']}{alike}")
            detail(f"    image {job['container']['image']}")
            for one in await ended_jobs(batch, arrayJobId=job["jobId"]) if size else [job]:
                stream = one["container"]["logStreamName"]
                detail(f"    exit code {one['container']['exitCode']}, log stream {stream}")
                said = await logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
                detail("\n".join(f"        | {event['message']}" for event in said["events"]))


async def ended_jobs(batch, **where: str) -> list[dict]:
    """Descriptions of the jobs of a queue or an array, in the order in which they came."""
    listed = [await batch.list_jobs(jobStatus=status, **where) for status in ("SUCCEEDED", "FAILED")]
    ids = [job["jobId"] for answer in listed for job in answer["jobSummaryList"]]
    return sorted((await batch.describe_jobs(jobs=ids))["jobs"], key=lambda job: job["createdAt"])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # cleans up as Ctrl-C does
    try:
        asyncio.run(main(*sys.argv[1:] or ["auto"]))
    except KeyboardInterrupt:
        sys.exit("\nStopped; nothing is left running.")
    except LocalAWSFailed as error:
        sys.exit(f"\n{error}")
