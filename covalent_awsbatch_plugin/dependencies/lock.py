# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A locked environment as text (PEP 751, `pylock.toml`): the packages for a platform, and the file of each.

Format: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from packaging import pylock
from packaging.markers import Environment
from packaging.pylock import (
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.version import Version

from ..core.hashing import content_id
from ..errors import EnvironmentFailed

Source = PackageArchive | PackageDirectory | PackageSdist | PackageVcs | PackageWheel

COMMON_GLIBC = (2, 28)  # of Debian 10, RHEL 8 and all that is newer: what a base image has at least
# For which uv resolves, by its --python-platform: what is made for one of them runs with every newer one.
_UVS = [(2, minor) for minor in (17, 28, *range(31, 41))]
_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@dataclass(frozen=True)
class Target:
    """An environment's platform, such as `linux/amd64`, its Python's minor version, such as `3.11`, and its glibc."""

    platform: str
    python: str
    glibc: tuple[int, int] = COMMON_GLIBC

    @property
    def machine(self) -> str:
        return _MACHINES[self.platform]

    @property
    def for_uv(self) -> str:
        """Platform as uv names it."""
        major, minor = max((version for version in _UVS if version <= self.glibc), default=_UVS[0])
        return f"{self.machine}-manylinux_{major}_{minor}"

    def tags(self) -> list[Tag]:
        """Return the tags of wheels that run on the target, best first."""
        version = tuple(map(int, self.python.split(".")[:2]))
        platforms = [*_platforms(self.machine, self.glibc)]
        interpreter = "cp" + "".join(map(str, version))
        return [
            *cpython_tags(version, platforms=platforms),
            *compatible_tags(version, interpreter, platforms=platforms),
        ]

    def markers(self) -> Environment:
        """Return the values of PEP 508's environment markers on the target."""
        full = self.python if self.python.count(".") == 2 else f"{self.python}.0"
        return {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": ".".join(full.split(".")[:2]),
            "sys_platform": "linux",
        }


_OLD_NAMES = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}


def _platforms(machine: str, glibc: tuple[int, int]) -> Iterator[str]:
    oldest = 5 if machine == "x86_64" else 17
    for minor in range(glibc[1], oldest - 1, -1):
        yield f"manylinux_{glibc[0]}_{minor}_{machine}"
        if old := _OLD_NAMES.get((glibc[0], minor)):
            yield f"{old}_{machine}"
    yield f"linux_{machine}"


@dataclass(frozen=True)
class Package:
    """A package of a lock. `artifact` names the installed content: a wheel, an sdist, a commit.

    `folder` is the path of a local package, whose content may change; `wheel` says that nothing is built.
    """

    name: str
    version: str
    artifact: str
    wheel: bool
    folder: str | None
    download_bytes: int = field(default=0, compare=False)  # of the wheel or the source, 0 where the lock has no size
    entry: pylock.Package | None = field(default=None, compare=False, repr=False)  # with this artifact alone

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True)
class Lock:
    """The packages for one target, by name; `folders` are those that lie on this machine and may change any moment.

    `place` is the folder that its paths, and an installer's own settings, are relative to. `indexes` are those that its
    files name, with their passwords: for the installer's environment alone.
    """

    target: Target
    packages: tuple[Package, ...]
    folders: tuple[Package, ...]
    place: PurePath = field(default=PurePath("/"), compare=False)
    indexes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def digest(self) -> str:
        """Digest that changes with any installed file, with platform and Python, and with nothing else."""
        return content_id(self.target.platform, self.target.python, [self.key(package) for package in self.packages])

    def key(self, package: Package) -> str:
        """Return the key of a package's layer, which is the same in every environment with the package."""
        python = ".".join(self.target.python.split(".")[:2])
        return content_id(package.name, package.version, package.artifact, self.target.platform, python)


def read_lock(text: str, target: Target, origin: str, folder: PurePath) -> Lock:
    """Return the packages of a lock for a target.

    `origin` is named in errors, and paths in the lock are relative to `folder`. Raises EnvironmentFailed for a text
    that is not a lock, or has nothing for the target.
    """
    try:
        lock = Pylock.from_dict(_placed(tomllib.loads(text), folder))
    except (ValueError, TypeError, RecursionError, PylockValidationError) as error:
        raise EnvironmentFailed(f"{origin} can't be read as a lock (PEP 751): {error}.") from error
    try:
        selection = list(lock.select(environment=target.markers(), tags=target.tags()))
    except PylockSelectError as error:
        raise _nothing_for(target, lock, origin, error) from error
    packages = sorted((_package(*each) for each in selection), key=lambda package: (package.name, package.version))
    fixed = tuple(package for package in packages if package.folder is None)
    return Lock(target, fixed, tuple(package for package in packages if package.folder is not None), folder)


def _placed(value: Any, folder: PurePath) -> Any:
    """Return the value with every path made absolute."""
    if isinstance(value, list):
        return [_placed(each, folder) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: str(folder / each) if name == "path" else _placed(each, folder) for name, each in value.items()}


def _package(entry: pylock.Package, source: Source) -> Package:
    """Return a package of a lock with the one source that is installed."""
    version = str(entry.version or "")
    if isinstance(source, PackageDirectory):
        return Package(entry.name, version, "", False, source.path)
    if isinstance(source, PackageVcs):
        artifact = f"vcs {source.url or source.path} {source.commit_id} {source.subdirectory or ''}"
        return Package(entry.name, version, artifact, False, None, 0, _entry(entry, vcs=source))
    artifact = " ".join(f"{name}:{value}" for name, value in sorted(source.hashes.items()))
    if isinstance(source, PackageWheel):
        alone = _entry(entry, wheels=[source])
        return Package(entry.name, version, artifact, True, None, source.size or 0, alone)
    kind = "archive" if isinstance(source, PackageArchive) else "sdist"
    return Package(
        entry.name, version, f"{kind} {artifact}", False, None, source.size or 0, _entry(entry, **{kind: source})
    )


def _entry(entry: pylock.Package, **source: Any) -> pylock.Package:
    """Return what an installer needs of an entry: the package and this source, whatever the target."""
    return pylock.Package(name=entry.name, version=entry.version, index=entry.index, **source)


def _nothing_for(target: Target, lock: Pylock, origin: str, error: PylockSelectError) -> EnvironmentFailed:
    at = re.search(r"packages\[(\d+)\]", str(error))
    if at is None or not str(error).startswith("No wheel"):
        return EnvironmentFailed(
            f"{origin} can't be used for {target.platform} with Python {target.python}.",
            says=f"packaging says: {error}",
            advice="Lock it for this platform and Python as well.",
        )
    package = lock.packages[int(at[1])]
    return EnvironmentFailed(
        f"{package.name} {package.version} has no wheel for {target.platform} with Python {target.python} and no "
        f"source either, says {origin}.",
        advice=f"Wheels there are: {', '.join(wheel.filename for wheel in package.wheels or ()) or 'none'}. "
        "Choose another version, another platform, or a base image that has it (container_image_uri).",
    )


def write_lock(packages: Iterable[Package], python: str) -> str:
    """Return a lock of these packages alone, as text for an installer."""
    import tomlkit

    lock = Pylock(
        lock_version=Version("1.0"),
        created_by="covalent-awsbatch-plugin",
        requires_python=SpecifierSet(f">={python}"),
        packages=[package.entry for package in packages if package.entry],
    )
    return tomlkit.dumps(lock.to_dict())
