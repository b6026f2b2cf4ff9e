# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The folders of the user's own modules, as the process that pickles a function imports them."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.dependencies.import_folders import import_folders


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_own_folders_are_in_import_order_without_the_librarys_and_installers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, tools = made(tmp_path / "project"), made(tmp_path / "tools")
    site = made(tmp_path / "env" / "lib" / "site-packages")
    missing, archive = tmp_path / "missing", tmp_path / "python.zip"
    archive.touch()
    library = sysconfig.get_path("stdlib")
    paths = [tools, project, site, missing, archive, library, f"{library}/lib-dynload", sysconfig.get_path("purelib")]
    monkeypatch.setattr(sys, "path", [*map(str, paths), str(tools)])

    assert import_folders() == [str(tools), str(project)]


def test_an_empty_entry_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [""])

    assert import_folders() == [str(tmp_path)]


def test_the_folder_of_a_functions_source_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, script = made(tmp_path / "here"), tmp_path / "script.py"
    script.write_text("def task(): pass\n")
    names: dict[str, Any] = {}
    exec(compile(script.read_text(), str(script), "exec"), names)
    monkeypatch.setattr(sys, "path", [str(here)])

    assert import_folders(functools.partial(names["task"])) == [str(here), str(tmp_path)]


def test_a_scripts_own_folder_is_the_first(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    module = "covalent_awsbatch_plugin.dependencies.import_folders"
    script.write_text(f"import json\nfrom {module} import import_folders\nprint(json.dumps(import_folders()))\n")
    client = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd="/")

    assert json.loads(client.stdout)[0] == str(tmp_path)
