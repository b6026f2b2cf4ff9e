# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An engine whose machine pulls from the registry itself, also images that a client names by a proxy's port.

The container of such an image reaches S3 through the same proxy: a file of the proxy's says by which URL.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from covalent_awsbatch_plugin.local.engines.base import Container
from covalent_awsbatch_plugin.local.engines.process import ProcessEngine, RunningProcess
from covalent_awsbatch_plugin.runner.protocol import layout

ENGINE = f"{__name__}:AnyRegistry"
ENDPOINTS = ("AWS_ENDPOINT_URL", layout.ENV_ENDPOINT)


def url_file(registry_port: int) -> Path:
    """Return the file with the URL of AWS's services through the proxy that has this port for the registry."""
    return Path(tempfile.gettempdir(), f"covalent-awsbatch-fault-proxy-{registry_port}")


class AnyRegistry(ProcessEngine):
    """The engine of processes, for which every registry of this machine is the offline AWS's."""

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        super().__init__(folder, registry, password)
        self._registry = registry

    def _here(self, image: str) -> str:
        return f"{self._registry}/{image.partition('/')[2]}"

    async def pull(self, image: str) -> None:
        await super().pull(self._here(image))

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> RunningProcess:
        environment, file = dict(container.environment), url_file(int(container.image.partition("/")[0].split(":")[1]))
        if file.exists():
            environment |= dict.fromkeys(ENDPOINTS, file.read_text())
        here = replace(container, image=self._here(container.image), environment=environment)
        return await super().start(here, on_output)
