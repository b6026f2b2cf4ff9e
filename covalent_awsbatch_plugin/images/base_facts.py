# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What matters to a task in an image: its Python, its C library, its packages. Told by its config, or its files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .manifest import Image, python_version

GLIBC, MUSL = "glibc", "musl"


@dataclass(frozen=True)
class Libc:
    """A C library: what is compiled for one runs with the same or a newer one of its `kind`."""

    kind: str
    version: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class BaseImageFacts:
    """None is what nobody knows; `python` is a version, at least `3.11`, and "" says that there is none.

    `packages` are the versions of what is installed for that Python, by name.
    """

    python: str | None = None
    libc: Libc | None = None
    packages: Mapping[str, str] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BaseImageFacts:
        """Raises ValueError, KeyError and TypeError."""
        told = json.loads(text)
        libc = told["libc"] and Libc(told["libc"]["kind"], tuple(told["libc"]["version"]))
        return cls(told["python"], libc, told["packages"])

    def over(self, other: BaseImageFacts) -> BaseImageFacts:
        """What is known here, else there."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return BaseImageFacts(**{**vars(other), **known})


# ---- as the config tells ---------------------------------------------------------------------------------------------
LABEL_LIBC = "covalent.awsbatch.libc"  # like `glibc 2.36`
# The C library of a distribution's release, from its package lists.
_DEBIAN = {"buster": (2, 28), "bullseye": (2, 31), "bookworm": (2, 36), "trixie": (2, 41)}
_UBUNTU = {"20.04": (2, 31), "22.04": (2, 35), "24.04": (2, 39)}


def facts_of_config(image: Image) -> BaseImageFacts:
    """What labels, environment and history say."""
    config = json.loads(image.config)
    return BaseImageFacts(python=python_version(config), libc=_libc_told(config))


def _libc_told(config: dict[str, Any]) -> Libc | None:
    labels = (config.get("config") or {}).get("Labels") or {}
    if found := re.fullmatch(r"(\w+) (\d+)\.(\d+)", labels.get(LABEL_LIBC) or ""):
        return Libc(found[1], (int(found[2]), int(found[3])))
    steps = " ".join(str(step.get("created_by")) for step in config.get("history") or ())
    if "alpine-minirootfs" in steps:
        return Libc(MUSL)
    # Docker's official image of Debian says how it was made: https://github.com/debuerreotype/docker-debian-artifacts
    if (found := re.search(r"debian\.sh [^\n]*\bout/ '(\w+)'", steps)) and found[1] in _DEBIAN:
        return Libc(GLIBC, _DEBIAN[found[1]])
    if labels.get("org.opencontainers.image.ref.name") == "ubuntu":
        version = _UBUNTU.get(labels.get("org.opencontainers.image.version") or "")
        return Libc(GLIBC, version) if version else None
    return None


# ---- as its files tell -----------------------------------------------------------------------------------------------
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what an engine gives where the image has none
_PYTHON = re.compile(r"python3(\.\d+)?")
_GLIBC_FILE = re.compile(r"libc(-\d+\.\d+)?\.so(\.6)?")
_GLIBC_SAYS = re.compile(rb"GNU C Library [^\n]*version (\d+)\.(\d+)")
_MUSL_FILE = re.compile(r"ld-musl-\w+\.so\.1")
_LIBRARY_FOLDERS = re.compile(r"(usr/)?lib(32|64)?(/[a-z0-9_]+-linux-gnu\w*)?")
_METADATA = re.compile(r"(.+)/(site|dist)-packages/([^/]+)-([^-/]+)\.dist-info/METADATA")
_OPAQUE, _REMOVED = ".wh..wh..opq", ".wh."  # https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
MOST_LINKS = 20


@dataclass
class Files:
    """Those of an image's files that matter, layer by layer: links by where they lead, else some of the content."""

    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Whether a regular file's content is to be given."""
        pure = PurePosixPath(path)
        return bool(_GLIBC_FILE.fullmatch(pure.name) and _LIBRARY_FOLDERS.fullmatch(str(pure.parent)))

    def matters(self, path: str) -> bool:
        """Whether a regular file is to be noted at all."""
        pure = PurePosixPath(path)
        named = _PYTHON.fullmatch(pure.name) or _MUSL_FILE.fullmatch(pure.name) or pure.name.startswith(_REMOVED)
        return bool(named or _METADATA.fullmatch(path)) or self.wants(path)

    def add(self, path: str, content: bytes = b"", link: str | None = None) -> None:
        """Notes a file, or that a layer takes one away."""
        pure = PurePosixPath(path)
        if pure.name == _OPAQUE:
            self._remove(str(pure.parent), itself=False)
        elif pure.name.startswith(_REMOVED):
            self._remove(str(pure.parent / pure.name.removeprefix(_REMOVED)))
        elif link is not None:
            self.links[path] = link
        else:
            self.files[path] = content

    def _remove(self, path: str, *, itself: bool = True) -> None:
        for kept in (self.links, self.files):
            for known in [known for known in kept if known.startswith(f"{path}/") or (itself and known == path)]:
                del kept[known]

    def inside(self, image: Image) -> BaseImageFacts:
        """What all of them say."""
        python = self._python(_search_path(image))
        return BaseImageFacts(python, self._libc(), dict(self._packages(python)) if python else None)

    def _python(self, folders: list[str]) -> str | None:
        """The version of the `python3` that a shell would find, as its name tells; "" when there is none."""
        for folder in folders:
            path = f"{self._real(folder)}/python3"
            if path in self.links or path in self.files:
                found = re.fullmatch(r"python(3\.\d+)", PurePosixPath(self._real(path)).name)
                return found[1] if found else self._python_of_library()
        return ""

    def _python_of_library(self) -> str | None:
        """Where there is one alone, it is that."""
        found = {match[1] for path in self.files if (match := re.search(r"/bin/python(3\.\d+)$", path))}
        return found.pop() if len(found) == 1 else None

    def _real(self, path: str) -> str:
        """Where a path leads, through links of folders too."""
        for _ in range(MOST_LINKS):
            parts = PurePosixPath(path).parts
            at = next((n for n in range(1, len(parts) + 1) if "/".join(parts[:n]) in self.links), None)
            if at is None:
                break
            before, target = parts[: at - 1], self.links["/".join(parts[:at])]
            path = _plain("/".join((*(() if target.startswith("/") else before), target, *parts[at:])))
        return path

    def _libc(self) -> Libc | None:
        if any(_MUSL_FILE.fullmatch(PurePosixPath(path).name) for path in self.files):
            return Libc(MUSL)
        said = [_GLIBC_SAYS.search(content) for path, content in self.files.items() if self.wants(path)]
        versions = [(int(found[1]), int(found[2])) for found in said if found]
        return Libc(GLIBC, max(versions)) if versions else None

    def _packages(self, python: str) -> Iterator[tuple[str, str]]:
        for path in sorted(self.files):
            found = _METADATA.fullmatch(path)
            if found and PurePosixPath(found[1]).name in (f"python{python}", "python3"):
                yield re.sub(r"[-_.]+", "-", found[3]).lower(), found[4]


def _search_path(image: Image) -> list[str]:
    runtime = json.loads(image.config).get("config") or {}
    given = dict(variable.partition("=")[::2] for variable in runtime.get("Env") or ())
    return [folder.strip("/") for folder in given.get("PATH", _PATH).split(":") if folder.strip("/")]


def _plain(path: str) -> str:
    """Without `.`, `..` and the root's slash."""
    found: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del found[-1:]
        elif part not in ("", "."):
            found.append(part)
    return "/".join(found)
