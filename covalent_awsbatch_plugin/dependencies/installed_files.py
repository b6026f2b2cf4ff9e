# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Turn a folder of installed packages into the files of layers, the same on every machine."""

from __future__ import annotations

import csv
import io
import mmap
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from ..core.subprocesses import Work
from ..errors import EnvironmentFailed
from ..images.layer import Entry, File

# An installer's notes about this machine: they are useless elsewhere and differ each time.
_OF_THIS_MACHINE = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"}
_TESTS = r"[/\\]tests?[/\\]"  # half of numpy and pandas, and not imported by tasks
_LOCAL_PYTHON = re.compile(rb"\A#!(/bin/sh\n'''exec' .*?\n' '''\n|[^\n]*python[^\n]*\n)", re.DOTALL)
_ANY_PYTHON = b"#!/usr/bin/env python3\n"


class DiskFiles(Mapping[str, Entry]):
    """Files of this machine by their path in the image, each read only when it is accessed."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = dict(places)

    def __getitem__(self, path: str) -> Entry:
        return read_entry(self._places[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def places(self) -> Mapping[str, Path]:
        return self._places

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(place.stat().st_size for place in self._places.values())


def read_entry(path: Path) -> Entry:
    """Return a file as a layer has it.

    The first line of a script names the image's Python, and a big file is mapped, not read into memory.
    """
    if path.name == "RECORD" and path.parent.name.endswith(".dist-info"):
        return _record(path)
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        executable = bool(stat.st_mode & 0o100)
        if stat.st_size > 1 << 20:
            return File(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), executable)
        data = file.read()
    return File(_LOCAL_PYTHON.sub(_ANY_PYTHON, data, count=1) if executable else data, executable)


def _record(path: Path) -> bytes:
    """Return a package's RECORD without local files and digests, for tools that read metadata."""
    rows = (row[0] for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row)
    names = sorted(row for row in rows if not _stays(row) and not row.endswith(".pyc"))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row, "", ""] for row in [*names, f"{path.parent.name}/RECORD"])
    return text.getvalue().encode()


def _stays(row: str) -> bool:
    path = PurePosixPath(row)
    return path.parent.name.endswith(".dist-info") and path.name in _OF_THIS_MACHINE


@dataclass(frozen=True)
class Installed:
    """A package of a folder; the keys of `files` are paths in the image."""

    name: str
    files: DiskFiles


def installed(folder: Path, prefix: str) -> dict[str, Installed]:
    """Return the packages of a folder by name; their files get paths below `prefix` in the image."""
    packages: dict[str, Installed] = {}
    for info in sorted(folder.glob("*.dist-info")):
        name = canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])
        packages[name] = Installed(name, DiskFiles(_places(folder, info, prefix)))
    return packages


def _places(folder: Path, info: Path, prefix: str) -> dict[str, Path]:
    rows = [row[0] for row in csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines()) if row]
    places: dict[str, Path] = {}
    for row in rows:
        path = Path(os.path.normpath(folder / row))
        if not path.is_relative_to(folder) or not path.is_file() or (_stays(row) and path.name != "RECORD"):
            continue
        places[f"{prefix}/{path.relative_to(folder).as_posix()}"] = path
        if path.suffix == ".py":
            code = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
            if code.is_file():
                places[f"{prefix}/{code.relative_to(folder).as_posix()}"] = code
    return places


def compile_bytecode(folder: Path, prefix: str, work: Work) -> None:
    """Compile byte-code for this Python's minor version, except for tests; sources with errors get none.

    Python uses it unchecked, because every file of a layer has time 0. It runs in a process of its own and takes
    seconds.
    """
    words = ["-m", "compileall", "-q", "-q", "-j", str(os.cpu_count() or 1), "--invalidation-mode", "unchecked-hash"]
    words += ["-x", _TESTS, "-s", str(folder), "-p", f"/{prefix}", str(folder)]
    done = work.run([sys.executable, "-I", "-W", "ignore", *words])
    if done.code < 0:
        raise EnvironmentFailed(
            "The byte-code of the packages could not be compiled.", says=f"Python ended by signal {-done.code}."
        )
