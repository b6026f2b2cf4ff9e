# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What is installed in the Python that runs here: which distribution a module belongs to, and where that came from."""

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
from urllib.parse import unquote, urlsplit

import cloudpickle
from packaging.utils import canonicalize_name

_NOT_OF_ANY = {"", "..", "__pycache__", "bin", "share", "etc", "include"}


@dataclass(frozen=True)
class Distribution:
    """One that is installed. `folder` is where it came from on this machine; `editable`: it still lies there."""

    name: str
    version: str
    modules: frozenset[str]
    folder: Path | None = None
    editable: bool = False

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Running:
    """Every distribution by name, and by the modules that it brings."""

    by_name: dict[str, Distribution]
    by_module: dict[str, Distribution]

    @property
    def pins(self) -> list[str]:
        """The versions of what an index would have: what is resolved for somewhere else shall be the same."""
        return sorted(found.pin for found in self.by_name.values() if found.folder is None)


def running() -> Running:
    """Read anew when a folder of sys.path has changed, as by an installer."""
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
    for found in metadata.distributions():
        told = _distribution(found)
        if told is None or told.name in by_name:  # the first on the path is the one that is imported
            continue
        by_name[told.name] = told
        for module in told.modules:
            by_module.setdefault(module, told)
    return Running(by_name, by_module)


def _distribution(found: metadata.Distribution) -> Distribution | None:
    name = found.metadata["Name"]
    if not name:
        return None
    folder, editable = _origin(found)
    modules = {*_modules(found), *(_modules_in(folder) if folder and editable else ())}
    return Distribution(canonicalize_name(name), found.version, frozenset(modules), folder, editable)


def _modules(found: metadata.Distribution) -> Iterator[str]:
    if listed := found.read_text("top_level.txt"):
        yield from listed.split()
    for path in found.files or ():
        top = path.parts[0]
        if len(path.parts) > 1 and top not in _NOT_OF_ANY and path.suffix in (".py", ".so", ".pyi"):
            yield top
        elif len(path.parts) == 1 and path.suffix in (".py", ".so"):
            yield top.partition(".")[0]


def _origin(found: metadata.Distribution) -> tuple[Path | None, bool]:
    """PEP 610: https://packaging.python.org/en/latest/specifications/direct-url/"""
    told = json.loads(found.read_text("direct_url.json") or "{}")
    url = urlsplit(told.get("url", ""))
    if url.scheme != "file" or "dir_info" not in told:
        return None, False
    return Path(unquote(url.path)), bool(told["dir_info"].get("editable"))


def _modules_in(project: Path) -> Iterator[str]:
    """The modules of a project that lies in one of the usual ways."""
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
