# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A locked environment as text (PEP 751, `pylock.toml`): which packages are for a platform, and which file of each.

Format: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from ..core.hashing import content_id
from ..errors import EnvironmentFailed

Json = dict[str, Any]

COMMON_GLIBC = (2, 28)  # of Debian 10, RHEL 8 and all that is newer: what a base image has at least
# For which uv resolves, by its --python-platform: what is made for one of them runs with every newer one.
_UVS = [(2, minor) for minor in (17, 28, *range(31, 41))]
_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@dataclass(frozen=True)
class Target:
    """Where an environment will run: a platform like `linux/amd64`, a Python's minor version like `3.11`, a glibc."""

    platform: str
    python: str
    glibc: tuple[int, int] = COMMON_GLIBC

    @property
    def machine(self) -> str:
        return _MACHINES[self.platform]

    @property
    def for_uv(self) -> str:
        """The platform in uv's words."""
        major, minor = max((version for version in _UVS if version <= self.glibc), default=_UVS[0])
        return f"{self.machine}-manylinux_{major}_{minor}"

    def tags(self) -> list[Tag]:
        """What a wheel may be tagged with to run there, best first."""
        version = tuple(map(int, self.python.split(".")[:2]))
        platforms = [*_platforms(self.machine, self.glibc)]
        interpreter = "cp" + "".join(map(str, version))
        return [
            *cpython_tags(version, platforms=platforms),
            *compatible_tags(version, interpreter, platforms=platforms),
        ]

    def markers(self) -> dict[str, str | Set[str]]:
        """The values of PEP 508's environment markers there."""
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
            "extras": frozenset(),
            "dependency_groups": frozenset(),
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
    """One package of a lock. `artifact` names by content what is installed: a wheel, an sdist, a commit.

    `folder` is the path of a local package, which has no content that stays; `wheel` says that nothing is built.
    """

    name: str
    version: str
    artifact: str
    wheel: bool
    folder: str | None
    entry: Json = field(compare=False, repr=False)

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}".strip()

    @property
    def download_bytes(self) -> int:
        """Of the wheel or the source, as far as the lock tells; else 0."""
        sources = (*self.entry.get("wheels", ()), self.entry.get("sdist", {}), self.entry.get("archive", {}))
        return int(next((source["size"] for source in sources if source.get("size")), 0))


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
        """Changes with any file that is installed, with platform and Python, and with nothing else."""
        return content_id(self.target.platform, self.target.python, [self.key(package) for package in self.packages])

    def key(self, package: Package) -> str:
        """Names what is made of a package: the same in every environment that has it."""
        python = ".".join(self.target.python.split(".")[:2])
        return content_id(package.name, package.version, package.artifact, self.target.platform, python)


def read_lock(text: str, target: Target, origin: str, folder: PurePath) -> Lock:
    """`origin` is named in errors, and `folder` is what paths in the lock are relative to.

    Raises EnvironmentFailed for what is no lock, or has nothing for the target.
    """
    try:
        body = tomllib.loads(text)
        entries = [_placed(entry, folder) for entry in body.get("packages", []) if _is_meant(entry, target)]
        packages = [_package(entry, target, origin) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, InvalidMarker) as error:
        raise EnvironmentFailed(f"{origin} can't be read as a lock (PEP 751): {error!r}.") from error
    packages.sort(key=lambda package: (package.name, package.version))
    fixed = tuple(package for package in packages if package.folder is None)
    return Lock(target, fixed, tuple(package for package in packages if package.folder is not None), folder)


def _is_meant(entry: Json, target: Target) -> bool:
    marker = entry.get("marker")
    return not marker or Marker(marker).evaluate(target.markers(), context="lock_file")


def _placed(value: Any, folder: PurePath) -> Any:
    """With every path absolute."""
    if isinstance(value, list):
        return [_placed(each, folder) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: str(folder / each) if name == "path" else _placed(each, folder) for name, each in value.items()}


def _package(entry: Json, target: Target, origin: str) -> Package:
    name, version = canonicalize_name(entry["name"]), str(entry.get("version", ""))
    if "directory" in entry:
        folder = entry["directory"]["path"]
        return Package(name, version, "", False, folder, entry)
    if wheel := _best(entry.get("wheels", ()), target.tags()):
        return Package(name, version, _content(wheel), True, None, entry | {"wheels": [wheel]})
    for kind in ("sdist", "archive", "vcs"):
        if source := entry.get(kind):
            return Package(name, version, f"{kind} {_content(source)}", False, None, entry | {"wheels": []})
    raise EnvironmentFailed(
        f"{name} {version} has no wheel for {target.platform} with Python {target.python} and no source either, "
        f"says {origin}.",
        advice=f"Wheels there are: {', '.join(map(_file_name, entry.get('wheels', ()))) or 'none'}. "
        "Choose another version, another platform, or a base image that has it (container_image_uri).",
    )


def _best(wheels: Sequence[Json], tags: Sequence[Tag]) -> Json | None:
    """The wheel that an installer would take on a machine with these tags."""
    rank = {tag: at for at, tag in enumerate(tags)}
    found = [(min(rank.get(tag, len(rank)) for tag in _tags(wheel)), at) for at, wheel in enumerate(wheels)]
    best = min(found, default=(len(rank), 0))
    return wheels[best[1]] if best[0] < len(rank) else None


def _tags(wheel: Json) -> Iterable[Tag]:
    try:
        return parse_wheel_filename(_file_name(wheel))[3] or [Tag("none", "none", "none")]
    except InvalidWheelFilename:
        return [Tag("none", "none", "none")]


def _file_name(wheel: Mapping[str, Any]) -> str:
    if name := wheel.get("name"):
        return str(name)
    return unquote(PurePosixPath(urlsplit(wheel["url"]).path if "url" in wheel else wheel["path"]).name)


def _content(source: Json) -> str:
    """By content: its hashes, or a commit."""
    if "commit-id" in source:
        return f"{source.get('url') or source.get('path')} {source['commit-id']} {source.get('subdirectory', '')}"
    hashes = source.get("hashes") or {}
    if not hashes:
        raise ValueError(f"{_file_name(source)} has no hash")
    return " ".join(f"{name}:{value}" for name, value in sorted(hashes.items()))


# ---- and written again, for some of the packages --------------------------------------------------------------------
def write_lock(packages: Iterable[Package], python: str) -> str:
    """A lock of these packages alone, for an installer."""
    parts = ['lock-version = "1.0"', 'created-by = "covalent-awsbatch-plugin"', f'requires-python = ">={python}"']
    for package in packages:
        parts.append("\n[[packages]]")
        told = {name: value for name, value in package.entry.items() if name not in ("marker", "dependencies", "tool")}
        parts += [f"{_toml(name)} = {_toml_value(value)}" for name, value in told.items()]
    return "\n".join(parts) + "\n"


def _toml(text: str) -> str:
    """A string of TOML: JSON's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat()
        case dict():
            return "{" + ", ".join(f"{_toml(key)} = {_toml_value(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml_value, value)) + "]"
        case _:
            return _toml(str(value))
