# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A base image where no hub can be reached: made of the Python that runs here."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class BaseImage:
    """`blobs` are files by digest."""

    manifest: bytes
    blobs: dict[str, Path]
    media_type: str = MANIFEST_TYPE

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"


def make_base_image(*, whole: bool, report: Callable[[str], None]) -> BaseImage:
    """`whole`: one that runs; else one that only says what it would be, for an engine that does not run it."""
    folder = cache_folder() / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        text = b"This image has nothing in it: engine `process` runs the Python of the machine.\n"
        entry = tarfile.TarInfo("README")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return _image(folder, archive.getvalue())


def cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "covalent-awsbatch" / "base-images"


def _image(folder: Path, layer: bytes) -> BaseImage:
    packed = gzip.compress(layer, mtime=0)
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": environment(), "Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created_by": "covalent-awsbatch local"}],
        },
        sort_keys=True,
    ).encode()
    blobs = {_digest(data): data for data in (config, packed)}
    for digest, data in blobs.items():
        (folder / digest.partition(":")[2]).write_bytes(data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": len(packed), "digest": _digest(packed)}],
    }
    files = {digest: folder / digest.partition(":")[2] for digest in blobs}
    return BaseImage(json.dumps(manifest, sort_keys=True).encode(), files)


def environment() -> list[str]:
    return [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHON_VERSION=" + platform.python_version(),
        "LANG=C.UTF-8",
        "HOME=/root",
    ]


def architecture() -> str:
    """This machine's processor as OCI calls it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
