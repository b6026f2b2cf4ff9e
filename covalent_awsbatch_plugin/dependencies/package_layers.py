# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Turn environments into layers: each spec is resolved once, each package becomes a layer once, both are cached."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.files import writable
from ..core.hashing import content_id
from ..core.subprocesses import Work
from ..core.uv_process import index_variables
from ..errors import EnvironmentFailed
from ..images.layer import Layer
from ..runner.protocol.layout import ENV_DIR
from . import uv
from .installed_files import DiskFiles, Installed, compile_bytecode, installed
from .lock import Lock, Package, Target, read_lock, write_lock
from .requirement_files import (
    check_hashes,
    content_of,
    content_of_line,
    existing,
    indexes_of,
    is_locked,
    is_package,
    uv_lock,
)
from .spec import EnvironmentSpec, shares
from .store import NOTED_EVERY_S, LayerStore, Pruned, StoredLayer, prune

log = logging.getLogger(__name__)

MIB = 1024 * 1024


@dataclass
class _OpenLayers:
    """The layers of one lock, open for reading, with their keys; `noted_at` (monotonic s) is their last noted use."""

    layers: tuple[Layer, ...]
    keys: tuple[str, ...]
    noted_at: float


class Environments:
    """A cache of locks and layers, in memory and in the store."""

    def __init__(self, store: LayerStore | None = None) -> None:
        self.store = store or LayerStore()
        self._layers: dict[str, _OpenLayers] = {}

    # ---- which packages ---------------------------------------------------------------------------------------------
    def lock(
        self,
        spec: EnvironmentSpec,
        target: Target,
        constraints: Sequence[str] = (),
        *,
        anew: bool = False,
        work: Work | None = None,
    ) -> Lock:
        """Return the packages that fulfil a spec, resolved if it is new, or if `anew`.

        Raises SettingError for a file that does not exist, EnvironmentFailed, StagingError.
        """
        work = work or Work()
        files = [existing(Path(name)) for name in spec.files]
        folders = [existing(Path(name)) for name in spec.folders]
        locks = {file: self._given_lock(file, target, work, anew=anew) for file in files if is_locked(file)}
        others = [file for file in files if file not in locks]
        packages = [folder for folder in folders if is_package(folder)]
        if len(locks) == 1 and not (others or packages or spec.requirements):
            return next(iter(locks.values()))
        pins = [f"{package.name}=={package.version}" for lock in locks.values() for package in lock.packages]
        lines = [*spec.requirements, *pins, *(folder.as_uri() for folder in packages)]
        if not (others or lines):
            return Lock(target, (), ())
        lock = self._resolve(others, lines, constraints, target, work, anew=anew)
        check_hashes(lock, others)
        return replace(_with_folders(lock, others, locks.values()), indexes=tuple(indexes_of(others)))

    def _resolve(
        self,
        files: Sequence[Path],
        lines: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        work: Work,
        *,
        anew: bool,
    ) -> Lock:
        folder = files[0].parent if files else self.store.folder
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
        contents = [content_of(file) for file in files], [content_of_line(line, folder) for line in sorted(lines)]
        sources = index_variables(os.environ)
        key = content_id(
            "lock", contents, sorted(constraints), target.platform, target.python, target.glibc, sources, str(folder)
        )
        text = self.store.text(key, lambda: uv.compile_lock(files, lines, constraints, target, folder, work), anew=anew)
        return read_lock(text, target, "what uv resolved", folder)

    def _given_lock(self, file: Path, target: Target, work: Work, *, anew: bool) -> Lock:
        if file.name != "pyproject.toml":
            return read_lock(file.read_text(encoding="utf-8"), target, str(file), file.parent)
        project, locked = file.parent, uv_lock(file.parent)
        key = content_id("uv.lock", content_of(locked) if locked else None, content_of(file))
        text = self.store.text(key, lambda: uv.export_lock(project, work), anew=anew)
        return read_lock(text, target, str(locked), project)

    # ---- their layers -----------------------------------------------------------------------------------------------
    def missing(self, lock: Lock) -> list[Package]:
        """Return the packages that are not in the store yet."""
        return [package for package in lock.packages if self.store.find(lock.key(package)) is None]

    def layers(self, lock: Lock, work: Work | None = None) -> tuple[Layer, ...]:
        """Return one layer for each big package and one for all small ones, built if they are not stored.

        Raises EnvironmentFailed, StagingError.
        """
        if lock.digest not in self._layers:
            parts = self._made(lock, work or Work())
            layers = tuple(map(self.store.layer, parts))
            self._layers[lock.digest] = _OpenLayers(layers, tuple(part.key for part in parts), time.monotonic())
        opened = self._layers[lock.digest]
        if time.monotonic() - opened.noted_at > NOTED_EVERY_S:
            self.store.note_use(opened.keys)
            opened.noted_at = time.monotonic()
        return opened.layers

    def prune(self, most_bytes: float) -> Pruned:
        """Prune the store, and close the layers that it no longer has: an open one keeps its disk space.

        Raises StagingError.
        """
        pruned = prune(self.store, most_bytes)
        self._layers = {digest: each for digest, each in self._layers.items() if self.store.has(each.keys)}
        return pruned

    def _made(self, lock: Lock, work: Work) -> list[StoredLayer]:
        if missing := self.missing(lock):
            size = sum(package.download_bytes for package in missing)
            labels = ", ".join(package.label for package in missing)
            work.say(f"Fetching {len(missing)} of {len(lock.packages)} packages, {size / MIB:.1f} MiB: {labels}.")
            self._make(lock, missing, work)
        stored = [self._kept(lock.key(package)) for package in lock.packages]
        return self.parts(stored)

    def parts(self, stored: Sequence[StoredLayer]) -> list[StoredLayer]:
        """Return the stored layers: one for each big package and one for all small ones."""
        by_key = {each.key: each for each in stored if each.bytes}
        alone, together = shares([(key, each.bytes) for key, each in by_key.items()])
        layers = [self._as_layer(by_key[key]) for key in alone]
        if together:
            layers.append(self._shared([by_key[key] for key in together]))
        return layers

    def _as_layer(self, stored: StoredLayer) -> StoredLayer:
        return stored if stored.digest else self._shared([stored])

    def _shared(self, small: Sequence[StoredLayer]) -> StoredLayer:
        key = content_id("shared", [each.key for each in small])
        if stored := self.store.find(key):
            return stored
        places: dict[str, Path] = {}
        for each in small:
            places |= self.store.files(each).places
        files = DiskFiles(places)
        label = small[0].label if len(small) == 1 else f"{len(small)} small packages"
        return self.store.keep_layer(key, label, files, files.size)

    def _kept(self, key: str) -> StoredLayer:
        if stored := self.store.find(key):
            return stored
        raise EnvironmentFailed(
            f"A layer that was just built is missing from {self.store.folder}.", advice="Run it again."
        )

    def _make(self, lock: Lock, packages: Sequence[Package], work: Work) -> None:
        """Install the packages into one folder, and store the files or the layer of each."""
        with self.store.draft() as draft:
            into, listed = draft / "installed", draft / "pylock.toml"
            listed.write_text(write_lock(packages, lock.target.python), encoding="utf-8")
            uv.install(listed, into, lock, ", ".join(package.label for package in packages), work)
            if _compiles_for(lock.target):
                work.say("Compiling byte-code.")
                compile_bytecode(into, ENV_DIR, work)
            by_name = installed(into, ENV_DIR)
            _warn_of_newer_glibc(into, lock.target, [package for package in packages if not package.wheel])
            with ThreadPoolExecutor(os.cpu_count()) as threads:  # zlib and sha256 release the GIL
                stored_layers = threads.map(lambda package: self._keep(lock, package, by_name, work), packages)
                for number, stored in enumerate(stored_layers, 1):
                    work.say(f"Packed {stored.label}, {stored.bytes / MIB:.1f} MiB ({number} of {len(packages)}).")

    def _keep(self, lock: Lock, package: Package, by_name: dict[str, Installed], work: Work) -> StoredLayer:
        work.go_on()
        key = lock.key(package)
        if package.name not in by_name:
            raise EnvironmentFailed(f"{package.label} was installed, but has no metadata under that name.")
        files = by_name[package.name].files
        size = files.size
        if shares([(key, size)])[0]:
            return self.store.keep_layer(key, package.label, files, size)
        return self.store.keep_files(key, package.label, files)


