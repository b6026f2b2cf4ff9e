# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline AWS, and a plain function's way through its tasks, without Covalent."""

from __future__ import annotations

import asyncio
import configparser
import itertools
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.runner.protocol.log_header import MARK
from covalent_awsbatch_plugin.settings import Given, Settings, resolve
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from covalent_awsbatch_plugin.tasks.staging import stage_call, value_of

_numbers = itertools.count()


@dataclass
class World:
    """An offline AWS; `folder` is this test's."""

    aws: LocalAWS
    folder: Path
    changed: dict[str, Any] = field(default_factory=dict)

    def settings(self, **changes: Any) -> Settings:
        """Return those that lead to the offline AWS, with a short `poll_freq` and whatever is changed here.

        Failed tasks are not kept, so that whatever is left at AWS is an orphan.
        """
        given = {"poll_freq": 0.2, "array_linger": 0.2, "cache_dir": str(self.folder), "keep_failed": False}
        given |= self.changed | changes
        return resolve(Given(given, "by this test"), Given(self.aws.section(), "by the offline AWS"))

    def client(self, service: str) -> Any:
        return _client(self.aws.section()["credentials"], service)

    def profile(self, name: str = "local", **changes: str | None) -> str:
        """A credentials file of its own: what leads to the offline AWS, with changes; None leaves a line out."""
        config = configparser.ConfigParser()
        config.read(self.aws.section()["credentials"])
        lines = dict(config["local"]) | changes
        path = self.folder / f"credentials-{next(_numbers)}"
        path.write_text(profile_text(name, lines))
        return str(path)

    def another_profile(self) -> tuple[str, str]:
        """A credentials file with keys of a user of its own, who may do anything; the file, and the access key's id."""
        iam, name = self.client("iam"), f"user-{uuid.uuid4()}"
        iam.create_user(UserName=name)
        anything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(anything))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        return self.profile(**keys), key["AccessKeyId"]

    def stage(
        self,
        function: Callable[..., Any],
        *args: Any,
        dispatch_id: str | None = None,
        node_id: int = 0,
        **kwargs: Any,
    ) -> StagedGroup:
        folder = self.folder / f"staged-{next(_numbers)}"
        folder.mkdir()
        dispatch_id = dispatch_id or f"test-{uuid.uuid4()}"
        return stage_call(function, args, kwargs, folder, dispatch_id=dispatch_id, node_id=node_id)

    async def run(self, settings: Settings, function: Callable[..., Any], *args: Any, **kwargs: Any) -> NodeResult:
        """From function to result, as `covalent-awsbatch hello` does it."""
        return await self.run_staged(settings, self.stage(function, *args, **kwargs))

    async def run_staged(self, settings: Settings, group: StagedGroup) -> NodeResult:
        into = self.folder / f"out-{next(_numbers)}"
        into.mkdir()
        async with connect(settings) as client:
            handle = await client.submit(settings, Task.of(group))
            ended = await client.wait(settings, handle)
            (result,) = await client.results(settings, ended, group.node_ids, into)
        return result

    async def value(self, settings: Settings, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self.value_staged(settings, self.stage(function, *args, **kwargs))

    async def value_staged(self, settings: Settings, group: StagedGroup) -> Any:
        result = await self.run_staged(settings, group)
        if result.error:
            raise result.error
        return value_of(result)

    def job(self, job_id: str) -> dict[str, Any]:
        """As DescribeJobs tells of it."""
        (found,) = self.client("batch").describe_jobs(jobs=[job_id])["jobs"]
        return dict(found)

    def printed(self, stream: str | None) -> list[str]:
        """The tasks' lines of a log stream; none where there is no stream yet."""
        return [event["message"] for event in self.log_events(stream)]

    def log_events(self, stream: str | None) -> list[dict[str, Any]]:
        """Return CloudWatch's events of the tasks' lines of a log stream; none where there is no stream yet."""
        if not stream:
            return []
        group = self.aws.section()["batch_job_log_group_name"]
        told = self.client("logs").get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return [event for event in told["events"] if not event["message"].startswith(MARK)]

    async def until_heard(self, job_id: str) -> None:
        """Its first output is in its log."""
        async with asyncio.timeout(60):
            while not self.printed(self.job(job_id)["container"].get("logStreamName")):
                await asyncio.sleep(0.1)

    def sent(self) -> Sent:
        """All that the offline AWS holds of what anybody sent."""
        section = self.aws.section()
        ecr, batch, s3 = self.client("ecr"), self.client("batch"), self.client("s3")
        images = ecr.describe_images(repositoryName=section["ecr_repo_name"])["imageDetails"]
        wanted = [{"name": "JOB_NAME", "values": ["*"]}]
        jobs = batch.list_jobs(jobQueue=section["batch_queue"], filters=wanted)["jobSummaryList"]
        definitions = batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
        objects = s3.list_objects_v2(Bucket=section["s3_bucket_name"]).get("Contents", [])
        return Sent(
            images=frozenset(image["imageDigest"] for image in images),
            definitions=frozenset(definition["jobDefinitionArn"] for definition in definitions),
            jobs=frozenset(job["jobId"] for job in jobs),
            objects=frozenset(item["Key"] for item in objects),
        )


@dataclass(frozen=True)
class Sent:
    """What lies at AWS because somebody sent it."""

    images: frozenset[str]
    definitions: frozenset[str]
    jobs: frozenset[str]
    objects: frozenset[str]


def profile_text(name: str, lines: Mapping[str, str | None]) -> str:
    kept = [f"{key} = {value}" for key, value in lines.items() if value is not None]
    return "\n".join((f"[{name}]", *kept, ""))


def stdout_of(result: NodeResult) -> str:
    return result.files[envelope.STDOUT].read_text() if envelope.STDOUT in result.files else ""


@cache
def _client(credentials: str, service: str) -> Any:
    session = botocore.session.Session(profile="local")
    session.set_config_variable("credentials_file", credentials)
    # botocore signs URLs of S3 with version 2 by default, which the offline AWS refuses
    return session.create_client(service, config=Config(signature_version="s3v4") if service == "s3" else None)


def by_index(results: Sequence[NodeResult]) -> list[Any]:
    return [value_of(result) for result in results]
