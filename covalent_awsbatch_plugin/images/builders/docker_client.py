# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The Docker SDK's client, without the open socket that the SDK leaves behind where no engine listens."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import docker
import docker.errors

_OLD_ENOUGH = "1.44"  # with a version given, the SDK asks no engine for one; requests are never sent with this client


def docker_client(timeout_s: int, **options: Any) -> Any:  # the SDK has types for some of its calls only
    """Return a client of the engine at DOCKER_HOST, else of the engine of this machine; `timeout_s` is one answer's.

    `options` are `docker.from_env`'s. Raises DockerException when no engine answers.
    """
    _check_socket(timeout_s)
    try:
        return docker.from_env(timeout=timeout_s, **options)
    except OSError as error:
        raise docker.errors.DockerException(str(error)) from error


def docker_answers(timeout_s: int) -> bool:
    """Return whether an engine answers a ping within `timeout_s` seconds."""
    try:
        with closing(docker_client(timeout_s)) as client:
            return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False


def _check_socket(timeout_s: int) -> None:
    """Connect to the engine's Unix socket, if it has one, and close the connection. Raises DockerException.

    docker.transport.unixconn opens its socket before it connects, and drops it open when that fails: a ResourceWarning
    at some later time.
    """
    with closing(docker.from_env(version=_OLD_ENOUGH)) as unconnected:
        adapter = unconnected.api.get_adapter(unconnected.api.base_url)
    path = getattr(adapter, "socket_path", None)
    if path is None:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(timeout_s)
        try:
            probe.connect(path)
        except OSError as error:
            raise docker.errors.DockerException(f"{path}: {error.strerror or error}") from error
