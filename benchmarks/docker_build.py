# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What an image for each task costs the usual way: `docker build` and push through the SDK."""

from __future__ import annotations

import base64
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import docker

from covalent_awsbatch_plugin.local import LocalAWS


def build_and_push(aws: LocalAWS, rounds: int, size: int) -> list[float]:
    """Milliseconds of each round; the first, which brings the base, is not among them."""
    section = aws.section()
    auth = login(section)
    client = docker.from_env(timeout=120)
    client.images.pull(section["container_image_uri"], auth_config=auth)
    repository = f"{aws.registry}/{section['ecr_repo_name']}"
    try:
        walls = [_round(client, section, f"{repository}:built-{each}", auth, size) for each in range(rounds + 1)]
    finally:
        for image in client.images.list(name=repository):
            client.images.remove(image.id, force=True)
        client.close()
    return walls[1:]


def _round(client: Any, section: dict[str, Any], tag: str, auth: dict[str, str], size: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "task.pkl").write_bytes(os.urandom(size))
        Path(folder, "Dockerfile").write_text(f"FROM {section['container_image_uri']}\nCOPY task.pkl /task.pkl\n")
        began = time.perf_counter()
        client.images.build(path=folder, tag=tag, rm=True)
        for line in client.images.push(tag, auth_config=auth, stream=True, decode=True):
            assert "error" not in line, line
        return (time.perf_counter() - began) * 1000


def login(section: dict[str, Any]) -> dict[str, str]:
    """What lets a Docker engine into the offline AWS's registry."""
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = section["credentials"]
    session = boto3.Session(profile_name=section["profile"])
    token = session.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, password = base64.b64decode(token).decode().split(":", 1)
    return {"username": user, "password": password}
