# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The dependency layers of a task: packages and the user's own code, packed as layers before the submission."""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.concurrency import Once
from ..core.hashing import content_id
from ..core.subprocesses import Work
from ..dependencies.lock import Target
from ..dependencies.package_layers import Environments
from ..dependencies.references import COVALENT, References, of_pickle
from ..dependencies.spec import environment_spec
from ..errors import StagingError
from ..images.builders.builder import Base
from ..images.layer import Layer
from ..runner.protocol import archive
from ..settings import Settings
from .array_package import AnyGroup, AnyPackage, ArrayPackage
from .resolved_dependencies import ResolvedDependencies, glibc, resolve
from .services import Services
from .staged_group import pickles_of_hooks

log = logging.getLogger(__name__)

PRUNED_EVERY_S = 6 * 3600.0  # and after the first environment of a process
LOOKED_AT_BYTES = 256 * 1024 * 1024  # a bigger argument usually refers to no module that the function does not name


@dataclass(frozen=True)
class DependencyLayers:
    """Layers, lower first, and their name: tasks with the same name may share an image."""

    layers: tuple[Layer, ...] = ()
    name: str = ""


NO_DEPENDENCIES = DependencyLayers()


class DependencyLayerBuilder:
    """A builder of dependency layers for one connection; tasks that need the same layers share one build."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._environments = Environments()
        self._once: Once[tuple[Layer, ...]] = Once()
        self._pruned_at = 0.0

    async def pack(
        self,
        settings: Settings,
        group: AnyGroup,
        requirements: Sequence[str],
        base: Base,
        package: AnyPackage,
    ) -> DependencyLayers:
        """Return the layers for `environment` and further requirements, for the base's platform and Python.

        Covalent is one of them where the pickles refer to it and the base lacks it. Raises SettingError,
        EnvironmentFailed, ImageError and StagingError.
        """
        spec = environment_spec(settings.environment).plus(requirements)
        covalent = package.needs_covalent and COVALENT not in (base.inside.packages or {})
        if not (spec or covalent):
            return NO_DEPENDENCIES
        python = base.python or package.python
        target = Target(settings.platform, ".".join(python.split(".")[:2]), glibc(base.inside))
        refs = await self._services.in_thread(references, group) if spec.auto else References()
        packages = frozenset(base.inside.packages or ())
        key = (spec, target, covalent, packages, frozenset(refs.modules), frozenset(refs.files), refs.folders)
        resolving = functools.partial(
            resolve, self._environments, spec, target, refs, covalent=covalent, base_packages=packages
        )
        layers = await self._once(key, lambda: self._build(resolving))
        if time.monotonic() - self._pruned_at > PRUNED_EVERY_S or not self._pruned_at:
            self._pruned_at = time.monotonic()
            self._services.in_background(_prune, self._environments, settings.max_cache_gib)
        return DependencyLayers(layers, content_id([layer.digest for layer in layers]) if layers else "")

    async def _build(self, resolving: Callable[..., ResolvedDependencies]) -> tuple[Layer, ...]:
        """Build the layers in a thread; a cancel ends the processes of the build."""
        work = Work(log.info)
        try:
            return await self._services.in_build_thread(self._layers, resolving, work)
        except asyncio.CancelledError:
            work.end()
            raise

    def _layers(self, resolving: Callable[..., ResolvedDependencies], work: Work) -> tuple[Layer, ...]:
        return resolving(work=work).layers(self._environments, work)


def _prune(environments: Environments, most_gib: float) -> None:
    try:
        pruned = environments.prune(most_gib * 1024**3)
    except StagingError as error:
        log.warning("Old layers could not be removed: %s", error)
        return
    if pruned.entries:
        log.info("Removed %d old layers and packages, %d MiB.", pruned.entries, pruned.freed >> 20)


# ---- references of the tasks ---------------------------------------------------------------------------------------
def references(group: AnyGroup) -> References:
    """Return the references of functions, hooks and known arguments. Nothing is unpickled."""
    if isinstance(group, ArrayPackage):
        return group.references()
    refs = References(folders=group.folders)
    for task in group.tasks:
        refs.merge(_of_archive(task.function))
        for data in pickles_of_hooks(task.hooks.read_bytes()):
            refs.merge(of_pickle(io.BytesIO(data)))
    for path in group.inputs.values():
        if path.stat().st_size <= LOOKED_AT_BYTES:
            refs.merge(_of_archive(path))
    return refs


def _of_archive(path: Path) -> References:
    with path.open("rb") as file:
        return of_pickle(archive.pickled(file))
