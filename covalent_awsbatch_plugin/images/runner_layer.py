# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of the runner's layer: our in-container code, cloudpickle, and obstore for the job's platform.

The same versions give the same files on every machine, so the layer has one digest and is pushed once.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .. import runner
from ..core.files import atomic_write, staged
from ..core.subprocesses import Work
from ..core.uv_process import run_uv
from ..errors import ImageError
from ..runner.protocol.layout import PLUGIN_DIR, RUNNER_DIR, RUNNER_PACKAGE, SPAWNED

PACKAGE = __name__.partition(".")[0]
OBSTORE_VERSION = "0.12.1"
_OBSTORE_FILES = ("obstore/__init__.py", "obstore/store.py", "obstore/_obstore.abi3.so")  # what its import opens


class Wheel(NamedTuple):
    """A published obstore wheel: its platform in uv's words, the SHA-256 of its file, and of the files used of it."""

    platform: str
    sha256: str
    files_sha256: str  # as `files_digest` counts it


# From the published files; `files_digest` gives the last one of a folder that a wheel was unpacked into.
WHEELS = {
    "linux/amd64": Wheel(
        "x86_64-manylinux_2_28",
        "d31b255aec88d37636d374a651f5efc684c89716ab64dea6ac89d75801933af2",
        "c4121194588c8df6e6088cbdab55473949f50c5ed4583f18eb1d0b3fe14e73c4",
    ),
    "linux/arm64": Wheel(
        "aarch64-manylinux_2_28",
        "d7ee9cde74dbe11a4630c90d7245543993f3cebc38a70aceaedcd3b3d6192807",
        "199ea902e52f9230f2ab0954cc366e3504f086362c6dcad075f68af0c348f347",
    ),
}

_MAIN = f'''\
"""What `python3 -s /{RUNNER_DIR}` runs: the first process of a job's container."""

import sys

if sys.version_info < (3, 11):
    sys.exit("covalent-awsbatch: this image has Python %d.%d; tasks need 3.11 or later" % sys.version_info[:2])

if __name__ == "__main__":
    from {RUNNER_PACKAGE}.main import main

    sys.exit(main())
'''

_SPAWNED = f'''\
"""What multiprocessing runs as `__main__` in a process that it starts anew: the functions of the task's script."""

import os
import sys

_runner = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, _runner)
try:
    from {RUNNER_PACKAGE}.script import spawned
finally:
    sys.path.remove(_runner)

globals().update(spawned(os.environ))
'''

_LITHOPS = f'''\
"""Lithops' names for functions in a container: the part of `{PACKAGE}.lithops_compat` that runs there."""

import contextlib
import os
import sys

_runner = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, _runner)
try:
    from {RUNNER_PACKAGE}.lithops_names import *

    with contextlib.suppress(ImportError):  # a function that uses no storage needs no S3 client
        import obstore.exceptions
        import obstore.store
finally:
    sys.path.remove(_runner)
'''


def runner_files(platform: str, cache_dir: Path) -> dict[str, bytes]:
    """Every file of the layer by its path from the image's root.

    `platform` is "linux/amd64" or "linux/arm64"; obstore is downloaded into `cache_dir` where the installed one is for
    another. Raises ImageError.
    """
    files = {f"{RUNNER_PACKAGE}/{name}": path.read_bytes() for name, path in _own_files().items()}
    files |= _cloudpickle() | _obstore(platform, cache_dir)
    files["__main__.py"] = _MAIN.encode()
    placed = {f"{RUNNER_DIR}/{name}": data for name, data in files.items()}
    placed[f"{PLUGIN_DIR}/{PACKAGE}/__init__.py"] = files[f"{RUNNER_PACKAGE}/on_stop.py"]
    placed[f"{PLUGIN_DIR}/{PACKAGE}/lithops_compat.py"] = _LITHOPS.encode()
    placed[f"{PLUGIN_DIR}/{SPAWNED}.py"] = _SPAWNED.encode()
    return dict(sorted(placed.items()))


