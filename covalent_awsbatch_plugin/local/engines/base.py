# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The interface of an engine that runs containers, and its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from signal import SIGTERM, Signals
from typing import Any, Protocol

from ...errors import SettingError
from ...images.reference import Reference, parse


@dataclass(frozen=True)
class Container:
    """A container to run. `command` follows the image's entry point; an empty one is replaced by the image's own.

    The container reads `secret` from a file of its own; the variable `secret_variable` holds the file's path.
    `vcpus` may be a fraction.
    """

    name: str
    image: str
    command: list[str]
    environment: dict[str, str]
    memory_mib: int
    vcpus: float
    secret: bytes | None = None
    secret_variable: str = ""
    shared_memory_mib: int | None = None


@dataclass(frozen=True)
class Login:
    """A login for a registry (host:port), with the user AWS."""

    registry: str
    password: str


@dataclass(frozen=True)
class Exit:
    """The end of a container. `code` is 128 + N where signal N killed it."""

    code: int
    out_of_memory: bool = False


class PullFailed(Exception):
    """The image could not be pulled; the text follows `CannotPullContainerError: ` in the job's reason."""


def reference_of(image: str) -> Reference:
    """Return an image's name in its parts. Raises PullFailed, as an engine does, where it is invalid."""
    try:
        return parse(image)
    except SettingError as error:
        raise PullFailed("Error response from daemon: invalid reference format") from error


def stop_signal(config: Mapping[str, Any]) -> int:
    """Return the signal that stops a container of an image with this config: `STOPSIGNAL`, else SIGTERM.

    https://docs.docker.com/reference/dockerfile/#stopsignal
    """
    name = str(config.get("StopSignal") or "").upper()
    if name.isdecimal():
        return int(name)
    return getattr(Signals, name if name.startswith("SIG") else f"SIG{name}", SIGTERM)


class StartFailed(Exception):
    """The container could not be created or started; the text follows `CannotStartContainerError: `."""


class Running(Protocol):
    """A container that was started. Its owner must close it."""

    async def wait(self) -> Exit:
        """Return when its first process has ended and `on_output` has all of its output."""

    async def signal(self, number: int) -> None:
        """Send a signal to its first process: SIGTERM is the image's stop signal. An ended container ignores it."""

    async def close(self) -> None:
        """Kill its processes and remove its files."""


class Engine(Protocol):
    """An engine runs containers on this machine. `note` is logged once at its start."""

    name: str
    note: str

    async def pull(self, image: str, login: Login | None = None) -> None:
        """Pull an image with a login, or the engine's own. Raises PullFailed."""

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> Running:
        """Start a container. `on_output` receives its merged standard output and error. Raises StartFailed."""

    async def keep(self, image: str) -> None:
        """Keep an image as the base of other images. An engine may ignore this hint. Raises PullFailed."""

    async def close(self) -> None: ...
