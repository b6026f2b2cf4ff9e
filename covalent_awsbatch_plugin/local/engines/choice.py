# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The two engines, the choice between them, and the way in for another."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from .base import Engine

DOCKER, PROCESS, AUTO = "docker", "process", "auto"


def choose(wanted: str) -> str:
    """`docker` or `process`; `auto` takes docker where an engine answers. Raises ValueError for another word.

    `module:Class` is an engine of somebody's own, made like `ProcessEngine`.
    """
    if ":" in wanted:
        return wanted
    if wanted not in (DOCKER, PROCESS, AUTO):
        raise ValueError(f"engine must be {DOCKER}, {PROCESS} or {AUTO}, not {wanted!r}")
    if wanted != AUTO:
        return wanted
    return DOCKER if docker_answers() else PROCESS


def docker_answers() -> bool:
    """Whether a Docker engine answers at DOCKER_HOST or the usual socket."""
    from ...images.builders import docker_client

    return docker_client.docker_answers(timeout_s=5)


def make(name: str, folder: Path, registry: str, password: str, slots: int) -> Engine:
    """The engine called `name`; `folder` is its own, `registry` (host:port) takes user AWS with `password`."""
    if name == DOCKER:
        from .docker import DockerEngine

        return DockerEngine(registry, password, slots)
    if ":" in name:
        module, _, own = name.partition(":")
        engine: Engine = getattr(import_module(module), own)(folder, registry, password)
        return engine
    from .process import ProcessEngine

    return ProcessEngine(folder, registry, password)
