# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The facts of a base image that matter to a task: Python, C library, packages; from its config or its files."""

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
    """A C library: code that is compiled for one runs with the same or a newer version of its `kind`."""

    kind: str
    version: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class BaseImageFacts:
    """Facts of an image; None is unknown.

    `python` is a version, at least `3.11`, and "" if there is none. `packages` are the versions of the packages
    installed for that Python, by name.
    """

    python: str | None = None
    libc: Libc | None = None
    packages: Mapping[str, str] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BaseImageFacts:
        """Parse the result of `to_json`. Raises ValueError, KeyError and TypeError."""
        facts = json.loads(text)
        libc = facts["libc"] and Libc(facts["libc"]["kind"], tuple(facts["libc"]["version"]))
        return cls(facts["python"], libc, facts["packages"])

    def over(self, other: BaseImageFacts) -> BaseImageFacts:
        """Return these facts, with unknown ones taken from `other`."""
        facts = {name: value for name, value in vars(self).items() if value is not None}
        return BaseImageFacts(**{**vars(other), **facts})


# ---- facts from the config
# --------------------------------------------------------------------------------------------
LABEL_LIBC = "covalent.awsbatch.libc"  # like `glibc 2.36`
# The C library of a distribution's release, from its package lists.
_DEBIAN = {"buster": (2, 28), "bullseye": (2, 31), "bookworm": (2, 36), "trixie": (2, 41)}
_UBUNTU = {"20.04": (2, 31), "22.04": (2, 35), "24.04": (2, 39)}


def facts_of_config(image: Image) -> BaseImageFacts:
    """Return the facts in labels, environment and history."""
    config = json.loads(image.config)
    return BaseImageFacts(python=python_version(config), libc=_libc_of_config(config))


def _libc_of_config(config: dict[str, Any]) -> Libc | None:
    labels = (config.get("config") or {}).get("Labels") or {}
    if match := re.fullmatch(r"(\w+) (\d+)\.(\d+)", labels.get(LABEL_LIBC) or ""):
        return Libc(match[1], (int(match[2]), int(match[3])))
    steps = " ".join(str(step.get("created_by")) for step in config.get("history") or ())
    if "alpine-minirootfs" in steps:
        return Libc(MUSL)
    # The history of Docker's official Debian image names the release: https://github.com/debuerreotype/docker-debian-artifacts
    if (match := re.search(r"debian\.sh [^\n]*\bout/ '(\w+)'", steps)) and match[1] in _DEBIAN:
        return Libc(GLIBC, _DEBIAN[match[1]])
    if labels.get("org.opencontainers.image.ref.name") == "ubuntu":
        version = _UBUNTU.get(labels.get("org.opencontainers.image.version") or "")
        return Libc(GLIBC, version) if version else None
    return None


# ---- facts from the files
# -----------------------------------------------------------------------------------------------
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # an engine's default if the image sets none
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
    """The relevant files of an image, layer by layer: targets of links, and some files' content."""

    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Return whether a regular file's content is needed."""
        pure = PurePosixPath(path)
        return bool(_GLIBC_FILE.fullmatch(pure.name) and _LIBRARY_FOLDERS.fullmatch(str(pure.parent)))

    def matters(self, path: str) -> bool:
        """Return whether a regular file is relevant at all."""
        pure = PurePosixPath(path)
        named = _PYTHON.fullmatch(pure.name) or _MUSL_FILE.fullmatch(pure.name) or pure.name.startswith(_REMOVED)
        return bool(named or _METADATA.fullmatch(path)) or self.wants(path)

    def add(self, path: str, content: bytes = b"", link: str | None = None) -> None:
        """Add a file, or remove one if the path is a whiteout."""
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
        for paths in (self.links, self.files):
            for name in [name for name in paths if name.startswith(f"{path}/") or (itself and name == path)]:
                del paths[name]

    def inside(self, image: Image) -> BaseImageFacts:
        """Return the facts in all files."""
        python = self._python(_search_path(image))
        return BaseImageFacts(python, self._libc(), dict(self._packages(python)) if python else None)

    def _python(self, folders: list[str]) -> str | None:
        """Return the version of the `python3` that a shell would find, by its name; "" if there is none."""
        for folder in folders:
            path = f"{self._real(folder)}/python3"
            if path in self.links or path in self.files:
                match = re.fullmatch(r"python(3\.\d+)", PurePosixPath(self._real(path)).name)
                return match[1] if match else self._python_of_library()
        return ""

    def _python_of_library(self) -> str | None:
        """Return the version in the name of the only `python3.x` program; None if there are several."""
        versions = {match[1] for path in self.files if (match := re.search(r"/bin/python(3\.\d+)$", path))}
        return versions.pop() if len(versions) == 1 else None

    def _real(self, path: str) -> str:
        """Return the path behind links, including links of folders."""
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
        matches = [_GLIBC_SAYS.search(content) for path, content in self.files.items() if self.wants(path)]
        versions = [(int(match[1]), int(match[2])) for match in matches if match]
        return Libc(GLIBC, max(versions)) if versions else None

    def _packages(self, python: str) -> Iterator[tuple[str, str]]:
        for path in sorted(self.files):
            match = _METADATA.fullmatch(path)
            if match and PurePosixPath(match[1]).name in (f"python{python}", "python3"):
                yield re.sub(r"[-_.]+", "-", match[3]).lower(), match[4]


def _search_path(image: Image) -> list[str]:
    runtime = json.loads(image.config).get("config") or {}
    variables = dict(variable.partition("=")[::2] for variable in runtime.get("Env") or ())
    return [folder.strip("/") for folder in variables.get("PATH", _PATH).split(":") if folder.strip("/")]


def _plain(path: str) -> str:
    """Return the path without `.`, `..` and the root's slash."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
