# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What numpy, pandas and scikit-learn cost as layers, and by `docker build`: writes docs/numbers-environment.md.

    python -m benchmarks.environment

Downloads are from the package index, each way with an empty cache of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker

from benchmarks.docker_build import login
from benchmarks.machine import facts
from covalent_awsbatch_plugin.hands.aws import close_shared
from covalent_awsbatch_plugin.hands.builder import PushedImage
from covalent_awsbatch_plugin.hands.builders import builder
from covalent_awsbatch_plugin.hands.environments import Environments
from covalent_awsbatch_plugin.hands.layer_store import LayerStore
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.story import cloud
from covalent_awsbatch_plugin.thought.environment import wish
from covalent_awsbatch_plugin.thought.layers import layer
from covalent_awsbatch_plugin.thought.lock import Target
from covalent_awsbatch_plugin.thought.settings import Given, Settings, resolve

LIST = "numpy, pandas, scikit-learn"
ONE_MORE = "networkx"
IMPORTS = "import numpy, pandas, sklearn.svm"
REPORT = Path(__file__).parent.parent / "docs" / "numbers-environment.md"
MB = 1_000_000


async def ours(settings: Settings, folder: Path) -> tuple[list[str], PushedImage]:
    """Rows of the table, and the image that was pushed first."""
    os.environ["UV_CACHE_DIR"] = str(folder / "uv")
    store = LayerStore(folder / "store")
    async with cloud(settings) as aws:
        site = await aws.site(settings)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        target = Target(settings.platform, version)
        rows, first = [], None
        asked = (
            ("cold: nothing kept, nothing in the repository", LIST, 1),
            ("warm, a process that has just begun", LIST, 2),
            (f"one package more (`{ONE_MORE}`)", f"{LIST}, {ONE_MORE}", 3),
        )
        for told, text, number in asked:
            environments = Environments(store)
            async with builder("registry") as opened:
                base = await opened.resolve_base(settings.container_image_uri, settings.platform, site.repository)
                if number == 1:  # the base is brought once for all, and is no part of an environment
                    await opened.push(base, [layer({"covalent/none": b""})], site.repository)
                began = time.perf_counter()
                lock = await asyncio.to_thread(environments.lock, wish(text), target)
                locked = time.perf_counter()
                layers = await asyncio.to_thread(environments.layers, lock)
                made = time.perf_counter()
                task = layer({"covalent/task": str(number).encode()})
                image = await opened.push(base, [*layers, task], site.repository)
                ended = time.perf_counter()
                first = first or image
                rows.append(_row(told, ended - began, locked - began, made - locked, ended - made, image.bytes_pushed))
                if number == 2:
                    began = time.perf_counter()
                    lock = environments.lock(wish(text), target)
                    layers = environments.layers(lock)
                    made = time.perf_counter()
                    task = layer({"covalent/task": b"again"})
                    again = await opened.push(base, [*layers, task], site.repository)
                    ended = time.perf_counter()
                    spent = ended - began, 0.0, made - began, ended - made
                    rows.append(_row("warm, the same process", *spent, again.bytes_pushed))
    assert first
    return rows, first


def _row(told: str, whole: float, lock: float, make: float, push: float, sent: int) -> str:
    return f"| {told} | {whole:.2f} | {lock:.2f} | {make:.2f} | {push:.2f} | {sent / MB:.2f} |"


def by_docker(section: dict[str, Any], registry: str) -> str:
    """`docker build` with `pip install` of the same list, and a push. The base is there."""
    client = docker.from_env(timeout=600)
    auth = login(section)
    base = section["container_image_uri"]
    client.images.pull(base, auth_config=auth)
    tag = f"{registry}/{section['ecr_repo_name']}:environment"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt", folder / "ca.crt")
        words = " ".join(part.strip() for part in LIST.split(","))
        install = f"RUN PIP_CERT=/ca.crt python3 -m pip install --no-cache-dir {words}"
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY ca.crt /ca.crt\n{install}\n")
        began = time.perf_counter()
        client.images.build(path=name, tag=tag, rm=True, nocache=True, network_mode="host")
        built = time.perf_counter()
        for line in client.images.push(tag, auth_config=auth, stream=True, decode=True):
            assert "error" not in line, line
        ended = time.perf_counter()
    client.images.remove(tag, force=True)
    return (
        f"| `docker build` with pip, and push | {ended - began:.2f} | | {built - began:.2f} | {ended - built:.2f} | |"
    )


def imports(section: dict[str, Any], image: PushedImage) -> list[str]:
    """Seconds of the imports in a fresh container, with the layers' byte-code and without."""
    client = docker.from_env(timeout=600)
    client.images.pull(image.uri.partition("@")[0], tag=image.digest, auth_config=login(section))
    rows = []
    for told, options in (("with byte-code", []), ("without", ["-X", "pycache_prefix=/nowhere"])):
        timed = f"import time; t = time.perf_counter(); {IMPORTS}; print(time.perf_counter() - t)"
        command = ["python3", "-B", *options, "-c", timed]
        found = {"PYTHONPATH": "/covalent/env"}
        seconds = [float(client.containers.run(image.uri, command, environment=found, remove=True)) for _ in range(3)]
        rows.append(f"| {told} | {sorted(seconds)[1]:.2f} |")
    return rows


def report(rows: Sequence[str], containers: Sequence[str]) -> str:
    parts = [
        "# What an environment costs, measured",
        "Written by `python -m benchmarks.environment`; don't edit it. Wall clock is only as steady as the machine is "
        "idle. Downloads are from the package index.",
        "\n".join(f"- {fact}" for fact in facts()),
        f"## {LIST}",
        "| | s in all | resolve | download, unpack, compile, pack | push | MB sent |\n|---|---:|---:|---:|---:|---:|\n"
        + "\n".join(rows),
    ]
    if containers:
        parts += [
            f"## `{IMPORTS}` in a fresh container",
            "| | s, median of 3 |\n|---|---:|\n" + "\n".join(containers),
        ]
    return "\n\n".join(parts) + "\n"


async def main() -> None:
    async with LocalAWS() as aws:
        settings = resolve(Given(aws.section(), "by the offline AWS"))
        with tempfile.TemporaryDirectory() as folder:
            rows, image = await ours(settings, Path(folder))
        containers: list[str] = []
        if aws.engine == "docker":
            rows.append(await asyncio.to_thread(by_docker, aws.section(), aws.registry))
            containers = await asyncio.to_thread(imports, aws.section(), image)
        await close_shared()
    REPORT.write_text(report(rows, containers), encoding="utf-8")
    print(REPORT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    asyncio.run(main())
