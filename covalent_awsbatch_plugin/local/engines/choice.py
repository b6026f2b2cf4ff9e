# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The choice between the two engines, or another one by its class."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from . import proc
from .base import Engine

DOCKER, PROCESS, AUTO = "docker", "process", "auto"


def choose(name: str) -> str:
    """Return `docker` or `process`; `auto` is docker where a Docker engine answers. Raises ValueError for others.

    `module:Class` names another engine, whose class takes the arguments of `ProcessEngine`.
    """
    if ":" in name:
        return name
    if name not in (DOCKER, PROCESS, AUTO):
        raise ValueError(f"engine must be {DOCKER}, {PROCESS} or {AUTO}, not {name!r}")
    if name != AUTO:
        return name
    return DOCKER if docker_answers() else PROCESS


def docker_answers() -> bool:
    """Return whether a Docker engine answers at DOCKER_HOST or the usual socket."""
    from ...images.builders import docker_client

    return docker_client.docker_answers(timeout_s=5)


def make(name: str, folder: Path, registry: str, password: str, slots: int) -> Engine:
    """Return a new engine. It owns `folder`; `registry` (host:port) accepts the user AWS with `password`."""
    if name == DOCKER:
        from .docker import DockerEngine

        return DockerEngine(registry, password, slots, folder)
    if ":" in name:
        module, _, class_name = name.partition(":")
        engine: Engine = getattr(import_module(module), class_name)(folder, registry, password)
        return engine
    from .process import ProcessEngine

    return ProcessEngine(folder, registry, password)


def end_jobs(name: str, folder: Path) -> None:
    """End the jobs of an engine that owned `folder` and was killed."""
    if name == DOCKER:
        from .docker import end_containers

        end_containers(folder)
    proc.kill_by_environment(f"TMPDIR={folder}/{proc.SCRATCH}")
