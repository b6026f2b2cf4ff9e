# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A base image where no hub can be reached: made of the Python that runs here, once, and kept by what it is made of."""

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
FORMAT = 2  # of what is kept; another number makes all anew
KEPT = 3  # images made of what this machine was before
LEVEL = 1  # of gzip: it is read once or twice, on this machine
NOTHING = Entry("README", data=b"Nothing is in this image: engine `process` runs the Python of the machine.\n")


@dataclass(frozen=True)
class BaseImage:
    """`blobs` are files by digest: the configuration and one layer."""

    manifest: bytes
    blobs: dict[str, Path]
    media_type: str = MANIFEST_TYPE

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


def make_base_image(
    *, whole: bool, report: Callable[[str], None], distributions: Iterable[str] = PACKED, cache: Path | None = None
) -> BaseImage:
    """`whole`: one that runs, with these distributions; else one that only says what it would be."""
    wanted = entries(distributions) if whole else [NOTHING]
    folder = (cache or cache_home() / "base-images") / _key(wanted)
    if not (folder / "manifest.json").exists():
        if whole:
            report(f"making a base image of Python {platform.python_version()}: some seconds, once")
        _make(folder, wanted)
        _forget_old(folder.parent)
    manifest = (folder / "manifest.json").read_bytes()
    told = json.loads(manifest)
    digests = [told["config"]["digest"], told["layers"][0]["digest"]]
    return BaseImage(manifest, {digest: folder / digest.partition(":")[2] for digest in digests})


def _key(wanted: list[Entry]) -> str:
    """Changes with any file, by size and time, and with what Python this is."""
    told = hashlib.sha256(f"{FORMAT} {platform.python_version()} {architecture()} {LEVEL}".encode())
    for entry in wanted:
        stat = entry.source.stat() if entry.source else None
        seen = (entry.name, entry.data, entry.link, entry.mode, stat and (stat.st_size, stat.st_mtime_ns))
        told.update(repr(seen).encode())
    return told.hexdigest()[:32]


def _make(folder: Path, wanted: list[Entry]) -> None:
    """Beside its place first: a folder of that name is whole, also when two make it at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix="making-") as name:
        partial = Path(name, "image")
        partial.mkdir()
        layer = _write_layer(partial, wanted)
        config = _config(layer.diff_id)
        (partial / _digest(config).partition(":")[2]).write_bytes(config)
        (partial / "manifest.json").write_bytes(_manifest(config, layer))
        try:
            partial.rename(folder)
        except OSError:  # somebody else was faster, or left a folder without a manifest
            if not (folder / "manifest.json").exists():
                shutil.rmtree(folder)
                partial.rename(folder)


def _forget_old(cache: Path) -> None:
    folders = sorted(cache.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Layer:
    digest: str
    diff_id: str
    size: int


class _Hashing(io.RawIOBase):
    """Passes on what is written, and knows its digest."""

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


def _write_layer(folder: Path, wanted: list[Entry]) -> _Layer:
    path = folder / "layer"
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of source files that are compiled
        packed = _Hashing(file)
        with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0, compresslevel=LEVEL) as stream:
            plain = _Hashing(stream)
            with tarfile.open(fileobj=plain, mode="w|") as tar:
                for entry in wanted:
                    _add(tar, entry)
    layer = _Layer(packed.digest, plain.digest, path.stat().st_size)
    path.rename(folder / layer.digest.partition(":")[2])
    return layer


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    told = tarfile.TarInfo(entry.name)
    told.mode = entry.mode
    data = entry.source.read_bytes() if entry.source else entry.data
    if data is not None:
        told.size = len(data)
    elif entry.link is not None:
        told.type, told.linkname = tarfile.SYMTYPE, entry.link
    else:
        told.type = tarfile.DIRTYPE
    tar.addfile(told, io.BytesIO(data or b""))
    if code := compiled(entry):
        _add(tar, code)


def _config(diff_id: str) -> bytes:
    told = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Env": environment(), "Cmd": ["python3"], "Labels": {LABEL_LIBC: " ".join(platform.libc_ver())}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "covalent-awsbatch local"}],
    }
    return json.dumps(told, sort_keys=True).encode()


def _manifest(config: bytes, layer: _Layer) -> bytes:
    told = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": layer.size, "digest": layer.digest}],
    }
    return json.dumps(told, sort_keys=True).encode()


def environment() -> list[str]:
    """As in Docker's official image of Python, and a home that can be written."""
    return [
        "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        f"PYTHON_VERSION={platform.python_version()}",
        "HOME=/root",
    ]


def architecture() -> str:
    """This machine's processor as OCI calls it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
