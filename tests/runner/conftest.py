# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The runner's small world: one S3 server and one unpacked layer for all tests, a bucket and a root for each."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from covalent_awsbatch_plugin.images.runner_layer import runner_files
from tests.runner.bench import REGION, Bucket, Container


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def client(endpoint: str) -> Any:
    session = boto3.Session("testing", "testing", region_name=REGION)
    return session.client("s3", endpoint_url=endpoint)


@pytest.fixture
def bucket(endpoint: str, client: Any) -> Bucket:
    bucket = Bucket(f"results-{secrets.token_hex(6)}", endpoint, client)
    bucket.client.create_bucket(Bucket=bucket.name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return bucket


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's layer, unpacked."""
    root = tmp_path_factory.mktemp("image")
    machine = "arm64" if os.uname().machine in ("aarch64", "arm64") else "amd64"
    for name, data in runner_files(f"linux/{machine}", tmp_path_factory.mktemp("cache")).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.fixture
def container(image: Path, bucket: Bucket, tmp_path: Path) -> Container:
    root = tmp_path / "root"
    shutil.copytree(image, root, copy_function=os.link)
    (root / "tmp").mkdir()
    return Container(root, bucket)
