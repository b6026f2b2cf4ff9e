# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What was made of packages, kept on this machine by name: a layer, or the files of a small package.

A folder under its name is whole: it is made beside its place and then moved there, so nothing half made is believed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..core.files import atomic_write, writable
from ..core.user_dirs import cache_home
from ..images.layer import Entry, Layer, deflated_gzip, hashed, pieces, tar
from .installed_files import DiskFiles

RECORD, LAYER, FILES = "record.json", "layer", "files"
DRAFT = "making-"
NOTED_EVERY_S = 600  # when something was used is written down no more often than that


@dataclass(frozen=True)
class StoredLayer:
    """One thing in the store. `bytes` are unpacked; `digest`, `diff_id` and `size` are a layer's, else empty."""

    key: str
    label: str
    bytes: int
    digest: str = ""
    diff_id: str = ""
    size: int = 0


class LayerStore:
    """Every verb raises StagingError when the folder can't be used."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_home() / "environments"

    def find(self, key: str) -> StoredLayer | None:
        """What is kept under that name, if all of it is there."""
        place = self._place(key)
        try:
            kept = StoredLayer(**json.loads((place / RECORD).read_text()))
            if kept.digest and (place / LAYER).stat().st_size != kept.size:
                return None
        except (OSError, ValueError, TypeError):
            return None
        _note_use(place)
        return kept

    def files(self, kept: StoredLayer) -> DiskFiles:
        """The files of a small package, by path in the image."""
        root = self._place(kept.key) / FILES
        return DiskFiles({path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()})

    def layer(self, kept: StoredLayer) -> Layer:
        """The layer, its bytes still on disk."""
        with writable(self.folder), (self._place(kept.key) / LAYER).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return Layer(kept.digest, kept.size, kept.diff_id, kept.label, data)

    def keep_files(self, key: str, label: str, files: DiskFiles) -> StoredLayer:
        """Copies, or links, of files that will share a layer with others'."""

        def fill(draft: Path) -> StoredLayer:
            for path, source in files.places.items():
                place = draft / FILES / path
                place.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(source, place)
            return StoredLayer(key, label, files.size)

        return self._keep(key, fill)

    def keep_layer(self, key: str, label: str, files: Mapping[str, Entry], size: int) -> StoredLayer:
        """A compressed layer of the files, which have `size` bytes in all."""

        def fill(draft: Path) -> StoredLayer:
            diff, whole = hashlib.sha256(), hashlib.sha256()
            with (draft / LAYER).open("wb") as file:
                for chunk in deflated_gzip(hashed(pieces(tar(files)), diff)):
                    whole.update(chunk)
                    file.write(chunk)
                packed = file.tell()
            return StoredLayer(key, label, size, f"sha256:{whole.hexdigest()}", f"sha256:{diff.hexdigest()}", packed)

        return self._keep(key, fill)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder to work in, on the same disk; gone afterwards."""
        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder, prefix=DRAFT) as name:
                yield Path(name)

    def text(self, key: str, make: Callable[[], str], *, anew: bool = False) -> str:
        """A text kept under that name, made when it is not there, or `anew`."""
        place = self.folder / "locks" / f"{key}.toml"
        if place.exists() and not anew:
            with suppress(OSError):
                os.utime(place)
            return place.read_text(encoding="utf-8")
        text = make()
        with writable(self.folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(place, text)
        return text

    def _keep(self, key: str, fill: Callable[[Path], StoredLayer]) -> StoredLayer:
        place = self._place(key)
        with self.draft() as folder:
            draft = folder / "kept"
            draft.mkdir()
            kept = fill(draft)
            (draft / RECORD).write_text(json.dumps(asdict(kept)))
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.rename(place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if found := self.find(key):  # somebody else made it meanwhile
                    return found
                shutil.rmtree(place)
                draft.rename(place)
        return kept

    def _place(self, key: str) -> Path:
        return self.folder / "made" / key


def used_at(place: Path) -> float:
    """When a kept thing was last asked for, in Unix seconds, give or take `NOTED_EVERY_S`."""
    return (place / RECORD).stat().st_mtime


def _note_use(place: Path) -> None:
    with suppress(OSError):  # a store that can only be read is as good
        if time.time() - used_at(place) > NOTED_EVERY_S:
            os.utime(place / RECORD)


def _link_or_copy(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)
