# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What runs a container: the port, and the values that pass it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...errors import SettingError
from ...images.reference import Reference, parse


@dataclass(frozen=True)
class Container:
    """What to run. `command` follows the image's entry point; empty means the image's own.

    `secret_file` is a file that only this container sees: the path it looks for it at stands in the variable
    `secret_variable`. `vcpus` may be a fraction.
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
class Exit:
    """How a container ended: 128 + N where signal N killed it."""

    code: int
    out_of_memory: bool = False


class PullFailed(Exception):
    """The image could not be had; the text is what follows `CannotPullContainerError: `."""


def reference_of(image: str) -> Reference:
    """Return what an image's name names. Raises PullFailed, as an engine does where it is no name."""
    try:
        return parse(image)
    except SettingError as error:
        raise PullFailed("Error response from daemon: invalid reference format") from error


class StartFailed(Exception):
    """The container could not be made or started; the text is what follows `CannotStartContainerError: `."""


class Running(Protocol):
    """A container that was started. Whoever has it closes it, whatever happens."""

    async def wait(self) -> Exit:
        """Returns when its first process has ended and all of its output was handed over."""

    async def signal(self, number: int) -> None:
        """Nothing happens when it has ended already."""

    async def close(self) -> None:
        """Ends what still runs, and leaves nothing of it behind."""


class Engine(Protocol):
    """Runs containers on this machine; `note` is said once in the log when it starts."""

    name: str
    note: str

    async def pull(self, image: str) -> None:
        """Raises PullFailed."""

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> Running:
        """Raises StartFailed. `on_output` takes standard output and error as they come, merged."""

    async def keep(self, image: str) -> None:
        """Hint: other images stand on this one. Raises PullFailed."""

    async def close(self) -> None: ...
