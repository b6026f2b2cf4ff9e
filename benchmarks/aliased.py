# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A Docker engine that finds in the offline registry what lithops, which writes ECR's host itself, says lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from covalent_awsbatch_plugin.local.engines.base import Container
from covalent_awsbatch_plugin.local.engines.docker import DockerEngine, RunningContainer
from covalent_awsbatch_plugin.local.provision import REPOSITORY

SLOTS = 2 * (os.cpu_count() or 1)
_AT_ECR = re.compile(r"\d{12}\.dkr\.ecr\.[\w-]+\.amazonaws\.com/[^:]*/([^:/]+)(?::.*)?")


class Docker(DockerEngine):
    """Takes `.../name:tag` for the tag `name` of the documented repository."""

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        super().__init__(registry, password, SLOTS)

    def _here(self, image: str) -> str:
        found = _AT_ECR.fullmatch(image)
        return f"{self._registry}/{REPOSITORY}:{found[1]}" if found else image

    async def pull(self, image: str) -> None:
        await super().pull(self._here(image))

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> RunningContainer:
        return await super().start(replace(container, image=self._here(container.image)), on_output)
