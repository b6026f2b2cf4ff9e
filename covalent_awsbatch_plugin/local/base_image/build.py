# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A base image from the running Python, for machines without a hub. It is built once, and cached by its content."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import shutil
import tarfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from ...core.user_dirs import cache_home
from ...images.base_facts import LABEL_LIBC
from .files import Entry, compiled, entries

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PACKED = ("covalent", "pip")  # for sublattices and leptons, and for DepsPip
FORMAT = 2  # of the cached images; a new number builds all of them again
MAX_IMAGES = 3  # cached images, those of earlier states of this machine included
LEVEL = 1  # of gzip: the layer is read once or twice, on this machine only
NOTHING = Entry("README", data=b"Nothing is in this image: engine `process` runs the Python of the machine.\n")


@dataclass(frozen=True)
class BaseImage:
    """A base image. `blobs` holds files by digest: the configuration and one layer."""

    manifest: bytes
    blobs: dict[str, Path]
    media_type: str = MANIFEST_TYPE

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


def make_base_image(
    *, whole: bool, report: Callable[[str], None], distributions: Iterable[str] = PACKED, cache: Path | None = None
) -> BaseImage:
    """Return a cached or new base image. `whole` includes Python and these distributions; otherwise it is a stub."""
    files = entries(distributions) if whole else [NOTHING]
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
    key = hashlib.sha256(f"{FORMAT} {platform.python_version()} {architecture()} {LEVEL}".encode())
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
        (partial / _digest(config).partition(":")[2]).write_bytes(config)
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


@dataclass(frozen=True)
class _Layer:
    digest: str
    diff_id: str
    size: int


class _Hashing(io.RawIOBase):
    """A writer that passes on its data, and hashes it."""

    def __init__(self, target: IO[bytes] | gzip.GzipFile) -> None:
        self._target, self._hash = target, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._hash.update(data)
        return self._target.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _write_layer(folder: Path, files: list[Entry]) -> _Layer:
    path = folder / "layer"
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of compiled source files
        packed = _Hashing(file)
        with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0, compresslevel=LEVEL) as stream:
            plain = _Hashing(stream)
            with tarfile.open(fileobj=plain, mode="w|") as tar:
                for entry in files:
                    _add(tar, entry)
    layer = _Layer(packed.digest, plain.digest, path.stat().st_size)
    path.rename(folder / layer.digest.partition(":")[2])
    return layer


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mode = entry.mode
    data = entry.source.read_bytes() if entry.source else entry.data
    if data is not None:
        info.size = len(data)
    elif entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    else:
        info.type = tarfile.DIRTYPE
    tar.addfile(info, io.BytesIO(data or b""))
    if code := compiled(entry):
        _add(tar, code)


def _config(diff_id: str) -> bytes:
    fields = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Env": environment(), "Cmd": ["python3"], "Labels": {LABEL_LIBC: " ".join(platform.libc_ver())}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "covalent-awsbatch local"}],
    }
    return json.dumps(fields, sort_keys=True).encode()


def _manifest(config: bytes, layer: _Layer) -> bytes:
    fields = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": layer.size, "digest": layer.digest}],
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


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
