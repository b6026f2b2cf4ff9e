# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of the runner's layer: our in-container code, cloudpickle, and obstore for the job's platform.

The same versions give the same files on every machine, so the layer has one digest and is pushed once.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .. import runner
from ..errors import ImageError
from ..runner.protocol.layout import PLUGIN_DIR, RUNNER_DIR, RUNNER_PACKAGE

PACKAGE = __name__.partition(".")[0]
OBSTORE_VERSION = "0.12.1"
_OBSTORE_FILES = ("obstore/__init__.py", "obstore/store.py", "obstore/_obstore.abi3.so")  # what its import opens


class Wheel(NamedTuple):
    """A published obstore wheel: pip's platform tag, and the digest of the file."""

    tag: str
    sha256: str


# The digests are those of the published files, from `pip download` of each.
WHEELS = {
    "linux/amd64": Wheel("manylinux2014_x86_64", "d31b255aec88d37636d374a651f5efc684c89716ab64dea6ac89d75801933af2"),
    "linux/arm64": Wheel("manylinux_2_24_aarch64", "d7ee9cde74dbe11a4630c90d7245543993f3cebc38a70aceaedcd3b3d6192807"),
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
    return _installed(wheel) or _unpacked(_downloaded(wheel, cache_dir))


def _installed(wheel: Wheel) -> dict[str, bytes]:
    """The installed files; none where they are of another version or platform, or were changed."""
    try:
        distribution = metadata.distribution("obstore")
    except metadata.PackageNotFoundError:
        return {}
    tags = (distribution.read_text("WHEEL") or "").splitlines()
    if distribution.version != OBSTORE_VERSION or f"Tag: cp311-abi3-{wheel.tag}" not in tags:
        return {}
    return _verified(distribution, list(_OBSTORE_FILES))


def _verified(distribution: metadata.Distribution, names: list[str]) -> dict[str, bytes]:
    """These files of a distribution, each checked against its RECORD; none if one is not what was published."""
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


def _downloaded(wheel: Wheel, cache_dir: Path) -> Path:
    """The wheel's file in the cache, fetched once by pip from the index the user has configured."""
    kept = cache_dir / "wheels" / f"obstore-{OBSTORE_VERSION}-{wheel.sha256}.whl"
    if kept.exists() and _digest(kept) == wheel.sha256:
        return kept
    folder = kept.parent / f"download-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _pip_download(wheel, folder)
        fetched = next((path for path in folder.iterdir() if _digest(path) == wheel.sha256), None)
        if fetched is None:
            raise ImageError(f"The package index gave another obstore {OBSTORE_VERSION} than the published one.")
        return fetched.replace(kept)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _pip_download(wheel: Wheel, folder: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--implementation=cp", "--abi=abi3", "--python-version=3.11"]
    wanted = [f"--platform={wheel.tag}", f"--dest={folder}", f"obstore=={OBSTORE_VERSION}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", *options, *wanted]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(
            f"The runner's S3 client (obstore {OBSTORE_VERSION} for {wheel.tag}) could not be downloaded.",
            says=f"pip says: {done.stderr.strip()}",
            advice="The machine that dispatches needs pip and a package index, once for each platform of its jobs.",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in _OBSTORE_FILES}
