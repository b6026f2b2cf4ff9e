# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Blobs on disk, named by their SHA-256, and the uploads on their way there. What a registry keeps beside manifests."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from uuid import uuid4

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class BlobRefused(ValueError):
    """An upload that can't become a blob: empty, or not of the digest it was said to have."""


class Upload:
    """One blob on its way in: bytes go to a file of its own until `BlobStore.finish` knows them to be whole."""

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
        """The digest of what was written."""
        self._file.close()
        return f"sha256:{self._hash.hexdigest()}"

    def abort(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class BlobStore:
    """Every blob once, whatever repositories name it."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "sha256"
        self._uploads = folder / "uploads"
        for each in (self._blobs, self._uploads):
            each.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a blob lies, or would; raises BlobRefused for what is no SHA-256 digest."""
        if not DIGEST.fullmatch(digest):
            raise BlobRefused(f"{digest!r} is no digest of the form sha256:<64 hexadecimal digits>")
        return self._blobs / digest.removeprefix("sha256:")

    def size(self, digest: str) -> int | None:
        """Bytes, or None where the blob is unknown."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def begin(self) -> Upload:
        return Upload(self._uploads)

    def finish(self, upload: Upload, digest: str) -> int:
        """The upload is now the blob `digest`; returns its size, raises BlobRefused and forgets it when it is not."""
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
        """A file known to have this digest becomes a blob without a copy where the file system allows; its size."""
        target = self.path(digest)
        if not target.exists():
            try:
                os.link(file, target)
            except OSError:
                shutil.copyfile(file, target)
        return target.stat().st_size
