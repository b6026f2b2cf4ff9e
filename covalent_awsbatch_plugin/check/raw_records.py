# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Records of jobs as AWS Batch sends them: botocore leaves out fields that its model does not have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..aws.session import AWS

IDS_PER_CALL = 100  # https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html


async def raw_records(aws: AWS, job_ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the JobDetails of jobs from the bodies of the answers; unknown jobs are missing. Raises a ServiceError."""
    records: list[Mapping[str, Any]] = []
    for start in range(0, len(job_ids), IDS_PER_CALL):
        records += await _page(aws, job_ids[start : start + IDS_PER_CALL])
    return records


async def _page(aws: AWS, job_ids: Sequence[str]) -> list[Mapping[str, Any]]:
    bodies: list[bytes] = []

    def keep(response_dict: Mapping[str, Any], **_: Any) -> None:
        bodies.append(response_dict["body"])

    client = await aws.client("batch")
    event = "before-parse.batch.DescribeJobs"
    client.meta.events.register(event, keep)
    try:
        answer = await aws.call("batch", "DescribeJobs", of="the jobs", jobs=list(job_ids))
    finally:
        client.meta.events.unregister(event, keep)
    for body in reversed(bodies):  # another call's answer may be among them
        jobs = json.loads(body).get("jobs", [])
        if [job.get("jobId") for job in jobs] == [job.get("jobId") for job in answer["jobs"]]:
            return list(jobs)
    return list(answer["jobs"])
