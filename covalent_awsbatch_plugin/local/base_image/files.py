# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a base image made of this machine holds: the running Python, packages, a shell, and the libraries they need.

Paths are the image's, relative to its root. Python moves to /usr/local, wherever it lives here; it finds its
library from where it stands.
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
# Of the standard library, what no task needs: tests, what needs a screen or a compiler, and other people's packages.
LEFT_OUT = {"test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "__pycache__"}
LEFT_OUT |= {"site-packages", "dist-packages"}
LEFT_OUT_AS = ("config-", "_tkinter.")
PROGRAMS = (
    "sh",
    "bash",
    "which",  # with which Covalent's shell leptons look for a shell
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
# Libraries that Python itself may not need, and packages (obstore in the runner's layer) take for granted.
C_LIBRARY = ("libm.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libutil.so.1", "libresolv.so.2")
ALWAYS = (*C_LIBRARY, "libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1", "libstdc++.so.6")
MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr on most systems
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
}
FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "run": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755}


@dataclass(frozen=True)
class Entry:
    """One name in the image: a copy of `source`, these bytes, a link, or (none of them) a folder."""

    name: str
    source: Path | None = None
    data: bytes | None = None
    link: str | None = None
    mode: int = 0o644


def entries(distributions: Iterable[str]) -> list[Entry]:
    """Everything, sorted by name; one entry for each."""
    found = [*_system(), *_python(), *_packages(distributions)]
    binaries = [e.source for e in found if e.source and (e.mode & 0o100 or ".so" in e.source.name)]
    found += _libraries(binaries)
    named = {name: replace(entry, name=name) for entry in found if (name := _merged(entry.name))}
    return [entry for _, entry in sorted(named.items())]


def _system() -> Iterator[Entry]:
    for name in MERGED:
        if Path("/", name).is_symlink():
            yield Entry(name, link=f"usr/{name}")
    yield from (Entry(name, mode=mode) for name, mode in FOLDERS.items())
    yield from (Entry(name, data=data) for name, data in ACCOUNTS.items())
    for program in PROGRAMS:
        if found := shutil.which(program, path="/usr/bin:/bin"):
            yield Entry(f"bin/{program}", Path(found).resolve(), mode=0o755)
    if certificates := next((Path(each) for each in CERTIFICATES if Path(each).exists()), None):
        yield Entry("etc/ssl/certs/ca-certificates.crt", certificates.resolve())
        yield Entry("usr/lib/ssl/cert.pem", link="/etc/ssl/certs/ca-certificates.crt")


def _python() -> Iterator[Entry]:
    yield Entry(f"usr/local/bin/{MINOR}", Path(os.path.realpath(sys.executable)), mode=0o755)
    yield Entry("usr/local/bin/python3", link=MINOR)
    yield Entry("usr/local/bin/python", link=MINOR)
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
    """The distributions of these names that are installed here, and all they need; `name[extra]` brings the extra's."""
    found: dict[str, Distribution] = {}
    todo, seen = list(names), set[tuple[str, str]]()
    while todo:
        name, extras = _parse(todo.pop())
        each = found.get(name) or _distribution(name)
        if each is None:  # for another platform or Python
            continue
        found[name] = each
        for extra in {"", *extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            todo += [need for need in each.requires or () if _extra_of(need) == extra]
    return [each for _, each in sorted(found.items())]


def _parse(need: str) -> tuple[str, list[str]]:
    """Normalized name, and extras, of a requirement such as `dask[distributed]>=2022.6; python_version < "4"`."""
    told = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^]]*)\])?", need)
    assert told is not None
    return re.sub(r"[-_.]+", "-", told[1]).lower(), [
        each.strip() for each in (told[2] or "").split(",") if each.strip()
    ]


def _extra_of(need: str) -> str:
    told = re.search(r"extra\s*==\s*['\"]([^'\"]+)", need)
    return told[1] if told else ""


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _libraries(binaries: list[Path]) -> list[Entry]:
    """The shared libraries that these need, in the folder where the loader looks unasked; and the loader."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    paths = {Path(each) for each in re.findall(r"=> (/\S+) \(", told)}
    system = next(path for path in paths if path.name.startswith("libc.")).parent
    own = tuple({str(Path(each).parent) for each in map(str, binaries) if "/site-packages/" in each})
    shared = [path for path in paths if not str(path).startswith(own)]
    shared += [path for name in ALWAYS if (path := system / name).exists()]
    loaders = {Path(each) for each in re.findall(r"^\s+(/\S+ld\S*) \(", told, re.MULTILINE)}
    found = [Entry(f"{str(system).lstrip('/')}/{path.name}", path.resolve(), mode=0o755) for path in shared]
    return found + [Entry(str(path).lstrip("/"), path.resolve(), mode=0o755) for path in loaders]


def _merged(name: str) -> str:
    """The name through the links into /usr."""
    first, _, rest = name.partition("/")
    return f"usr/{name}" if rest and first in MERGED and Path("/", first).is_symlink() else name


def compiled(entry: Entry) -> Entry | None:
    """The byte code of a Python file, which the interpreter takes unchecked; None for any other file.

    Times are 0 in the image, so byte code that is checked by time would be made anew in every container.
    """
    folder, _, file = entry.name.rpartition("/")
    if entry.source is None or not file.endswith(".py"):
        return None
    code = _ready_made(entry.source) or _made(entry)
    if code is None:
        return None
    unchecked = (1).to_bytes(4, "little")  # https://peps.python.org/pep-0552/
    header = importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(entry.source.read_bytes())
    return Entry(f"{folder}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc", data=header + code)


def _ready_made(source: Path) -> bytes | None:
    """What this machine has compiled of the same source already: its time and size say so."""
    try:
        data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    except OSError:
        return None
    told = source.stat()
    expected = importlib.util.MAGIC_NUMBER + bytes(4)
    expected += b"".join((each & 0xFFFFFFFF).to_bytes(4, "little") for each in (int(told.st_mtime), told.st_size))
    return data[16:] if data[:16] == expected else None


def _made(entry: Entry) -> bytes | None:
    assert entry.source is not None
    try:
        code = compile(entry.source.read_bytes(), f"/{entry.name}", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # files that are there to be wrong, or for a later Python
        return None
    return marshal.dumps(code, 2)  # without references, which depend on what else is in memory
