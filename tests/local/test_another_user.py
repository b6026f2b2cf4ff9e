# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Another user of the machine, without credentials, can't submit to, read, poison or block an offline AWS.

Each attempt is made by a process with the ids of `nobody`, which only root can start.
"""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import botocore.session
import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.core.test_private_files import as_user
from tests.local.small_world import World

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAWS]:
    """An offline AWS in a folder that everybody may look into, with an object and the image of a job in it."""
    with TemporaryDirectory(prefix="covalent-awsbatch-test-") as folder:
        Path(folder).chmod(0o755)
        state = Path(folder, "state")
        state.mkdir(mode=0o755)
        local = LocalAWS("process", state, slots=2, grace_s=1)
        asyncio.run(local.__aenter__())
        try:
            World(local).client("s3").put_object(Bucket=bucket(local), Key="covalent-awsbatch/secret", Body=b"mine")
            yield local
        finally:
            asyncio.run(local.__aexit__(None, None, None))


def bucket(aws: LocalAWS) -> str:
    return str(aws.section()["s3_bucket_name"])


def statuses(host: str, requests: list[tuple[str, str, str]]) -> str:
    """The HTTP statuses of requests as nobody, without a login: method, path, body."""

    def ask() -> list[int]:
        found = []
        for method, path, body in requests:
            connection = http.client.HTTPConnection(host, timeout=20)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            found.append(connection.getresponse().status)
            connection.close()
        return found

    return as_user(NOBODY, ask)


def test_another_user_submits_nothing(aws: LocalAWS) -> None:
    definition = {"jobDefinitionName": "theirs", "type": "container", "containerProperties": {"image": "x"}}
    submission = {"jobName": "theirs", "jobQueue": aws.section()["batch_queue"], "jobDefinition": "theirs"}
    told = statuses(
        aws.endpoint_url.removeprefix("http://"),
        [
            ("POST", "/v1/registerjobdefinition", json.dumps(definition)),
            ("POST", "/v1/submitjob", json.dumps(submission)),
            ("POST", "/v1/terminatejob", json.dumps({"jobId": "x", "reason": "theirs"})),
        ],
    )
    assert told == "[403, 403, 403]"
    assert World(aws).batch.describe_job_definitions(jobDefinitionName="theirs")["jobDefinitions"] == []


def test_another_user_submits_nothing_with_made_up_keys(aws: LocalAWS) -> None:
    session = botocore.session.Session(profile=None)
    session.set_credentials("AKIAMADEUP", "made-up")
    batch = session.create_client("batch", aws.region, endpoint_url=aws.endpoint_url)  # reads botocore's files as root
    told = as_user(NOBODY, lambda: batch.list_jobs(jobQueue=aws.section()["batch_queue"]))
    assert "UnrecognizedClientException" in told


def test_another_user_reads_nothing_over_http(aws: LocalAWS) -> None:
    paths = [f"/{bucket(aws)}/covalent-awsbatch/secret", f"/{bucket(aws)}", "/_local/calls", "/moto-api/data.json"]
    assert statuses(aws.endpoint_url.removeprefix("http://"), [("GET", path, "") for path in paths]) == str([403] * 4)
    images = ["/v2/", "/v2/python/tags/list", "/v2/covalent-batch-job-images/tags/list"]
    assert statuses(aws.registry, [("GET", path, "") for path in images]) == str([401] * 3)


def test_another_user_reads_no_file(aws: LocalAWS) -> None:
    files = [path for path in aws.state_dir.rglob("*") if path.is_file()]
    assert {"credentials", "state.json"} < {path.name for path in files}
    assert any("registry" in path.parts for path in files)

    def readable() -> list[str]:
        return [str(path) for path in files if os.access(path, os.R_OK)]

    assert as_user(NOBODY, readable) == "[]"


def test_another_user_poisons_nothing(aws: LocalAWS) -> None:
    folders = [aws.state_dir, *(path for path in aws.state_dir.rglob("*") if path.is_dir())]
    files = [path for path in aws.state_dir.rglob("*") if path.is_file()]

    def writable() -> list[str]:
        return [str(path) for path in (*folders, *files) if os.access(path, os.W_OK)]

    assert as_user(NOBODY, writable) == "[]"
    key = f"/{bucket(aws)}/covalent-awsbatch/secret"
    assert statuses(aws.endpoint_url.removeprefix("http://"), [("PUT", key, "theirs"), ("DELETE", key, "")]) == (
        "[403, 403]"
    )
    uploads = [("POST", "/v2/python/blobs/uploads/", ""), ("PUT", "/v2/python/manifests/3.11-slim", "{}")]
    assert statuses(aws.registry, uploads) == "[401, 401]"
    body = World(aws).client("s3").get_object(Bucket=bucket(aws), Key="covalent-awsbatch/secret")["Body"].read()
    assert body == b"mine"


def test_another_user_blocks_nothing(aws: LocalAWS) -> None:
    """Neither by the lock of the folder, nor by a signal, nor by connections that say nothing."""

    def lock() -> None:
        with (aws.state_dir / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

    assert "PermissionError" in as_user(NOBODY, lock)
    pid = json.loads((aws.state_dir / "state.json").read_text())["pid"]
    assert "PermissionError" in as_user(NOBODY, lambda: os.kill(pid, 15))

    def hold() -> str:
        hosts = [host.rsplit(":", 1) for host in (aws.endpoint_url.removeprefix("http://"), aws.registry)]
        silent = [socket.create_connection((name, int(port)), 20) for name, port in hosts for _ in range(50)]
        for each in silent:
            each.sendall(b"POST /v1/submitjob HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n")
        os.write(writer, b"x")
        os.read(done, 1)
        return str(len(silent))

    reader, writer = os.pipe()
    done, release = os.pipe()
    ids = os.fork()
    if ids == 0:
        os._exit(0 if as_user(NOBODY, hold) == "100" else 1)
    assert os.read(reader, 1) == b"x"
    try:
        assert World(aws).client("s3").head_bucket(Bucket=bucket(aws))
        assert World(aws).registry().call("GET", "").status_code == 200
    finally:
        os.write(release, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(ids, 0)[1]) == 0
