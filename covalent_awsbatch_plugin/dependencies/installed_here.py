# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The distributions installed in the running Python: their modules and their origin."""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import cloudpickle
from packaging.utils import canonicalize_name

_NOT_OF_ANY = {"", "..", "__pycache__", "bin", "share", "etc", "include"}


@dataclass(frozen=True)
class Distribution:
    """An installed distribution.

    `folder` is its source on this machine, if it was installed from a folder; `editable` if it is used from there.
    `url` is its source elsewhere, if it was installed from a URL.
    """

    name: str
    version: str
    modules: frozenset[str]
    folder: Path | None = None
    editable: bool = False
    url: str = ""

    @property
    def pin(self) -> str:
        """The requirement that installs the same distribution elsewhere."""
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Running:
    """The installed distributions by name and by module."""

    by_name: dict[str, Distribution]
    by_module: dict[str, Distribution]

    @property
    def pins(self) -> list[str]:
        """Versions of the distributions that came from an index, as constraints for other targets."""
        return sorted(each.pin for each in self.by_name.values() if each.folder is None)


def running() -> Running:
    """Return the installed distributions; they are read again after a folder of sys.path has changed."""
    return _read(tuple((entry, _changed(entry)) for entry in sys.path))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=1)
def _read(_: tuple[tuple[str, int], ...]) -> Running:
    by_name: dict[str, Distribution] = {}
    by_module: dict[str, Distribution] = {}
    for distribution in metadata.distributions():
        described = _distribution(distribution)
        if described is None or described.name in by_name:  # the first on the path is imported
            continue
        by_name[described.name] = described
        for module in described.modules:
            by_module.setdefault(module, described)
    return Running(by_name, by_module)


def _distribution(source: metadata.Distribution) -> Distribution | None:
    name = source.metadata["Name"]
    if not name:
        return None
    direct_url = json.loads(source.read_text("direct_url.json") or "{}")
    folder, editable = _origin(direct_url)
    modules = {*_modules(source), *(_modules_in(folder) if folder and editable else ())}
    return Distribution(canonicalize_name(name), source.version, frozenset(modules), folder, editable, _url(direct_url))


def _modules(source: metadata.Distribution) -> Iterator[str]:
    if listed := source.read_text("top_level.txt"):
        yield from listed.split()
    for path in source.files or ():
        top = path.parts[0]
        if len(path.parts) > 1 and top not in _NOT_OF_ANY and path.suffix in (".py", ".so", ".pyi"):
            yield top
        elif len(path.parts) == 1 and path.suffix in (".py", ".so"):
            yield top.partition(".")[0]


def _origin(direct_url: dict[str, Any]) -> tuple[Path | None, bool]:
    """Return the folder a distribution was installed from, and whether it is editable (PEP 610).

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    url = urlsplit(direct_url.get("url", ""))
    if url.scheme != "file" or "dir_info" not in direct_url:
        return None, False
    return Path(unquote(url.path)), bool(direct_url["dir_info"].get("editable"))


def _url(direct_url: dict[str, Any]) -> str:
    """Return the URL of an archive, or of a commit, that a distribution was installed from; empty for other sources."""
    url = str(direct_url.get("url", ""))
    if not url.startswith(("http://", "https://", "ssh://", "git://")) or "dir_info" in direct_url:
        return ""
    if commit := direct_url.get("vcs_info"):
        url = f"{commit['vcs']}+{url}@{commit['commit_id']}"
    folder = direct_url.get("subdirectory")
    return f"{url}#subdirectory={folder}" if folder else url


def _modules_in(project: Path) -> Iterator[str]:
    """Yield the modules of a project with one of the usual layouts."""
    source = project / "src" if (project / "src").is_dir() else project
    for path in source.iterdir() if source.is_dir() else ():
        if path.is_dir() and (path / "__init__.py").exists():
            yield path.name
        elif path.suffix == ".py" and path.stem not in ("setup", "conftest"):
            yield path.stem


# ---- cloudpickle, which travels with every task ----------------------------------------------------------------------
def our_cloudpickle() -> str:
    """Return the version of the cloudpickle that packs tasks in this process."""
    return str(cloudpickle.__version__)


def missing_from_ours(names: Iterable[str]) -> list[str]:
    """Return those of the functions that read pickles (`cloudpickle.cloudpickle._make_function`) that it lacks."""
    return sorted(name for name in names if not _there(name))


def _there(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False
