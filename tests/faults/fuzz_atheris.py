# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One reader under atheris, coverage-guided, for some seconds: `python -m tests.faults.fuzz_atheris NAME SECONDS`.

atheris is in no lock, because it has wheels for some Pythons alone: `pip install atheris` into the environment first.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
from pathlib import Path

from tests.faults.fuzz_targets import TARGETS


def main(name: str, seconds: str) -> None:
    """Fuzz a reader; libFuzzer ends the process, with an exit code that is not 0 where it found something."""
    atheris = importlib.import_module("atheris")
    logging.disable()
    target = TARGETS[name]
    folder = tempfile.mkdtemp(prefix="covalent-awsbatch-atheris-")
    for number, seed in enumerate(target.seeds):
        Path(folder, str(number)).write_bytes(seed)
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=1024", "-max_len=4096"]
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *limits, folder], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
