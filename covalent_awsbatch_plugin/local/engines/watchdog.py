# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A process that ends the jobs of an offline AWS that was killed and could not end them itself.

`python -m covalent_awsbatch_plugin.local.engines.watchdog ENGINE FOLDER` waits for the end of its standard input, which
the offline AWS holds open.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import choice

ENDED_WELL = b"ended"


@contextlib.contextmanager
def watchdog(engine: str, folder: Path) -> Iterator[None]:
    """End the jobs that an earlier offline AWS in this folder left, and watch over those of this one."""
    choice.end_jobs(engine, folder)
    command = [sys.executable, "-m", __name__, engine, str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate(ENDED_WELL)
        process.wait()


def main(engine: str, folder: str) -> None:
    """Wait, and end the jobs unless the offline AWS ended well."""
    if sys.stdin.buffer.read() != ENDED_WELL:
        choice.end_jobs(engine, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
