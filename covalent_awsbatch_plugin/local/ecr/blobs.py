# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The blobs of a registry on disk, named by their SHA-256, and their uploads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from uuid import uuid4

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class BlobRefused(ValueError):
    """The upload is empty, or does not have the digest that the client gave."""


class Upload:
    """An upload of one blob to a file of its own, until `BlobStore.finish` has checked its digest."""

    def __init__(self, folder: Path) -> None:
        self.id = str(uuid4())
        self.size = 0
        self.path = folder / self.id
        self._file = self.path.open("wb")
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def close(self) -> str:
        """Close the file. Return the digest of the written bytes."""
        self._file.close()
        return f"sha256:{self._hash.hexdigest()}"

    def abort(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class BlobStore:
    """A store with one copy of each blob for all repositories."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "sha256"
        self._uploads = folder / "uploads"
        for each in (self._blobs, self._uploads):
            each.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return the path of a blob, whether it exists or not. Raises BlobRefused for an invalid digest."""
        if not DIGEST.fullmatch(digest):
            raise BlobRefused(f"{digest!r} is no digest of the form sha256:<64 hexadecimal digits>")
        return self._blobs / digest.removeprefix("sha256:")

    def size(self, digest: str) -> int | None:
        """Return a blob's size (bytes), None where it is unknown."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def begin(self) -> Upload:
        return Upload(self._uploads)

    def finish(self, upload: Upload, digest: str) -> int:
        """Store an upload as the blob `digest`. Return its size (bytes). Raises BlobRefused, and removes the upload."""
        actual = upload.close()
        try:
            if actual != digest:
                raise BlobRefused(f"the bytes have the digest {actual}, not {digest}")
            if not upload.size:
                raise BlobRefused("a blob of no bytes is refused, as ECR does")
            os.replace(upload.path, self.path(digest))
        finally:
            upload.path.unlink(missing_ok=True)
        return upload.size

    def adopt(self, file: Path, digest: str) -> int:
        """Store a file of this digest as a blob, as a hard link where possible. Return its size (bytes)."""
        target = self.path(digest)
        if not target.exists():
            try:
                os.link(file, target)
            except OSError:
                shutil.copyfile(file, target)
        return target.stat().st_size
