# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The builders of images, and the choice of one."""

from __future__ import annotations

from pathlib import Path

from ...core.outage import PATIENCE_SECONDS
from ...errors import SettingError
from .builder import Base, Builder, Login, PushedImage, Repository
from .registry_builder import RegistryBuilder

__all__ = ["Base", "Builder", "Login", "PushedImage", "Repository", "builder"]


def builder(
    kind: str, cache_dir: str | Path | None = None, ca_bundle: str = "", outage_patience: float = PATIENCE_SECONDS
) -> Builder:
    """Return the builder with this name, not opened yet.

    `cache_dir` is the folder for an engine's layers, `ca_bundle` a file of certificates to trust; `outage_patience` is
    in seconds. Raises SettingError for another name.
    """
    registry = RegistryBuilder(ca_bundle=ca_bundle, outage_patience=outage_patience)
    match kind:
        case "registry":
            return registry
        case "docker":
            from .docker_builder import DockerBuilder  # the SDK takes 0.2 s to import

            return DockerBuilder(cache_dir=cache_dir, registry=registry)
    raise SettingError(f"The setting builder={kind!r} is neither 'registry' nor 'docker'.")
