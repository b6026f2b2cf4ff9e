# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The dependencies of tasks before they are layers: a lock, the user's own code, and whether Covalent is needed."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.subprocesses import Work
from ..dependencies.covalent_layer import covalent_layer, fits, pin
from ..dependencies.installed_here import running
from ..dependencies.lock import COMMON_GLIBC, Lock, Target
from ..dependencies.package_layers import Environments
from ..dependencies.references import COVALENT, References
from ..dependencies.requirement_files import is_package
from ..dependencies.spec import EnvironmentSpec
from ..dependencies.user_code import Dependencies, OwnCode, needed
from ..images.base_facts import GLIBC, BaseImageFacts
from ..images.layer import Layer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResolvedDependencies:
    """The packages of `lock`, the user's `own` code, and Covalent as a layer of its own where `covalent`."""

    lock: Lock
    own: OwnCode
    covalent: bool = False

    def layers(self, environments: Environments, work: Work) -> tuple[Layer, ...]:
        """Return all layers, lower first, built where they are missing.

        Raises EnvironmentFailed, SettingError, StagingError.
        """
        target, store = self.lock.target, environments.store
        sdk = covalent_layer(store, target, work) if self.covalent else None
        code = self.own.layer(store, target, work)
        return (*environments.layers(self.lock, work), *([sdk] if sdk else []), *([code] if code else []))


def resolve(
    environments: Environments,
    spec: EnvironmentSpec,
    target: Target,
    refs: References,
    *,
    covalent: bool = False,
    base_packages: Collection[str] = (),
    anew: bool = False,
    work: Work | None = None,
) -> ResolvedDependencies:
    """Return the dependencies for a spec and tasks with these references; `covalent` says that the tasks need it.

    Raises SettingError and EnvironmentFailed, as `Environments.lock` does.
    """
    own, constraints = OwnCode(), list[str]()
    if spec.auto:
        here = running()
        need = needed(refs, here)
        _log_needs(need, certain=not (spec.requirements or spec.files))
        own, constraints, covalent = need.own, here.pins, covalent or need.covalent
        projects = (str(folder) for folder in sorted(need.projects))
        spec = replace(spec.plus(sorted(need.pins)), folders=(*spec.folders, *projects))
    covalent = covalent and COVALENT not in base_packages
    if covalent and not fits(target):  # the index has it for every platform
        spec, constraints, covalent = spec.plus([pin()]), running().pins, False
    lock = environments.lock(spec, target, constraints, anew=anew, work=work)
    for folder in map(Path, spec.folders):
        if not is_package(folder.expanduser()):
            own.add_folder(folder.expanduser())
    own.packages |= {Path(package.folder) for package in lock.folders if package.folder}
    _compare(lock)
    covalent = covalent and COVALENT not in {package.name for package in lock.packages}
    if covalent:
        _say_once(f"A task refers to Covalent, which its base image lacks: {pin()} travels as a layer of its own.")
    return ResolvedDependencies(lock, own, covalent)


def glibc(inside: BaseImageFacts) -> tuple[int, int]:
    """Return the glibc version of a base; where it is unknown, the oldest common one."""
    libc = inside.libc
    return libc.version if libc and libc.kind == GLIBC else COMMON_GLIBC


@functools.cache
def _say_once(text: str) -> None:
    log.warning(text)


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
