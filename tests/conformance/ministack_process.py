# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""MiniStack as a process on this machine, with IAM enforced. `make ministack` installs it apart from this project.

https://github.com/ministackorg/ministack, MIT license. Its versions are pinned in locks/ministack.txt.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from covalent_awsbatch_plugin.local.provision import ACCOUNT

PYTHON = Path(__file__).parents[2] / ".venv-ministack" / "bin" / "python"
REGION = "us-east-1"
STARTS_WITHIN_S = 60


@asynccontextmanager
async def ministack(folder: Path, root_key: str) -> AsyncIterator[str]:
    """Run MiniStack with its files in `folder`; yield its URL. `root_key` is the account root's access key id."""
    port = _free_port()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "AUTH": "true",
        "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING",
        "AWS_ACCESS_KEY_ID": root_key, "MINISTACK_ACCOUNT_ID": ACCOUNT, "MINISTACK_REGION": REGION,
        "DOCKER_HOST": "unix:///nowhere",
    }  # fmt: skip
    with (folder / "ministack.log").open("wb") as log:
        command = [str(PYTHON), "-m", "ministack"]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        await _answers(url, process, folder / "ministack.log")
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(STARTS_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            assert process.poll() is None, log.read_text(errors="replace")
            try:
                async with session.get(f"{url}/_ministack/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
