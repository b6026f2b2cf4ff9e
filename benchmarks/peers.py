# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Who is measured: this plugin and two others, each a process of its own in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .machine import ROOT

CLIENTS = Path(__file__).parent / "clients"
CACHE = ROOT / ".cache" / "bench"
TIMEOUT_S = 1200


@dataclass(frozen=True)
class Client:
    """`requirements` empty: the environment of this process."""

    name: str
    script: str
    requirements: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return CACHE / self.script.removesuffix(".py")

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python") if self.requirements else sys.executable

    def install(self) -> None:
        """With pip, once: the folder is kept."""
        done = self.folder / "installed"
        if not self.requirements or (done.exists() and done.read_text() == " ".join(self.requirements)):
            return
        venv.create(self.folder, clear=True, with_pip=True)
        subprocess.run([self.python, "-m", "pip", "install", "--quiet", *self.requirements], check=True)
        done.write_text(" ".join(self.requirements))


OURS = Client("this plugin", "ours.py")
OLD = Client("covalent-awsbatch-plugin 0.42.0", "old_plugin.py", ("covalent-awsbatch-plugin==0.42.0",))
LITHOPS = Client("lithops 3.8.0", "lithops_client.py", ("lithops[aws]==3.8.0",))


@dataclass(frozen=True)
class Run:
    """What one process used to run `n` tasks, after a warm-up. `calls`: requests that the offline AWS saw."""

    n: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    calls: dict[str, int]

    @property
    def cpu_ms(self) -> float:
        """A task."""
        return self.cpu_s * 1000 / self.n

    def operations(self) -> dict[str, int]:
        """AWS's own: the registry's blobs and reads are no API calls of AWS's quotas, but its PutImage is."""
        return {name: count for name, count in self.calls.items() if " " not in name}

    def bytes_in(self) -> int:
        """That were pushed or put."""
        sent = ("bytes ecr:", "bytes s3:Put", "bytes s3:UploadPart")
        return sum(count for name, count in self.calls.items() if name.startswith(sent))

    def refused(self) -> int:
        return sum(count for name, count in self.calls.items() if name.startswith("refused "))


async def run(client: Client, n: int, told: dict[str, Any], warm: int = 1) -> Run:
    """One process that runs `n` tasks at once, in a folder without earlier ones' files. Raises RuntimeError."""
    home = CACHE / "homes" / client.script.removesuffix(".py")
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home, ignore_cleanup_errors=True) as folder:
        return await _run(client, n, {**told, "n": n, "warm": warm, "cache_dir": folder}, home)


async def _run(client: Client, n: int, told: dict[str, Any], home: Path) -> Run:
    process = await asyncio.create_subprocess_exec(
        client.python,
        str(CLIENTS / client.script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(client, home),
    )
    body = json.dumps(told).encode()
    try:
        printed, errors = await asyncio.wait_for(process.communicate(body), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        raise RuntimeError(f"{client.name} did not end within {TIMEOUT_S} s with {n} tasks") from None
    if process.returncode:
        raise RuntimeError(f"{client.name} failed with {n} tasks:\n{errors.decode(errors='replace')[-4000:]}")
    return Run(n, **json.loads(printed.splitlines()[-1]))


def _environment(client: Client, home: Path) -> dict[str, str]:
    """Nothing of ours but where programs lie: a home of its own, for Covalent writes to it."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    if not client.requirements:
        kept["PYTHONPATH"] = str(ROOT)
    return kept | {"HOME": str(home), "NO_PROXY": "127.0.0.1", "COVALENT_CONFIG_DIR": str(home / "config")}
