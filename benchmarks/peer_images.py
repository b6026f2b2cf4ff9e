# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The images that the others' containers run: their own entry points and packages on the offline AWS's base image.

Made as their documents say, but for where the packages come from: their environments on this machine.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.local import LocalAWS

from .docker_build import login
from .peers import LITHOPS, OLD, Client

_ALL = ("",)
_OLDS = (
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "dateutil",
    "six",
    "urllib3",
    "cloudpickle",
    "covalent_aws_plugins",
)
# Who, which packages, the entry point among them, and where it works.
_IMAGES = {
    OLD: (_OLDS, "covalent_aws_plugins/exec.py", "/covalent"),
    LITHOPS: (_ALL, "lithops/serverless/backends/aws_batch/entry_point.py", "/lithops"),
}
_LEFT_OUT = ("pip", "setuptools")


def push(client: Client, aws: LocalAWS, docker: Any, tag: str) -> str:
    """Builds the client's image and pushes it under `tag`; its name."""
    section = aws.section()
    packages, entry_point, folder = _IMAGES[client]
    name, auth = f"{aws.registry}/{section['ecr_repo_name']}:{tag}", login(section)
    dockerfile = (
        f"FROM {section['container_image_uri']}\nCOPY packages /opt/packages\nENV PYTHONPATH=/opt/packages\n"
        f"WORKDIR {folder}\nENTRYPOINT {json_list('python3', f'/opt/packages/{entry_point}')}\n"
    )
    docker.images.pull(section["container_image_uri"], auth_config=auth)
    with tempfile.TemporaryFile() as context:
        _write(context, client, packages, dockerfile.encode())
        docker.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
    for line in docker.images.push(name, auth_config=auth, stream=True, decode=True):
        assert "error" not in line, line
    return name


def json_list(*words: str) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


def _write(context: Any, client: Client, packages: tuple[str, ...], dockerfile: bytes) -> None:
    (site,) = (client.folder / "lib").glob("python3.*/site-packages")
    with tarfile.open(fileobj=context, mode="w") as tar:
        about = tarfile.TarInfo("Dockerfile")
        about.size = len(dockerfile)
        tar.addfile(about, io.BytesIO(dockerfile))
        for path in sorted(Path(site).iterdir()):
            if path.name.startswith(packages) and not path.name.startswith(_LEFT_OUT):
                tar.add(path, f"packages/{path.name}")
    context.seek(0)
