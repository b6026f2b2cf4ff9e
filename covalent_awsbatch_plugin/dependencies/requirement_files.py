# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that say which packages are wanted: what in them matters, which hashes bind, which indexes they name."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from ..errors import EnvironmentFailed, SettingError
from .lock import Lock
from .spec import plain_requirements

_INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[= ]\s*(.+)")
_INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url)[= ]\s*(\S+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_LOCAL = re.compile(r"(?:-e |--editable[= ])?\s*((?:\.{0,2}/|file:).*)")
_DESCRIBES_A_PACKAGE = ("pyproject.toml", "setup.py", "setup.cfg")


def is_package(folder: Path) -> bool:
    """Whether a folder is one that an installer can make a wheel of."""
    if (folder / "setup.py").exists():
        return True
    described = folder / "pyproject.toml"
    return described.exists() and "build-system" in tomllib.loads(described.read_text(encoding="utf-8"))


def existing(path: Path) -> Path:
    """The path, `~` expanded. Raises SettingError when nothing is there."""
    found = path.expanduser()
    if not found.is_absolute() or not found.exists():
        why = "does not exist" if found.is_absolute() else "is relative, and to what is not known on this machine"
        raise SettingError(f"The setting environment names {path}, which {why}.", advice="Give an absolute path.")
    return found


def is_locked(file: Path) -> bool:
    """Whether a file says exactly which packages are meant: a lock, or a project that has one."""
    if file.name == "pyproject.toml":
        return uv_lock(file.parent) is not None
    return re.fullmatch(r"pylock(\.[^.]+)?\.toml", file.name) is not None


def uv_lock(project: Path) -> Path | None:
    """The project's own lock, else that of the workspace it is a member of."""
    if (project / "uv.lock").exists():
        return project / "uv.lock"
    for folder in project.parents:
        if (folder / "uv.lock").exists() and (folder / "pyproject.toml").exists():
            described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
            return folder / "uv.lock" if "workspace" in described.get("tool", {}).get("uv", {}) else None
    return None


def indexes_of(files: Iterable[Path]) -> Iterator[str]:
    """Those that lists of requirements name, with variables like ${PASSWORD} put in as an installer does."""
    for file in files:
        for line in plain_requirements(file.read_text(encoding="utf-8")) if file.suffix != ".toml" else ():
            if found := _INDEX.fullmatch(line):
                yield _VARIABLE.sub(lambda name: os.environ.get(name[1], name[0]), found[1])
            elif (included := _INCLUDED.fullmatch(line)) and (file.parent / included[1].strip()).is_file():
                yield from indexes_of([file.parent / included[1].strip()])


def check_hashes(lock: Lock, files: Iterable[Path]) -> None:
    """Hashes in lists of requirements bind: uv's resolver writes the index's own. Raises EnvironmentFailed."""
    bound = {name: hashes for file in files if file.suffix != ".toml" for name, hashes in _hashes(file)}
    for package in lock.packages:
        allowed = bound.get(package.name)
        if allowed and not any(each in package.artifact for each in allowed):
            raise EnvironmentFailed(
                f"{package.label}: the index gives another file for {lock.target.platform} than the hashes allow.",
                advice=f"It is {package.artifact}. Ask who changed it, or add its hash if it was left out.",
            )


def _hashes(file: Path) -> Iterator[tuple[str, set[str]]]:
    for line in plain_requirements(file.read_text(encoding="utf-8")):
        if hashes := set(re.findall(r"--hash[= ](\w+:\w+)", line)):
            yield canonicalize_name(re.split(r"[\s\[<>=!~;@]", line, maxsplit=1)[0]), hashes


def content_of(file: Path) -> Any:
    """The content of a file that matters: no comments, and what it includes."""
    if file.suffix == ".toml" or file.name == "uv.lock":
        body = tomllib.loads(file.read_text(encoding="utf-8"))
        return {name: body[name] for name in sorted(body) if name not in ("tool", "build-system")} | {
            "uv": body.get("tool", {}).get("uv")
        }
    return [content_of_line(line, file.parent) for line in plain_requirements(file.read_text(encoding="utf-8"))]


def content_of_line(line: str, folder: Path) -> Any:
    """A line of a list of requirements that lies in that folder, with what it points to."""
    if included := _INCLUDED.fullmatch(line):
        file = folder / included[1].strip()
        return [line, content_of(file) if file.is_file() else None]
    if local := _LOCAL.fullmatch(line):
        place = folder / local[1].removeprefix("file://")
        described = [place / name for name in _DESCRIBES_A_PACKAGE]
        return [line, str(place), [file.read_text(encoding="utf-8") for file in described if file.is_file()]]
    return line