def _own_files() -> dict[str, Path]:
    """Return the files of the runner by their paths below its folder."""
    folder = Path(runner.__file__).parent
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}


def _cloudpickle() -> dict[str, bytes]:
    distribution = metadata.distribution("cloudpickle")
    names = [str(path) for path in distribution.files or () if path.parts[0] == "cloudpickle" and path.suffix == ".py"]
    return _verified(distribution, names) or {name: _read(distribution, name) for name in names}


def _obstore(platform: str, cache_dir: Path) -> dict[str, bytes]:
    wheel = WHEELS.get(platform)
    if wheel is None:
        raise ImageError(f"There is no runner for {platform}.", advice=f"There is one for {' and '.join(WHEELS)}.")
    cached = cache_dir / "wheels" / f"obstore-{OBSTORE_VERSION}-{wheel.sha256}"
    return _published(wheel, _site_packages()) or _published(wheel, cached) or _downloaded(wheel, cached)


def _site_packages() -> Path | None:
    """Return the folder that obstore is installed in here, None where it is not."""
    try:
        return Path(str(metadata.distribution("obstore").locate_file("")))
    except metadata.PackageNotFoundError:
        return None


def _published(wheel: Wheel, folder: Path | None) -> dict[str, bytes]:
    """Return the used files below a folder, or none of them where one is missing or is not the published one."""
    try:
        files = {name: (folder / name).read_bytes() for name in _OBSTORE_FILES} if folder else {}
    except OSError:
        return {}
    return files if files_digest(files) == wheel.files_sha256 else {}


def files_digest(files: Mapping[str, bytes]) -> str:
    """Return one SHA-256 for the names and contents of files, whatever their order."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _verified(distribution: metadata.Distribution, names: list[str]) -> dict[str, bytes]:
    """Return these files of a distribution, checked against its RECORD; none if one differs."""
    digests = {row[0]: row[1] for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()) if row}
    files = {}
    for name in names:
        data = _read(distribution, name)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        if digests.get(name) != f"sha256={digest}":
            return {}
        files[name] = data
    return files


def _read(distribution: metadata.Distribution, name: str) -> bytes:
    return Path(str(distribution.locate_file(PurePosixPath(name)))).read_bytes()


def _downloaded(wheel: Wheel, cached: Path) -> dict[str, bytes]:
    """Return the used files of the wheel, fetched by uv from the user's index, and leave them in the cache."""
    with TemporaryDirectory() as folder:
        _uv_install(wheel, Path(folder))
        files = _published(wheel, Path(folder))
    if not files:
        raise ImageError(f"The package index gave another obstore {OBSTORE_VERSION} than the published one.")
    with staged(cached, "written"):
        for name, data in files.items():
            (cached / name).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(cached / name, data)
    return files


def _uv_install(wheel: Wheel, folder: Path) -> None:
    """Install the wheel into a folder, through uv: an environment that uv made has no pip. uv checks its digest."""
    requirement = f"obstore=={OBSTORE_VERSION} --hash=sha256:{wheel.sha256}"
    words = ["pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    target = ["--python-platform", wheel.platform, "--python-version", "3.11", "--python", sys.executable]
    error = run_uv(Work(), [*words, *target, "-r", "-"], stdin_text=requirement).error
    if "Hash mismatch" in error:
        raise ImageError(
            f"The package index gave another obstore {OBSTORE_VERSION} than the published one.",
            says=f"uv says: {error}",
        )
    if error:
        raise ImageError(
            f"The runner's S3 client (obstore {OBSTORE_VERSION} for {wheel.platform}) could not be downloaded.",
            says=f"uv says: {error}",
            advice="The machine that dispatches needs a package index, once for each platform of its jobs: uv's own "
            "settings (UV_INDEX, uv.toml) or PIP_INDEX_URL name it.",
        )
