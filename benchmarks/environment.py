# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What numpy, pandas and scikit-learn cost as layers, and by `docker build`.

Downloads are from the package index, each way with an empty cache of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.dependencies.lock import Lock, Target
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.spec import environment_spec
from covalent_awsbatch_plugin.dependencies.store import LayerStore
from covalent_awsbatch_plugin.images.builders import builder
from covalent_awsbatch_plugin.images.builders.builder import Base, Builder, PushedImage, Repository
from covalent_awsbatch_plugin.images.layer import layer
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Given, Settings, resolve
from covalent_awsbatch_plugin.tasks.client import connect

from .docker_build import login
from .section import Reach, Say, Section
from .stats import figure, median, table

LIST = "numpy, pandas, scikit-learn"
ONE_MORE = "networkx"
IMPORTS = "import numpy, pandas, sklearn.svm"
COLD, WARM, ADDED = "cold: nothing kept, nothing in the repository", "warm", f"one package more (`{ONE_MORE}`)"
COLD_OF_DOCKER, WARM_S, ADDED_S = 50, 0.1, 2  # %, and seconds beyond the package's own download
MB = 1_000_000


@dataclass(frozen=True)
class Took:
    """Seconds of each step, and the bytes that were pushed."""

    lock_s: float
    make_s: float
    push_s: float
    pushed: int

    @property
    def whole_s(self) -> float:
        return self.lock_s + self.make_s + self.push_s


@dataclass
class Found:
    """`docker_s`: build and push; `imports_s`: seconds by how; both empty without a Docker engine."""

    took: dict[str, Took] = field(default_factory=dict)
    download_s: float = 0.0
    docker_s: tuple[float, ...] = ()
    imports_s: dict[str, float] = field(default_factory=dict)


async def section(quick: bool, say: Say) -> Section:
    found = await measure(say)
    return Section(text(found), reached(found))


async def measure(say: Say) -> Found:
    found = Found()
    async with LocalAWS() as aws:
        settings = resolve(Given(aws.section(), "by the offline AWS"))
        say("the environment as layers")
        with tempfile.TemporaryDirectory() as folder:
            image = await _as_layers(found, settings, Path(folder))
        if aws.engine == "docker":
            say("the environment by `docker build`")
            found.docker_s = await asyncio.to_thread(_by_docker, aws.section(), aws.registry)
            found.imports_s = await asyncio.to_thread(_imports, aws.section(), image)
        await close_shared()
    return found


# ---- as layers ------------------------------------------------------------------------------------------------------
async def _as_layers(found: Found, settings: Settings, folder: Path) -> PushedImage:
    """The image with the list."""
    os.environ["UV_CACHE_DIR"] = str(folder / "uv")
    store = LayerStore(folder / "store")
    async with connect(settings) as client:
        repository = (await client.services.resources(settings)).repository
        target = Target(settings.platform, f"{sys.version_info.major}.{sys.version_info.minor}")
        image = None
        for told, words in ((COLD, LIST), (WARM, LIST), (ADDED, f"{LIST}, {ONE_MORE}")):
            # as in a process that has just begun: nothing is known but what the disk and the repository hold
            async with builder("registry") as opened:
                base = await opened.resolve_base(settings.container_image_uri, settings.platform, repository)
                # the base is brought once for all, and is no part of an environment
                await opened.push(base, [_task(told)], repository)
                maker = _Maker(Environments(store), opened, base, repository)
                lock, pushed, found.took[told] = await maker.make(words, target, told)
                image = image or pushed
        found.download_s = await asyncio.to_thread(_download, lock)
    assert image
    return image


@dataclass(frozen=True)
class _Maker:
    environments: Environments
    builder: Builder
    base: Base
    repository: Repository

    async def make(self, words: str, target: Target, told: str) -> tuple[Lock, PushedImage, Took]:
        began = time.perf_counter()
        lock = await asyncio.to_thread(self.environments.lock, environment_spec(words), target)
        locked = time.perf_counter()
        layers = await asyncio.to_thread(self.environments.layers, lock)
        made = time.perf_counter()
        image = await self.builder.push(self.base, [*layers, _task(told + words)], self.repository)
        took = time.perf_counter() - made
        return lock, image, Took(locked - began, made - locked, took, image.bytes_pushed)


def _task(told: str) -> Any:
    return layer({"covalent/task": told.encode()})


