# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Small whole programs in the form of Lithops' users, each a process of its own whose import alone is changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMPORTS = {
    "import lithops": "import covalent_awsbatch_plugin.lithops_compat as lithops",
    "from lithops.storage import Storage": "from covalent_awsbatch_plugin.lithops_compat import Storage",
}

VERBS = """
import lithops

def hypotenuse(a, b):
    return (a * a + b * b) ** 0.5

def total(results):
    return sum(results)

if __name__ == "__main__":
    fexec = lithops.FunctionExecutor()
    single = fexec.call_async(hypotenuse, (3, 4))
    many = fexec.map(hypotenuse, [(5, 12), {"a": 8, "b": 15}])
    done, late = fexec.wait([single, *many])
    print(len(done), len(late), single.result(), [future.result() for future in many])
    print(fexec.get_result(fexec.map_reduce(hypotenuse, [(6, 8), (9, 12)], total)))
    fexec.clean()
"""

FILES = """
import lithops
from lithops.storage import Storage

def letters(obj):
    return len(obj.data_stream.read())

def keep(text, storage):
    return storage.put_cloudobject(text.upper())

if __name__ == "__main__":
    storage = Storage()
    for name, text in [("one", "ab"), ("two", "cde")]:
        storage.put_object(storage.bucket, f"program/{name}", text)
    with lithops.FunctionExecutor() as fexec:
        fexec.map(letters, f"{storage.bucket}/program/")
        print(sorted(fexec.get_result()))
        kept = fexec.get_result(fexec.map(keep, ["x", "y"]))
        print([fexec.storage.get_cloudobject(each) for each in kept])
        fexec.clean(cs=kept)
    storage.delete_objects(storage.bucket, storage.list_keys(storage.bucket, "program/"))
    print(storage.list_keys(storage.bucket, "program/"))
"""


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (VERBS, "3 0 5.0 [13.0, 17.0]\n25.0\n"),
        (FILES, "[2, 3]\n[b'X', b'Y']\n[]\n"),
    ],
    ids=["verbs", "files"],
)
def test_a_program_runs_when_its_import_is_changed(
    settings: dict[str, Any], tmp_path: Path, program: str, printed: str
) -> None:
    lines = [IMPORTS.get(line, line) for line in program.splitlines()]
    (tmp_path / "program.py").write_text("\n".join(lines))
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    (tmp_path / "covalent.conf").write_text(f"[executors.awsbatch]\n{keys}\n")
    own = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "COVALENT_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
