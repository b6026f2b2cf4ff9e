# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the figures were measured on, and with which code."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
GIB = 1024**3
_LIBRARIES = ("covalent", "aioboto3", "botocore", "aiohttp", "obstore", "moto")


def facts() -> list[str]:
    """One line each: when, what code, what machine, what software."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    load = os.getloadavg()[0]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB of memory, "
        f"load average {load:.1f} when it began, {platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}, {versions}",
        _engine(),
    ]


def _commit() -> str:
    try:
        told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git repository)"
    return told.stdout.decode().strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _engine() -> str:
    from docker.errors import DockerException

    from covalent_awsbatch_plugin.images.builders.docker_client import docker_client

    try:
        with closing(docker_client(timeout_s=5)) as client:
            return f"Docker engine {client.version()['Version']}"
    except (DockerException, OSError):
        return "no Docker engine answered"
