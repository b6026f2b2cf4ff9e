# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The extra `local`: without it, the offline AWS names the command that installs it, and all else works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COMMAND = "pip install 'covalent-awsbatch-plugin[local]'"
EXTRA = ("moto", "flask", "flask_cors")
# None in sys.modules: Python finds no such module, whoever looks for it
PROGRAM = """
import runpy, sys
missing, run, sys.argv = sys.argv[1].split(","), sys.argv[2], sys.argv[2:]
sys.modules.update(dict.fromkeys(missing))
run = runpy.run_path if run.endswith(".py") else runpy.run_module
run(sys.argv[0], run_name="__main__")
"""
IMPORT_ALL = """
import pkgutil
import covalent_awsbatch_plugin as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.startswith(package.__name__ + ".local") and not module.name.endswith("__main__"):
        __import__(module.name)
        print(module.name)
"""


def run_without(missing: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module or a script, with its arguments, in a Python that has none of the `missing` modules."""
    command = [sys.executable, "-c", PROGRAM, ",".join(missing), *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "examples")))}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("missing", ["moto", "flask_cors"])
def test_local_up_without_a_module_of_the_extra_names_the_command(missing: str) -> None:
    run = run_without((missing,), "covalent_awsbatch_plugin.cli", "local", "up")
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr == f"Error: The offline AWS needs the extra `local`: {COMMAND}\n"


def test_demo_without_the_extra_names_the_command() -> None:
    run = run_without(EXTRA, str(PROJECT / "examples" / "demo.py"))
    assert run.returncode == 1
    assert run.stderr == f"\nThe offline AWS needs the extra `local`: {COMMAND}\n"


@pytest.mark.parametrize(("command", "code"), [("status", 1), ("down", 0)])
def test_local_status_and_down_work_without_the_extra(command: str, code: int) -> None:
    run = run_without(EXTRA, "covalent_awsbatch_plugin.cli", "local", command)
    assert (run.returncode, run.stderr) == (code, "")
    assert run.stdout.startswith("No offline AWS `default` is running")


def test_every_module_outside_local_imports_without_the_extra(tmp_path: Path) -> None:
    program = tmp_path / "import_all.py"
    program.write_text(IMPORT_ALL)
    run = run_without(EXTRA, str(program))
    assert run.returncode == 0, run.stderr
    assert "covalent_awsbatch_plugin.awsbatch" in run.stdout.split()
    assert "covalent_awsbatch_plugin.cli.local" in run.stdout.split()
