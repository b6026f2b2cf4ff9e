# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An offline AWS, an image with one script, and jobs made of both."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.session
import requests

from covalent_awsbatch_plugin.local import LocalAWS, Status

SCRIPT = Path(__file__).parent / "script.py"
ENDED = ("SUCCEEDED", "FAILED")
GRACE_S = 1.0
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class World:
    """An offline AWS and the clients that speak to it."""

    aws: LocalAWS | Status

    def __post_init__(self) -> None:
        session = botocore.session.Session(profile=self.settings["profile"])
        session.set_config_variable("credentials_file", self.settings["credentials"])
        self.client: Callable[[str], Any] = cache(session.create_client)

    @property
    def settings(self) -> dict[str, Any]:
        return self.aws.section() if isinstance(self.aws, LocalAWS) else self.aws.section

    @property
    def batch(self) -> Any:
        return self.client("batch")

    def role(self, name: str) -> str:
        arn: str = self.client("iam").get_role(RoleName=self.settings[name])["Role"]["Arn"]
        return arn

    def registry(self) -> Registry:
        data = self.client("ecr").get_authorization_token()["authorizationData"][0]
        return Registry(data["proxyEndpoint"], data["authorizationToken"])

    # ---- jobs ---------------------------------------------------------------------------------------------------
    def define(self, image: str, *, memory: int = 256, **told: Any) -> str:
        """The ARN of a definition of its own."""
        options = {"awslogs-group": self.settings["batch_job_log_group_name"], "awslogs-stream-prefix": "tests"}
        container = {
            "image": image,
            "executionRoleArn": self.role("batch_execution_role_name"),
            "jobRoleArn": self.role("batch_job_role_name"),
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": str(memory)},
            ],
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        } | told.pop("container", {})
        name = f"tests-{uuid4().hex[:8]}"
        answer = self.batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=container, **told
        )
        arn: str = answer["jobDefinitionArn"]
        return arn

    def submit(self, definition: str, *command: str, **told: Any) -> str:
        overrides = {"command": list(command)} | told.pop("overrides", {})
        queue = told.pop("queue", self.settings["batch_queue"])
        job: str = self.batch.submit_job(
            jobName=told.pop("name", "job"),
            jobQueue=queue,
            jobDefinition=definition,
            containerOverrides=overrides,
            **told,
        )["jobId"]
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.batch.describe_jobs(jobs=[job_id])["jobs"][0]
        return found

    def until(self, job_id: str, *statuses: str, within_s: float = 60) -> dict[str, Any]:
        return eventually(lambda: found if (found := self.job(job_id))["status"] in statuses else None, within_s)

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.until(job_id, *ENDED)

    def messages(self, stream: str) -> list[str]:
        told = self.client("logs").get_log_events(
            logGroupName=self.settings["batch_job_log_group_name"], logStreamName=stream, startFromHead=True
        )
        return [event["message"] for event in told["events"]]

    def said(self, job_id: str) -> list[str]:
        return self.messages(self.job(job_id)["container"]["logStreamName"])


@dataclass
class Registry:
    """Just enough of a client to push an image."""

    url: str
    login: str

    def call(self, method: str, path: str, **told: Any) -> requests.Response:
        headers = {"Authorization": f"Basic {self.login}"} | told.pop("headers", {})
        url = path if path.startswith("http") else f"{self.url}/v2/{path}"
        return requests.request(method, url, headers=headers, timeout=30, **told)

    def push_blob(self, repository: str, data: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        begun = self.call("POST", f"{repository}/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        put = self.call("PUT", self.url + begun.headers["Location"], params={"digest": digest}, data=data)
        assert put.status_code == 201, put.text
        return {"size": len(data), "digest": digest}

    def put_manifest(self, repository: str, reference: str, body: dict[str, Any]) -> requests.Response:
        headers = {"Content-Type": body["mediaType"]}
        return self.call("PUT", f"{repository}/manifests/{reference}", data=json.dumps(body), headers=headers)


def eventually(look: Callable[[], Any], within_s: float = 60) -> Any:
    """What `look` finds, as soon as it is something."""
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


def is_alive(pid: int) -> bool:
    """A zombie is not: it only waits for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def layer(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


def compose(world: World, files: dict[str, bytes], **config: Any) -> str:
    """The offline AWS's base image with one layer more, pushed; its name by digest."""
    registry, repository = world.registry(), world.settings["ecr_repo_name"]
    base_name, _, tag = world.settings["container_image_uri"].partition("/")[2].partition(":")
    base = registry.call("GET", f"{base_name}/manifests/{tag}").json()
    told = registry.call("GET", f"{base_name}/blobs/{base['config']['digest']}").json()
    data = layer(files)
    told["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(data).hexdigest()}")
    told["config"] |= {"Labels": {"covalent.awsbatch.base.layers": str(len(base["layers"]))}} | config
    for each in base["layers"]:
        mounted = registry.call(
            "POST", f"{repository}/blobs/uploads/", params={"mount": each["digest"], "from": base_name}
        )
        if mounted.status_code == 202:  # this registry mounts nothing
            registry.push_blob(repository, registry.call("GET", f"{base_name}/blobs/{each['digest']}").content)
    base["config"] |= registry.push_blob(repository, json.dumps(told).encode())
    base["layers"].append(
        {"mediaType": base["layers"][0]["mediaType"]} | registry.push_blob(repository, gzip.compress(data))
    )
    answer = registry.put_manifest(repository, "latest", base)
    assert answer.status_code == 201, answer.text
    return f"{world.aws.registry}/{repository}@{answer.headers['Docker-Content-Digest']}"
