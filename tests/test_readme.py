# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The README says what the code says: its settings are today's, its program is one, its commands are there."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_settings_is_made_from_the_settings() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "settings_table.py"))["with_table"](README)
    assert made == README, "run `python tools/settings_table.py`"


def test_the_programs_in_it_are_python() -> None:
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert programs
    for program in programs:
        ast.parse(program)


def test_the_commands_in_it_exist() -> None:
    for line in re.findall(r"^ {4}covalent-awsbatch ([a-z ]+?)(?: --| {2}|$)", README, re.MULTILINE):
        words = line.split()
        command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", *words, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"{' '.join(words)} [OPTIONS]" in done.stdout


def test_the_targets_of_make_in_it_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^ {4}make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_every_page_it_leads_to_is_there() -> None:
    pages = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [page for page in pages if not (ROOT / page).exists()] == []
