# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The local store of dependency layers: a layer, or the files of a small package, by key.

An entry's folder is complete: it is written beside its place and then renamed, so that half written entries are not
used.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..core.files import atomic_write, writable
from ..core.url_passwords import has_password
from ..core.user_dirs import cache_home
from ..images.layer import Entry, Layer, tar, write_deflated
from .installed_files import DiskFiles
from .spec import StoreUsage, to_forget

RECORD, LAYER, FILES = "record.json", "layer", "files"
DRAFT = "making-"
DAY_S = 24 * 3600
NOTED_EVERY_S = 600  # shortest time between two updates of an entry's last use


@dataclass(frozen=True)
class StoredLayer:
    """An entry of the store.

    `bytes` is the unpacked size; `digest`, `diff_id` and `size` are a layer's, else empty.
    """

    key: str
    label: str
    bytes: int
    digest: str = ""
    diff_id: str = ""
    size: int = 0


class LayerStore:
    """The store in a folder. Every method raises StagingError if the folder cannot be used."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_home() / "environments"
        self._with_passwords: dict[str, str] = {}

    def find(self, key: str) -> StoredLayer | None:
        """Return the complete entry with this key; None if there is none."""
        place = self._place(key)
        try:
            stored = StoredLayer(**json.loads((place / RECORD).read_text()))
            if stored.digest and (place / LAYER).stat().st_size != stored.size:
                return None
        except (OSError, ValueError, TypeError):
            return None
        _note_use(place)
        return stored

    def note_use(self, keys: Iterable[str]) -> None:
        """Note that entries are in use, so that no process's pruning removes them."""
        for key in keys:
            _note_use(self._place(key))

    def has(self, keys: Iterable[str]) -> bool:
        """Return whether all of these entries exist."""
        return all((self._place(key) / RECORD).exists() for key in keys)

    def files(self, stored: StoredLayer) -> DiskFiles:
        """Return the files of a small package, by path in the image."""
        root = self._place(stored.key) / FILES
        return DiskFiles({path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()})

    def layer(self, stored: StoredLayer) -> Layer:
        """Return the entry as a layer; its bytes stay on disk."""
        with writable(self.folder), (self._place(stored.key) / LAYER).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return Layer(stored.digest, stored.size, stored.diff_id, stored.label, data)

    def keep_files(self, key: str, label: str, files: DiskFiles) -> StoredLayer:
        """Store copies, or hard links, of files that will share a layer with those of other packages."""

        def fill(draft: Path) -> StoredLayer:
            for path, source in files.places.items():
                link_or_copy(source, draft / FILES / path)
            return StoredLayer(key, label, files.size)

        return self._keep(key, fill)

    def keep_layer(self, key: str, label: str, files: Mapping[str, Entry], size: int) -> StoredLayer:
        """Store a compressed layer of the files, which have `size` bytes in all."""

        def fill(draft: Path) -> StoredLayer:
            with (draft / LAYER).open("wb") as file:
                packed = write_deflated(tar(files), file)
            return StoredLayer(key, label, size, packed.digest, packed.diff_id, packed.size)

        return self._keep(key, fill)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Provide a temporary folder on the store's disk."""
        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder, prefix=DRAFT) as name:
                yield Path(name)

    def text(self, key: str, make: Callable[[], str], *, anew: bool = False) -> str:
        """Return the text with this key, made if it does not exist, or if `anew`.

        A text with a password in a URL is kept in this process alone, and made again by the next one.
        """
        place = self.folder / "locks" / f"{key}.toml"
        if not anew and (text := self._with_passwords.get(key) or _stored_text(place)):
            return text
        text = make()
        if has_password(text):
            self._with_passwords[key] = text
            return text
        with writable(self.folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(place, text)
        return text

    def _keep(self, key: str, fill: Callable[[Path], StoredLayer]) -> StoredLayer:
        place = self._place(key)
        with self.draft() as folder:
            draft = folder / "kept"
            draft.mkdir()
            stored = fill(draft)
            (draft / RECORD).write_text(json.dumps(asdict(stored)))
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.rename(place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if other := self.find(key):  # another process stored it meanwhile
                    return other
                shutil.rmtree(place)
                draft.rename(place)
        return stored

    def _place(self, key: str) -> Path:
        return self.folder / "made" / key


def used_at(place: Path) -> float:
    """Return the time of an entry's last use, in Unix seconds, with an error up to `NOTED_EVERY_S`."""
    return (place / RECORD).stat().st_mtime


def _note_use(place: Path) -> None:
    with suppress(OSError):  # a read-only store works too
        if time.time() - used_at(place) > NOTED_EVERY_S:
            os.utime(place / RECORD)


def _stored_text(place: Path) -> str:
    """Return a stored text, empty if there is none. One with a password, of an earlier version, is removed."""
    try:
        text = place.read_text(encoding="utf-8")
    except OSError:
        return ""
    with suppress(OSError):  # a read-only store works too
        if has_password(text):
            place.unlink()
        else:
            os.utime(place)
    return "" if has_password(text) else text


def link_or_copy(source: Path, place: Path) -> None:
    """Make a hard link to a file, or a copy on another disk; the folders above it are made."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


# ---- pruning ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Pruned:
    """The result of `prune`: the number of entries removed, their bytes, and the bytes of the other entries."""

    entries: int
    freed: int
    left: int


def prune(store: LayerStore, most_bytes: float, now: float | None = None) -> Pruned:
    """Remove the least recently used entries until `most_bytes` are left; those used within the hour stay.

    Entries of other processes count too. `now` is in Unix seconds. Raises StagingError.
    """
    now = time.time() if now is None else now
    usages = list(_usages(store))
    victims = to_forget(usages, most_bytes, now)
    with store.draft() as bin_:  # moved first: a half removed entry must not be used
        for usage in victims:
            with suppress(FileNotFoundError):  # another process does the same
                (store.folder / "made" / usage.key).rename(bin_ / usage.key)
    _forget_drafts_and_locks(store.folder, now)
    freed = sum(usage.bytes for usage in victims)
    return Pruned(len(victims), freed, sum(usage.bytes for usage in usages) - freed)


def _usages(store: LayerStore) -> Iterator[StoreUsage]:
    for place in (store.folder / "made").glob("*"):
        with suppress(OSError, ValueError, KeyError):
            record = json.loads((place / RECORD).read_text())
            yield StoreUsage(place.name, used_at(place), record["size"] or record["bytes"])


def _forget_drafts_and_locks(folder: Path, now: float) -> None:
    """Remove drafts of killed processes, and locks that were not used for two months or have a password in them."""
    for pattern, age_s in ((f"{DRAFT}*", DAY_S), ("locks/*", 60 * DAY_S)):
        for path in folder.glob(pattern):
            with suppress(OSError):
                if path.stat().st_mtime < now - age_s or (path.is_file() and has_password(path.read_text())):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
