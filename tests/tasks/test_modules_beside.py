# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A module beside the script that is not sent with a task: the user is told before the job starts."""

from __future__ import annotations

import sys
from pathlib import Path

import cloudpickle
import pytest

from covalent_awsbatch_plugin.tasks.modules_beside import modules_beside, warn_of_modules

SOURCE = "import helper_mod\ndef task(): return helper_mod.factor\ndef plain(): return 'helper_mod'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "helper_mod.py").write_text("factor = 2\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "helper_mod", raising=False)
    return tmp_path


def pickled(name: str) -> bytes:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(SOURCE, "script.py", "exec"), names)
    data: bytes = cloudpickle.dumps(names[name])
    return data


def test_a_module_is_beside_where_a_pickle_refers_to_it(folder: Path) -> None:
    folders = (str(folder), "/not/on/this/machine")
    assert modules_beside([pickled("task")], folders) == {"helper_mod": str(folder)}
    assert modules_beside([pickled("plain")], folders) == {}  # its name alone
    assert modules_beside([pickled("task")], ()) == {}


@pytest.mark.parametrize(
    ("environment", "warned"), [("", 1), ("numpy", 1), ("auto", 0), ("{}/", 0), ("/elsewhere/", 1)]
)
def test_the_user_is_told_once_where_a_module_is_not_sent(
    folder: Path, caplog: pytest.LogCaptureFixture, environment: str, warned: int
) -> None:
    for _ in range(2):
        warn_of_modules("task", {"helper_mod": str(folder)}, environment.format(folder))
    assert caplog.text.count(f"refers to the module helper_mod in {folder}, which is not sent") == warned
    assert caplog.text.count("environment='auto' sends it") == warned
