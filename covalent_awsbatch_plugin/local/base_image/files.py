# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of a base image from this machine: the running Python, packages, a shell, and their libraries.

Paths are the image's, relative to its root. Python is placed in /usr/local; it finds its library relative to its own
place.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

MINOR = f"python3.{sys.version_info.minor}"
LIBRARY = f"usr/local/lib/{MINOR}"
PACKAGES = f"{LIBRARY}/site-packages"
# Parts of the standard library that no task needs: tests, GUI, build tools, and installed packages.
LEFT_OUT = {"test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "__pycache__"}
LEFT_OUT |= {"site-packages", "dist-packages"}
LEFT_OUT_AS = ("config-", "_tkinter.")
PROGRAMS = (
    "sh",
    "bash",
    "which",  # Covalent's shell leptons find a shell with it
    "env",
    "cat",
    "ls",
    "cp",
    "mv",
    "rm",
    "mkdir",
    "chmod",
    "echo",
    "sleep",
    "true",
    "false",
    "uname",
    "id",
)
# Libraries that packages such as obstore in the runner's layer need, even where Python does not.
C_LIBRARY = ("libm.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libutil.so.1", "libresolv.so.2")
ALWAYS = (*C_LIBRARY, "libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1", "libstdc++.so.6")
MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr on most systems
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
}
PIP = b'#!/bin/sh\nexec /usr/local/bin/python3 -m pip "$@"\n'
FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "run": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755}


@dataclass(frozen=True)
class Entry:
    """A name in the image: a copy of `source`, the bytes `data`, a link, or (with none of them) a folder."""

    name: str
    source: Path | None = None
    data: bytes | None = None
    link: str | None = None
    mode: int = 0o644


def entries(distributions: Iterable[str]) -> list[Entry]:
    """Return all entries of the image, sorted by name, one for each name."""
    candidates = [*_system(), *_python(), *_packages(distributions)]
    binaries = [e.source for e in candidates if e.source and (e.mode & 0o100 or ".so" in e.source.name)]
    candidates += _libraries(binaries)
    named = {name: replace(entry, name=name) for entry in candidates if (name := _merged(entry.name))}
    return [entry for _, entry in sorted(named.items())]


def packages(distributions: Iterable[str]) -> list[Entry]:
    """Return the entries of these distributions alone, sorted by name."""
    return sorted(_packages(distributions), key=lambda entry: entry.name)


def _system() -> Iterator[Entry]:
    for name in MERGED:
        if Path("/", name).is_symlink():
            yield Entry(name, link=f"usr/{name}")
    yield from (Entry(name, mode=mode) for name, mode in FOLDERS.items())
    yield from (Entry(name, data=data) for name, data in ACCOUNTS.items())
    for program in PROGRAMS:
        if path := shutil.which(program, path="/usr/bin:/bin"):
            yield Entry(f"bin/{program}", Path(path).resolve(), mode=0o755)
    if certificates := next((Path(each) for each in CERTIFICATES if Path(each).exists()), None):
        yield Entry("etc/ssl/certs/ca-certificates.crt", certificates.resolve())
        yield Entry("usr/lib/ssl/cert.pem", link="/etc/ssl/certs/ca-certificates.crt")


def _python() -> Iterator[Entry]:
    yield Entry(f"usr/local/bin/{MINOR}", Path(os.path.realpath(sys.executable)), mode=0o755)
    yield Entry("usr/local/bin/python3", link=MINOR)
    yield Entry("usr/local/bin/python", link=MINOR)
    for name in ("pip", "pip3"):
        yield Entry(f"usr/local/bin/{name}", data=PIP, mode=0o755)
    library = Path(sysconfig.get_path("stdlib"))
    yield from _tree(library, LIBRARY)
    if not any("site-packages" in each for each in site.getsitepackages([sys.base_prefix])):  # as Debian's
        text = f"import site\nsite.addsitedir({'/' + PACKAGES!r})\n"
        yield Entry(f"{LIBRARY}/sitecustomize.py", data=text.encode())


