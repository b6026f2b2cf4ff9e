# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The user's own code as a layer: modules as they are on this machine now, and local packages built as wheels."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..core.hashing import content_id
from ..core.subprocesses import Work
from ..errors import SettingError
from ..images.layer import Layer, layer
from ..runner.protocol.layout import CODE_DIR
from . import uv
from .installed_files import DiskFiles, installed
from .installed_here import Running
from .lock import Target
from .references import COVALENT, References, of_source
from .sent_files import LeftOut, secret_content, sent_files, why_module_stays
from .store import LayerStore
from .user_code_rules import SECRET_NAME, is_secret

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024 * 1024  # limit of one task's own code: more is data


@dataclass
class OwnCode:
    """Files by path in the layer; those that were `left_out` of it; local `packages` to build."""

    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    packages: set[Path] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.files or self.packages)

    def add_folder(self, folder: Path, below: str = "") -> None:
        """Add all files of a folder but the excluded ones."""
        self.files |= {f"{below}{name}": path for path, name in sent_files(folder, self.left_out)}

    def add_module(self, place: Path) -> None:
        """Add a module: one file, or the folder of a package."""
        if place.is_dir():
            self.add_folder(place, f"{place.name}/")
        elif stays := why_module_stays(place):
            self.left_out.append(stays)
        else:
            self.files[place.name] = place

    def layer(self, store: LayerStore, target: Target, work: Work | None = None) -> Layer | None:
        """Return the layer; None if there are no files.

        Raises EnvironmentFailed, SettingError, StagingError.
        """
        files = dict(self.files)
        for project in sorted(self.packages):
            files |= _built(project, store, target, self.left_out, work or Work())
        if not files:
            return None
        size = sum(path.stat().st_size for path in files.values())
        if size > MOST_BYTES:
            raise SettingError(
                f"Your own code has {size >> 20} MiB in {len(files)} files; {MOST_BYTES >> 20} MiB are allowed.",
                advice="List only folders of code in `environment`; pass data as arguments or in a bucket.",
            )
        _report(self.left_out)
        return layer(DiskFiles({f"{CODE_DIR}/{name}": path for name, path in files.items()}), "own code")


def _report(left_out: list[LeftOut]) -> None:
    """Log the files that stay: each one that the user may miss, and the number of the others."""
    for each in left_out:
        if each.is_warned_of:
            log.warning(each.sentence)
    others = [str(each.path) for each in left_out if not each.is_warned_of]
    if others:
        log.info("%d files and folders are not sent, as .gitignore and .dockerignore say: %s", len(others), others[:10])


def _built(project: Path, store: LayerStore, target: Target, left_out: list[LeftOut], work: Work) -> dict[str, Path]:
    """Return the files of a local package, built again if one of its sources has changed."""
    sources = list(sent_files(project, []))
    versions = [(name, path.stat().st_size, path.stat().st_mtime_ns) for path, name in sources]
    key = content_id("folder", str(project), versions, target.platform, target.python)
    stored = store.find(key)
    if stored is None:
        with store.draft() as draft:
            into = draft / "installed"
            into.mkdir()
            uv.install_folder(project, into, target, work)
            places: dict[str, Path] = {}
            for each in installed(into, "").values():
                places |= {name.lstrip("/"): path for name, path in each.files.places.items()}
            stored = store.keep_files(key, project.name, DiskFiles(places))
    files = dict(store.files(stored).places)
    places = {}
    for name, path in files.items():
        stays = LeftOut(path, SECRET_NAME) if is_secret(name) else secret_content(path)
        if stays:
            left_out.append(stays)
        else:
            places[name] = path
    return places


# ---- `auto`: references of the tasks
# ----------------------------------------------------------------------------------
@dataclass
class Dependencies:
    """The needs of tasks: `pins` of installed packages, `own` code, and modules found `nowhere`.

    `covalent` says that they need Covalent, which is no pin: it travels as a layer of its own.
    """

    pins: set[str] = field(default_factory=set)
    own: OwnCode = field(default_factory=OwnCode)
    nowhere: set[str] = field(default_factory=set)
    covalent: bool = False
    projects: set[Path] = field(default_factory=set)  # editable installs: their dependencies are resolved too


def needed(references: References, here: Running) -> Dependencies:
    """Return the packages and files for the references of tasks, including the imports of their own modules."""
    dependencies = Dependencies()
    beside = [
        *map(Path, references.folders),
        *sorted({Path(file).parent for file in references.files if Path(file).is_absolute()}),
    ]
    waiting, visited = set(references.modules), set[str]()
    while waiting:
        module = waiting.pop()
        visited.add(module)
        distribution = here.by_module.get(module)
        if module == COVALENT:
            dependencies.covalent = True
        elif distribution:
            if distribution.folder is None:
                dependencies.pins.add(distribution.pin)
            else:
                dependencies.projects.add(distribution.folder)
        elif place := _beside(module, beside):
            dependencies.own.add_module(place)
            waiting |= _imports(place) - visited
        else:
            dependencies.nowhere.add(module)
    return dependencies


def _beside(module: str, folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        for place in (folder / module, folder / f"{module}.py"):
            if place.is_file() or (place.is_dir() and any(place.glob("*.py"))):
                return place
    return None


def _imports(place: Path) -> set[str]:
    """Return the modules that the sources of a module import."""
    files = [path for path, _ in sent_files(place, [])] if place.is_dir() else [place]
    references = References()
    for path in files:
        if path.suffix == ".py":
            references.merge(of_source(path.read_text(encoding="utf-8", errors="replace")))
    return references.modules - ({place.name} if place.is_dir() else {place.stem})