def _warn_of_newer_glibc(folder: Path, target: Target, compiled: Iterable[Package]) -> None:
    """Warn of packages that were compiled here for a newer glibc than the base image has."""
    here = platform.libc_ver()[1]
    for package in compiled if here and tuple(map(int, here.split(".")[:2])) > target.glibc else ():
        tags = [path.read_text(encoding="utf-8") for path in folder.glob(f"{package.name.replace('-', '_')}-*/WHEEL")]
        if any("-linux_" in text for text in tags):
            log.warning(
                "%s has no wheel and was compiled here, for glibc %s; the base image has %s: it may not load there.",
                package.label, here, ".".join(map(str, target.glibc)),
            )  # fmt: skip


def _compiles_for(target: Target) -> bool:
    """Return whether the target has the running Python's minor version, which byte-code needs."""
    return target.python.split(".")[:2] == [str(part) for part in sys.version_info[:2]]


def _with_folders(lock: Lock, files: Iterable[Path], others: Iterable[Lock]) -> Lock:
    """Return the lock with the folders of other locks, and of the projects whose pyproject.toml was read."""
    own = [file.parent for file in files if file.name == "pyproject.toml" and is_package(file.parent)]
    more = [Package(path.name, "", "", False, str(path)) for path in own]
    folders = [*lock.folders, *more, *(package for other in others for package in other.folders)]
    return replace(lock, folders=tuple({package.folder: package for package in reversed(folders)}.values()))