def _download(lock: Lock) -> float:
    """Seconds of what the package more has to bring, by itself."""
    (package,) = (package for package in lock.packages if package.name == ONE_MORE)
    began = time.perf_counter()
    with urlopen(package.entry.wheels[0].url) as answer:
        answer.read()
    return time.perf_counter() - began


# ---- by Docker ------------------------------------------------------------------------------------------------------
def _by_docker(section: dict[str, Any], registry: str) -> tuple[float, float]:
    """`docker build` with `pip install` of the same list, and a push. The base is there."""
    import docker

    auth, base = login(section), section["container_image_uri"]
    with closing(docker.from_env(timeout=600)) as client:
        client.images.pull(base, auth_config=auth)
        tag = f"{registry}/{section['ecr_repo_name']}:environment"
        with tempfile.TemporaryDirectory() as folder:
            _write_context(Path(folder), base)
            began = time.perf_counter()
            client.images.build(path=folder, tag=tag, rm=True, nocache=True, network_mode="host")
            built = time.perf_counter()
        for line in client.images.push(tag, auth_config=auth, stream=True, decode=True):
            assert "error" not in line, line
        ended = time.perf_counter()
        client.images.remove(tag, force=True)
    return built - began, ended - built


def _write_context(folder: Path, base: str) -> None:
    shutil.copy(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt", folder / "ca.crt")
    words = " ".join(part.strip() for part in LIST.split(","))
    install = f"RUN PIP_CERT=/ca.crt python3 -m pip install --no-cache-dir {words}"
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY ca.crt /ca.crt\n{install}\n")


def _imports(section: dict[str, Any], image: PushedImage) -> dict[str, float]:
    """Seconds of the imports in a fresh container, with the layers' byte-code and without."""
    import docker

    with closing(docker.from_env(timeout=600)) as client:
        client.images.pull(image.uri.partition("@")[0], tag=image.digest, auth_config=login(section))
        timed = f"import time; t = time.perf_counter(); {IMPORTS}; print(time.perf_counter() - t)"
        found = {}
        for told, options in (("with byte-code", []), ("without", ["-X", "pycache_prefix=/nowhere"])):
            command, own = ["python3", "-B", *options, "-c", timed], {"PYTHONPATH": "/covalent/env"}
            runs = [float(client.containers.run(image.uri, command, environment=own, remove=True)) for _ in range(3)]
            found[told] = median(runs)
    return found


# ---- as text --------------------------------------------------------------------------------------------------------
def text(found: Found) -> str:
    """The section of docs/numbers.md."""
    steps = ["s in all", "resolve", "download, unpack, compile, pack", "push", "MB pushed"]
    rows = [
        [told, *map(_seconds, (took.whole_s, took.lock_s, took.make_s, took.push_s)), f"{took.pushed / MB:.2f}"]
        for told, took in found.took.items()
    ]
    if not found.docker_s:
        return f"{table(['', *steps], rows)}\nNo Docker engine answered, so nothing was measured beside it.\n"
    whole, build, push = map(_seconds, (sum(found.docker_s), *found.docker_s))
    rows.append(["`docker build` with pip, and push", whole, "", build, push, ""])
    imports = [[told, _seconds(seconds)] for told, seconds in found.imports_s.items()]
    return (
        f"{table(['', *steps], rows)}\nMB pushed holds the task's own layer and the manifest, a few KB. The wheel of "
        f"`{ONE_MORE}` alone is downloaded in {_seconds(found.download_s)} s.\n\n"
        f"{table([f'`{IMPORTS}` in a fresh container', 's, median of 3'], imports)}"
    )


def _seconds(value: float) -> str:
    return figure(value) if value >= 0.01 else "0.00"


def reached(found: Found) -> tuple[Reach, ...]:
    added = found.took[ADDED].whole_s - found.download_s
    lines = (
        Reach(f"{LIST}: warm", found.took[WARM].whole_s, WARM_S, "s"),
        Reach(f"{LIST}: one package more, beyond its own download", added, ADDED_S, "s"),
    )
    if not found.docker_s:
        return lines
    share = 100 * found.took[COLD].whole_s / found.docker_s[0]  # our push is in it, and the engine's is not
    return (Reach(f"{LIST}: cold, of `docker build` without its push", share, COLD_OF_DOCKER, "%"), *lines)