def _tree(folder: Path, name: str) -> Iterator[Entry]:
    for entry in os.scandir(folder):
        if entry.name in LEFT_OUT or entry.name.startswith(LEFT_OUT_AS):
            continue
        if entry.is_dir():
            yield from _tree(Path(entry.path), f"{name}/{entry.name}")
        elif entry.is_file():
            yield Entry(f"{name}/{entry.name}", Path(entry.path).resolve())


def _packages(names: Iterable[str]) -> Iterator[Entry]:
    for each in closure(names):
        for file in each.files or ():
            inside = not file.is_absolute() and ".." not in file.parts and "__pycache__" not in file.parts
            if inside and (source := Path(str(file.locate()))).is_file():
                yield Entry(f"{PACKAGES}/{file.as_posix()}", source)


def closure(names: Iterable[str]) -> list[Distribution]:
    """Return the installed distributions of names, and their requirements. `name[extra]` adds the extra's."""
    distributions: dict[str, Distribution] = {}
    todo, visited = list(names), set[tuple[str, str]]()
    while todo:
        name, extras = _parse(todo.pop())
        each = distributions.get(name) or _distribution(name)
        if each is None:  # for another platform or Python
            continue
        distributions[name] = each
        for extra in {"", *extras} - {extra for visited_name, extra in visited if visited_name == name}:
            visited.add((name, extra))
            todo += [need for need in each.requires or () if _extra_of(need) == extra]
    return [each for _, each in sorted(distributions.items())]


def _parse(need: str) -> tuple[str, list[str]]:
    """Return the normalized name and the extras of a requirement like `dask[distributed]>=2022.6`."""
    match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^]]*)\])?", need)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[1]).lower(), [
        each.strip() for each in (match[2] or "").split(",") if each.strip()
    ]


def _extra_of(need: str) -> str:
    match = re.search(r"extra\s*==\s*['\"]([^'\"]+)", need)
    return match[1] if match else ""


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _libraries(binaries: list[Path]) -> list[Entry]:
    """Return the shared libraries of binaries, in the loader's default folder, and the loader itself."""
    output = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    paths = {Path(each) for each in re.findall(r"=> (/\S+) \(", output)}
    system = next(path for path in paths if path.name.startswith("libc.")).parent
    own = tuple({str(Path(each).parent) for each in map(str, binaries) if "/site-packages/" in each})
    shared = [path for path in paths if not str(path).startswith(own)]
    shared += [path for name in ALWAYS if (path := system / name).exists()]
    loaders = {Path(each) for each in re.findall(r"^\s+(/\S+ld\S*) \(", output, re.MULTILINE)}
    libraries = [Entry(f"{str(system).lstrip('/')}/{path.name}", path.resolve(), mode=0o755) for path in shared]
    return libraries + [Entry(str(path).lstrip("/"), path.resolve(), mode=0o755) for path in loaders]


def _merged(name: str) -> str:
    """Return a name with the links into /usr resolved."""
    first, _, rest = name.partition("/")
    return f"usr/{name}" if rest and first in MERGED and Path("/", first).is_symlink() else name


def compiled(entry: Entry) -> Entry | None:
    """Return the unchecked byte code of a Python file, None for other files.

    Times are 0 in the image, so every container would compile byte code again that is checked by time.
    """
    folder, _, file = entry.name.rpartition("/")
    if entry.source is None or not file.endswith(".py"):
        return None
    code = _cached_code(entry.source) or _compile(entry)
    if code is None:
        return None
    unchecked = (1).to_bytes(4, "little")  # https://peps.python.org/pep-0552/
    header = importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(entry.source.read_bytes())
    return Entry(f"{folder}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc", data=header + code)


def _cached_code(source: Path) -> bytes | None:
    """Return this machine's byte code of a source file, None where its time or size differs."""
    try:
        data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    except OSError:
        return None
    stat = source.stat()
    expected = importlib.util.MAGIC_NUMBER + bytes(4)
    expected += b"".join((each & 0xFFFFFFFF).to_bytes(4, "little") for each in (int(stat.st_mtime), stat.st_size))
    return data[16:] if data[:16] == expected else None


def _compile(entry: Entry) -> bytes | None:
    assert entry.source is not None
    try:
        code = compile(entry.source.read_bytes(), f"/{entry.name}", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # test files with errors, or for a later Python
        return None
    return marshal.dumps(code, 2)  # without references, which depend on other objects in memory
