# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A base image from the running Python, for machines without a hub. It is built once, and cached by its content."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ...core.user_dirs import cache_home
from ...images.base_facts import LABEL_LIBC
from ...images.layer import TAR_END, Chunk, Written, digest_of, tar_member, write_deflated
from ...images.manifest import DOCKER, Descriptor
from .files import Entry, compiled, entries, packages

# What python:slim has beside the standard library, and no more: a task must find here what it finds there.
# https://github.com/docker-library/python/blob/master/Dockerfile-linux.template
PACKED = ("pip", "setuptools", "wheel") if sys.version_info < (3, 12) else ("pip",)
FORMAT = 4  # of the cached images; a new number builds all of them again
MAX_IMAGES = 3  # cached images, those of earlier states of this machine included


@dataclass(frozen=True)
class BaseImage:
    """A base image. `blobs` holds files by digest: the configuration and one layer."""

    manifest: bytes
    blobs: dict[str, Path]
    media_type: str = DOCKER.manifest

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def make_base_image(
    *, whole: bool, report: Callable[[str], None], distributions: Iterable[str] = PACKED, cache: Path | None = None
) -> BaseImage:
    """Return a cached or new base image with these distributions; `whole` includes Python and a shell.

    Engine `process` has these of the machine.
    """
    files = entries(distributions) if whole else packages(distributions)
    folder = (cache or cache_home() / "base-images") / _key(files)
    if not (folder / "manifest.json").exists():
        if whole:
            report(f"making a base image of Python {platform.python_version()}: some seconds, once")
        _make(folder, files)
        _forget_old(folder.parent)
    manifest = (folder / "manifest.json").read_bytes()
    fields = json.loads(manifest)
    digests = [fields["config"]["digest"], fields["layers"][0]["digest"]]
    return BaseImage(manifest, {digest: folder / digest.partition(":")[2] for digest in digests})


def _key(files: list[Entry]) -> str:
    """Return a hash of the Python, and of each file's name, size and time."""
    key = hashlib.sha256(f"{FORMAT} {platform.python_version()} {architecture()}".encode())
    for entry in files:
        stat = entry.source.stat() if entry.source else None
        facts = (entry.name, entry.data, entry.link, entry.mode, stat and (stat.st_size, stat.st_mtime_ns))
        key.update(repr(facts).encode())
    return key.hexdigest()[:32]


def _make(folder: Path, files: list[Entry]) -> None:
    """Build an image beside `folder`, then rename it, so that `folder` is complete even with two writers."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix="making-") as name:
        partial = Path(name, "image")
        partial.mkdir()
        layer = _write_layer(partial, files)
        config = _config(layer.diff_id)
        (partial / digest_of(config).partition(":")[2]).write_bytes(config)
        (partial / "manifest.json").write_bytes(_manifest(config, layer))
        try:
            partial.rename(folder)
        except OSError:  # another process was faster, or left a folder without a manifest
            if not (folder / "manifest.json").exists():
                shutil.rmtree(folder)
                partial.rename(folder)


def _forget_old(cache: Path) -> None:
    folders = sorted(cache.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[MAX_IMAGES:]:
        shutil.rmtree(folder, ignore_errors=True)


def _write_layer(folder: Path, files: list[Entry]) -> Written:
    path = folder / "layer"
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of compiled source files
        layer = write_deflated(_tar(files), file)
    path.rename(folder / layer.digest.partition(":")[2])
    return layer


def _tar(files: list[Entry]) -> Iterator[Chunk]:
    """Yield a tar of these entries in their order, the byte-code of each source after it."""
    for entry in files:
        yield from _member(entry)
        if code := compiled(entry):
            yield from _member(code)
    yield TAR_END


def _member(entry: Entry) -> Iterator[Chunk]:
    info = tarfile.TarInfo(entry.name)
    info.mode = entry.mode
    data = entry.source.read_bytes() if entry.source else entry.data
    if data is None and entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    elif data is None:
        info.type = tarfile.DIRTYPE
    return tar_member(info, data or b"")


def _config(diff_id: str) -> bytes:
    fields = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Env": environment(), "Cmd": ["python3"], "Labels": {LABEL_LIBC: " ".join(platform.libc_ver())}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "covalent-awsbatch local"}],
    }
    return json.dumps(fields, sort_keys=True).encode()


def _manifest(config: bytes, layer: Written) -> bytes:
    fields = {
        "schemaVersion": 2,
        "mediaType": DOCKER.manifest,
        "config": Descriptor(DOCKER.config, digest_of(config), len(config)).to_json(),
        "layers": [Descriptor(DOCKER.layer, layer.digest, layer.size).to_json()],
    }
    return json.dumps(fields, sort_keys=True).encode()


def environment() -> list[str]:
    """Return the variables of Docker's official Python image, and a writable HOME."""
    return [
        "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        f"PYTHON_VERSION={platform.python_version()}",
        "HOME=/root",
    ]


def architecture() -> str:
    """Return OCI's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
