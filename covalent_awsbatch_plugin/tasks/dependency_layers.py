# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The dependency layers of a task: packages and the user's own code, packed as layers before the submission."""

from __future__ import annotations

import asyncio
import binascii
import io
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.concurrency import Once
from ..core.hashing import content_id
from ..core.subprocesses import Work
from ..dependencies.installed_here import running
from ..dependencies.lock import COMMON_GLIBC, Lock, Target
from ..dependencies.package_layers import Environments
from ..dependencies.references import References, of_pickle
from ..dependencies.requirement_files import is_package
from ..dependencies.spec import EnvironmentSpec, environment_spec
from ..dependencies.store import prune
from ..dependencies.user_code import Dependencies, OwnCode, needed
from ..errors import StagingError
from ..images.base_facts import GLIBC, BaseImageFacts
from ..images.builders.builder import Base
from ..images.layer import Layer
from ..runner.protocol import archive
from ..settings import Settings
from .services import Services
from .staged_group import StagedGroup, StagedTask

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
        self, settings: Settings, group: StagedGroup, requirements: Sequence[str], base: Base, python: str
    ) -> DependencyLayers:
        """Return the layers for `environment` and further requirements, for the base's platform and Python.

        Raises SettingError, EnvironmentFailed, ImageError and StagingError.
        """
        spec = environment_spec(settings.environment).plus(requirements)
        if not spec:
            return NO_DEPENDENCIES
        target = Target(settings.platform, ".".join((base.python or python).split(".")[:2]), glibc(base.inside))
        refs = await self._services.in_thread(references, group) if spec.auto else References()
        key = (spec, target, frozenset(refs.modules), frozenset(refs.files), refs.folders)
        layers = await self._once(key, lambda: self._build(spec, target, refs))
        if time.monotonic() - self._pruned_at > PRUNED_EVERY_S or not self._pruned_at:
            self._pruned_at = time.monotonic()
            self._services.in_background(_prune, self._environments, settings.max_cache_gib)
        return DependencyLayers(layers, content_id([layer.digest for layer in layers]) if layers else "")

    async def _build(self, spec: EnvironmentSpec, target: Target, refs: References) -> tuple[Layer, ...]:
        """Build the layers in a thread; a cancel ends the processes of the build."""
        work = Work(log.info)
        try:
            return await self._services.in_thread(self._layers, spec, target, refs, work)
        except asyncio.CancelledError:
            work.end()
            raise

    def _layers(self, spec: EnvironmentSpec, target: Target, refs: References, work: Work) -> tuple[Layer, ...]:
        lock, own = resolve(self._environments, spec, target, refs, work=work)
        packages = self._environments.layers(lock, work)
        code = own.layer(self._environments.store, target, work)
        return (*packages, code) if code else packages


def _prune(environments: Environments, most_gib: float) -> None:
    try:
        pruned = prune(environments.store, most_gib * 1024**3)
    except StagingError as error:
        log.warning("Old layers could not be removed: %s", error)
        return
    if pruned.entries:
        log.info("Removed %d old layers and packages, %d MiB.", pruned.entries, pruned.freed >> 20)


def resolve(
    environments: Environments,
    spec: EnvironmentSpec,
    target: Target,
    refs: References,
    *,
    anew: bool = False,
    work: Work | None = None,
) -> tuple[Lock, OwnCode]:
    """Return the packages and the user's own code for a spec and tasks with these references.

    Raises SettingError and EnvironmentFailed, as `Environments.lock` does.
    """
    own, constraints = OwnCode(), list[str]()
    if spec.auto:
        here = running()
        need = needed(refs, here)
        _log_needs(need, certain=not (spec.requirements or spec.files))
        own, constraints = need.own, here.pins
        projects = (str(folder) for folder in sorted(need.projects))
        spec = replace(spec.plus(sorted(need.pins)), folders=(*spec.folders, *projects))
    lock = environments.lock(spec, target, constraints, anew=anew, work=work)
    for folder in map(Path, spec.folders):
        if not is_package(folder.expanduser()):
            own.add_folder(folder.expanduser())
    own.packages |= {Path(package.folder) for package in lock.folders if package.folder}
    _compare(lock)
    return lock, own


def glibc(inside: BaseImageFacts) -> tuple[int, int]:
    """Return the glibc version of a base; where it is unknown, the oldest common one."""
    libc = inside.libc
    return libc.version if libc and libc.kind == GLIBC else COMMON_GLIBC


def _log_needs(need: Dependencies, *, certain: bool) -> None:
    """Log the dependencies; modules without a source are a warning if `certain`: no given requirement can have them."""
    log.info(
        "auto: packages %s; own modules %s; local packages %s.",
        ", ".join(sorted(need.pins)) or "none",
        ", ".join(sorted({name.partition("/")[0] for name in need.own.files})) or "none",
        ", ".join(map(str, sorted(need.projects))) or "none",
    )
    if need.nowhere:
        log.log(
            logging.WARNING if certain else logging.INFO,
            "auto: %s can be found neither among the packages of this Python nor beside the function's source. "
            "If the image lacks it too, name its folder in `environment`.",
            ", ".join(sorted(need.nowhere)),
        )


def _compare(lock: Lock) -> None:
    """Warn of libraries of another major version: they may not read values that this process's version pickled."""
    here = running().by_name
    for package in lock.packages:
        ours = here.get(package.name)
        if ours and ours.version.partition(".")[0] != package.version.partition(".")[0]:
            log.warning(
                "%s is version %s in the task's environment and %s here: values of its types may not survive the way.",
                package.name, package.version, ours.version,
            )  # fmt: skip


# ---- references of the tasks ---------------------------------------------------------------------------------------
def references(group: StagedGroup) -> References:
    """Return the references of functions, hooks and known arguments. Nothing is unpickled."""
    refs = References(folders=group.folders)
    for task in group.tasks:
        refs.merge(_of_archive(task.function))
        for data in _hook_pickles(task):
            refs.merge(of_pickle(io.BytesIO(data)))
    for path in group.inputs.values():
        if path.stat().st_size <= LOOKED_AT_BYTES:
            refs.merge(_of_archive(path))
    return refs


def _of_archive(path: Path) -> References:
    with path.open("rb") as file:
        return of_pickle(archive.pickled(file))


def _hook_pickles(task: StagedTask) -> Iterator[bytes]:
    hooks = json.loads(task.hooks.read_bytes() or b"{}")
    for call in [*(hooks.get("call_before") or ()), *(hooks.get("call_after") or ())]:
        for name in ("apply_fn", "apply_args", "apply_kwargs"):
            yield binascii.a2b_base64(call["attributes"][name]["attributes"]["_object"])
