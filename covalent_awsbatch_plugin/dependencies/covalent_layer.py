# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent as a layer of its own, for tasks whose pickles refer to it: sublattices, leptons, `files=`, post-processing.

The layer has the installed Covalent's SDK and the packages that the SDK imports. An image's own packages, and those of
`environment`, are found before it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name

from ..core.hashing import content_id
from ..core.subprocesses import Work
from ..images.layer import Layer
from ..runner.protocol.layout import COVALENT_DIR
from .installed_files import DiskFiles, compile_bytecode, installed
from .lock import Target
from .references import COVALENT
from .store import LayerStore, link_or_copy

# Requirements of Covalent 0.240 that only its server and its command line import; two thirds of the bytes.
_OF_THE_SERVER = {
    "aiohttp", "alembic", "click", "fastapi", "natsort", "python-socketio", "rich", "sqlalchemy", "sqlalchemy-utils",
    "uvicorn", "distributed",
}  # fmt: skip
_NOT_SENT = {"covalent_dispatcher", "covalent_migrations", "covalent_ui", "__pycache__", "tests"}


def covalent_layer(store: LayerStore, target: Target, work: Work) -> Layer:
    """Return the layer of the packages installed here, which fit the target; made once for their versions.

    Raises EnvironmentFailed, StagingError.
    """
    key = _key(target)
    stored = store.find(key)
    if stored is None:
        label = f"{COVALENT} {metadata.version(COVALENT)} and what it imports"
        work.say(f"Packing {label}, once for this version.")
        with store.draft() as draft:
            files = _placed(_closure(), draft / "installed", work)
            stored = store.keep_layer(key, label, files, files.size)
    return store.layer(stored)


@functools.cache
def _key(target: Target) -> str:
    names = [(each.metadata["Name"], each.version, each.read_text("RECORD")) for each in _closure()]
    return content_id("covalent", names, target.platform, target.python)


@functools.cache  # a server that runs goes on with the packages it began with
def fits(target: Target) -> bool:
    """Return whether the packages installed here are made for the target: for its Python, platform and glibc."""
    tags, distributions = frozenset(target.tags()), _closure()
    here = target.python.split(".")[:2] == list(map(str, sys.version_info[:2]))
    return here and bool(distributions) and all(_is_made_for(each, tags) for each in distributions)


def pin() -> str:
    """Return the requirement of the installed Covalent, for targets that the installed files are not made for."""
    return f"{COVALENT}=={metadata.version(COVALENT)}"


def _placed(distributions: Iterable[metadata.Distribution], folder: Path, work: Work) -> DiskFiles:
    """Put the files of distributions into a folder, with byte-code; return them by their paths in the image."""
    for distribution in distributions:
        for file in distribution.files or ():
            source = Path(str(file.locate()))
            is_sent = not file.is_absolute() and not _NOT_SENT & set(file.parts) and ".." not in file.parts
            if is_sent and source.is_file():
                link_or_copy(source, folder / file)
    for package in sorted(folder.glob("*.dist-info")):
        (package / "direct_url.json").unlink(missing_ok=True)
    compile_bytecode(folder, COVALENT_DIR, work)
    places: dict[str, Path] = {}
    for each in installed(folder, COVALENT_DIR).values():
        places |= each.files.places
    return DiskFiles(places)


@functools.cache
def _closure() -> tuple[metadata.Distribution, ...]:
    """Return the installed distributions of Covalent's SDK and of its requirements; none if it is not installed."""
    distributions: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(COVALENT)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in distributions or name in _OF_THE_SERVER:
            continue
        try:
            distributions[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        waiting += _needs(distributions[name])
    return tuple(each for _, each in sorted(distributions.items())) if COVALENT in distributions else ()


def _needs(distribution: metadata.Distribution) -> Iterator[Requirement]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _is_made_for(distribution: metadata.Distribution, tags: frozenset[Tag]) -> bool:
    """Return whether a distribution was installed from a wheel for the target, and not from a folder in use here."""
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    own = {tag for line in lines if line.startswith("Tag:") for tag in parse_tag(line.partition(":")[2].strip())}
    return bool(own & tags) and not any(file.suffix == ".pth" for file in distribution.files or ())
