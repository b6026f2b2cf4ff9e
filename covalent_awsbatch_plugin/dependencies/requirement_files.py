# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that name packages: their relevant content, their hashes, and their indexes."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from ..core.url_passwords import without_passwords
from ..errors import EnvironmentFailed, SettingError
from .lock import Lock
from .spec import plain_requirements

_INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[= ]\s*(.+)")
_INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url)[= ]\s*(\S+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_LOCAL = re.compile(r"(?:-e |--editable[= ])?\s*((?:\.{0,2}/|file:).*)")
_DESCRIBES_A_PACKAGE = ("pyproject.toml", "setup.py", "setup.cfg")


def is_package(folder: Path) -> bool:
    """Return whether an installer can build a wheel of a folder."""
    if (folder / "setup.py").exists():
        return True
    described = folder / "pyproject.toml"
    return described.exists() and "build-system" in tomllib.loads(described.read_text(encoding="utf-8"))


def existing(path: Path) -> Path:
    """Return the path with `~` expanded. Raises SettingError if it does not exist."""
    place = path.expanduser()
    if not place.is_absolute() or not place.exists():
        why = "does not exist" if place.is_absolute() else "is relative to an unknown folder"
        raise SettingError(f"The setting environment names {path}, which {why}.", advice="Use an absolute path.")
    return place


def is_locked(file: Path) -> bool:
    """Return whether a file names exact packages: a lock, or a project that has one."""
    if file.name == "pyproject.toml":
        return uv_lock(file.parent) is not None
    return re.fullmatch(r"pylock(\.[^.]+)?\.toml", file.name) is not None


def uv_lock(project: Path) -> Path | None:
    """Return the project's own uv.lock, or else that of its workspace; None if there is none."""
    if (project / "uv.lock").exists():
        return project / "uv.lock"
    for folder in project.parents:
        if (folder / "uv.lock").exists() and (folder / "pyproject.toml").exists():
            described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
            return folder / "uv.lock" if "workspace" in described.get("tool", {}).get("uv", {}) else None
    return None


def indexes_of(files: Iterable[Path]) -> Iterator[str]:
    """Yield the indexes in lists of requirements, with variables like ${PASSWORD} replaced as by an installer."""
    for file in files:
        for line in plain_requirements(file.read_text(encoding="utf-8")) if file.suffix != ".toml" else ():
            if index := _INDEX.fullmatch(line):
                yield _VARIABLE.sub(lambda name: os.environ.get(name[1], name[0]), index[1])
            elif (included := _INCLUDED.fullmatch(line)) and (file.parent / included[1].strip()).is_file():
                yield from indexes_of([file.parent / included[1].strip()])


def check_hashes(lock: Lock, files: Iterable[Path]) -> None:
    """Check the locked files against the hashes in lists of requirements.

    uv's resolver writes the index's hashes instead. Raises EnvironmentFailed for a difference.
    """
    bound = {name: hashes for file in files if file.suffix != ".toml" for name, hashes in _hashes(file)}
    for package in lock.packages:
        allowed = bound.get(package.name)
        if allowed and not any(each in package.artifact for each in allowed):
            raise EnvironmentFailed(
                f"{package.label}: the index's file for {lock.target.platform} has none of the required hashes.",
                advice=f"It is {without_passwords(package.artifact)}. "
                "Find out why it changed, or add its hash if that was left out.",
            )


def _hashes(file: Path) -> Iterator[tuple[str, set[str]]]:
    for line in plain_requirements(file.read_text(encoding="utf-8")):
        if hashes := set(re.findall(r"--hash[= ](\w+:\w+)", line)):
            yield canonicalize_name(re.split(r"[\s\[<>=!~;@]", line, maxsplit=1)[0]), hashes


def content_of(file: Path) -> Any:
    """Return the relevant content of a file: without comments, with the files it includes."""
    if file.suffix == ".toml" or file.name == "uv.lock":
        body = tomllib.loads(file.read_text(encoding="utf-8"))
        return {name: body[name] for name in sorted(body) if name not in ("tool", "build-system")} | {
            "uv": body.get("tool", {}).get("uv")
        }
    return [content_of_line(line, file.parent) for line in plain_requirements(file.read_text(encoding="utf-8"))]


def content_of_line(line: str, folder: Path) -> Any:
    """Return a line of a list of requirements in `folder`, with the content of a file it refers to."""
    if included := _INCLUDED.fullmatch(line):
        file = folder / included[1].strip()
        return [line, content_of(file) if file.is_file() else None]
    if local := _LOCAL.fullmatch(line):
        place = folder / local[1].removeprefix("file://")
        described = [place / name for name in _DESCRIBES_A_PACKAGE]
        return [line, str(place), [file.read_text(encoding="utf-8") for file in described if file.is_file()]]
    return line
