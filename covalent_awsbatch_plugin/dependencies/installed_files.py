# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From a folder into which packages were installed to the files of layers: each package's own, as on every machine."""

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

# What an installer notes about this machine: of no use elsewhere, and different every time.
_OF_THIS_MACHINE = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"}
_TESTS = r"[/\\]tests?[/\\]"  # half of numpy and pandas, and never imported by a task
_LOCAL_PYTHON = re.compile(rb"\A#!(/bin/sh\n'''exec' .*?\n' '''\n|[^\n]*python[^\n]*\n)", re.DOTALL)
_ANY_PYTHON = b"#!/usr/bin/env python3\n"


class DiskFiles(Mapping[str, Entry]):
    """Files of this machine by their path in the image, read one at a time and only when asked for."""

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
        """Bytes of all."""
        return sum(place.stat().st_size for place in self._places.values())


def read_entry(path: Path) -> Entry:
    """A file as it goes into a layer: a script starts with the image's Python, a big file is not read into memory."""
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
    """The list of a package's files without those that stay here. Metadata tools read it; digests are no use there."""
    rows = (row[0] for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row)
    kept = sorted(row for row in rows if not _stays(row) and not row.endswith(".pyc"))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row, "", ""] for row in [*kept, f"{path.parent.name}/RECORD"])
    return text.getvalue().encode()


def _stays(row: str) -> bool:
    path = PurePosixPath(row)
    return path.parent.name.endswith(".dist-info") and path.name in _OF_THIS_MACHINE


@dataclass(frozen=True)
class Installed:
    """One package of a folder, its files by their path in that folder."""

    name: str
    files: DiskFiles


def installed(folder: Path, prefix: str) -> dict[str, Installed]:
    """The packages of a folder by name; their files will lie under `prefix` in the image."""
    found: dict[str, Installed] = {}
    for info in sorted(folder.glob("*.dist-info")):
        name = canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])
        found[name] = Installed(name, DiskFiles(_places(folder, info, prefix)))
    return found


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
    """Byte-code for this Python's minor version beside every module but tests; sources that don't compile have none.

    It is believed unchecked: every file of a layer has time 0. In a process of its own: it takes seconds.
    """
    words = ["-m", "compileall", "-q", "-q", "-j", str(os.cpu_count() or 1), "--invalidation-mode", "unchecked-hash"]
    words += ["-x", _TESTS, "-s", str(folder), "-p", f"/{prefix}", str(folder)]
    done = work.run([sys.executable, "-I", "-W", "ignore", *words])
    if done.code < 0:
        raise EnvironmentFailed("Byte-code could not be made.", says=f"Python ended by signal {-done.code}.")
