# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which builder a name means."""

from __future__ import annotations

from pathlib import Path

from ...errors import SettingError
from .builder import Base, Builder, Login, PushedImage, Repository
from .registry_builder import RegistryBuilder

__all__ = ["Base", "Builder", "Login", "PushedImage", "Repository", "builder"]


def builder(kind: str, cache_dir: str | Path | None = None) -> Builder:
    """The builder of that name, not opened yet; `cache_dir` is where an engine's layers may lie for a while."""
    match kind:
        case "registry":
            return RegistryBuilder()
        case "docker":
            from .docker_builder import DockerBuilder  # the SDK takes 0.2 s to import: only whoever uses it pays

            return DockerBuilder(cache_dir=cache_dir)
    raise SettingError(f"`builder` is {kind!r}; it is either 'registry' or 'docker'.")
