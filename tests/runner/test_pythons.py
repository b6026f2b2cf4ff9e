# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The runner under every Python that is here: the one of this environment without its packages, and other minors."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import Container, OutputOf

MINORS = ("3.11", "3.12", "3.13")


def pythons() -> list[str]:
    """Interpreters that no environment was made of, one of each minor: on the PATH, or where pyenv keeps them."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    found = {"{}.{}".format(*sys.version_info): str(getattr(sys, "_base_executable", sys.executable))}
    for minor in MINORS:
        kept = sorted(glob.glob(f"{home}/.pyenv/versions/{minor}.*/bin/python{minor}"))
        for candidate in (*kept, shutil.which(f"python{minor}")):
            if candidate and answers(candidate, minor):
                found.setdefault(minor, candidate)
    return list(found.values())


def answers(python: str, minor: str) -> bool:
    said = subprocess.run([python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False)
    return said.stdout.startswith(minor)


PACK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import cloudpickle
exec(sys.argv[3], globals())
Path(sys.argv[2]).write_bytes(cloudpickle.dumps(task))
print(sys.version.split()[0])
"""


def packed(container: Container, python: str, source: str) -> bytes:
    """The pickle of the function `task` in `source`, made by that Python with the runner's own cloudpickle."""
    runner, out = container.root / layout.RUNNER_DIR, container.root / "packed"
    command = [python, "-s", "-c", PACK, str(runner), str(out), source]
    container.pickled_by = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return out.read_bytes()


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_a_bare_python_is_enough(container: Container, python: str) -> None:
    container.python = python
    look = "import sys\ndef task(x, y): print('hello'); return [x + y, sys.version_info[:2], 'covalent' in sys.modules]"
    container.add(packed(container, python, look), 1, y=2)
    container.add(packed(container, python, "def task(x): raise ValueError(x[0])"), OutputOf(0))
    container.add(packed(container, python, "def task(): import os; os.kill(os.getpid(), 11)"))
    ran = container.run()
    value, minor, covalent = ran.value(0)
    assert (value, covalent) == (3, False)
    assert "{}.{}".format(*minor) in MINORS
    assert ran.text(envelope.STDOUT, 0) == "hello\n"
    assert ran.text(envelope.ERROR, 1).endswith("ValueError: 3\n")
    assert ran.ended(2) == (envelope.KILLED, 139, 11)
    assert ran.envelope.python.startswith("{}.{}.".format(*minor))


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_covalents_absence_is_explained(container: Container, python: str) -> None:
    container.python = python
    container.add(packed(container, python, "def task(): import covalent"), name="asks")
    error = container.run().text(envelope.ERROR)
    assert "No module named 'covalent'" in error
    assert "Node 0 ('asks') needs Covalent itself" in error
