# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line in a process of its own: with pipes, or on a terminal of a given width."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.tasks.small_world import World

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "covalent_awsbatch_plugin.cli")
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def environment(world: World | None, **more: str) -> dict[str, str]:
    """Return the variables of a user whose config section leads to the offline AWS, or who has none."""
    folder = Path(os.environ["HOME"]) / "config-of-nobody"
    if world is not None:
        folder = world.folder / "config"
        folder.mkdir(exist_ok=True)
        lines = [f"{name} = {json.dumps(value)}" for name, value in world.aws.section().items()]
        (folder / "covalent.conf").write_text("\n".join(["[executors.awsbatch]", *lines, ""]))
    return os.environ | {"COVALENT_CONFIG_DIR": str(folder)} | more


def run(world: World | None, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with pipes."""
    variables = environment(world, **variables)
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, cwd=ROOT, env=variables, check=False, timeout=120
    )


def on_terminal(world: World | None, *words: str, columns: int = 80, keys: str = "", **variables: str) -> str:
    """Return what a terminal of this width shows of a command, with its colours; `keys` are typed at once."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = environment(world, TERM="xterm-256color", **variables)
    for name in ("COLUMNS", "LINES"):  # which pytest-xdist sets, and which would win over the terminal's size
        variables.pop(name, None)
    with subprocess.Popen(
        [*COMMAND, *words], stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT, env=variables
    ) as process:
        os.close(terminal)
        if keys:
            os.write(controller, keys.encode())
        data = b""
        while chunk := _read(controller):
            data += chunk
        process.wait(60)
    os.close(controller)
    return data.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    """Return the next output; b"" once every process has closed the terminal, which Linux tells as an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def plain(text: str) -> str:
    """Return a text without colours."""
    return COLOR.sub("", text)
