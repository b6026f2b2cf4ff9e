# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`env show --environment auto script.py` tells the environment that the script's tasks get, no bigger one."""

from __future__ import annotations

import io
from pathlib import Path

import cloudpickle
import pytest

from covalent_awsbatch_plugin.dependencies.references import of_pickle
from covalent_awsbatch_plugin.dependencies.script_references import of_script

HEAD = "import covalent as ct\nimport networkx as nx\nfrom yaml import safe_load\nimport requests\n"
SCRIPTS = {
    "a module that the electron does not use": "@ct.electron\ndef task(): return nx.Graph()\n",
    "an import inside": "@ct.electron(executor='x')\ndef task():\n import toml\n return safe_load('1')\n",
    "a helper": "def helper(): return requests.get\n@ct.electron\ndef task(): return helper()\n",
    "a value": "limit = nx.Graph()\n@ct.electron\ndef task(): return limit\n",
    "a default and an annotation": "@ct.electron\ndef task(x: nx.Graph = None, y=safe_load): return x\n",
    "a lattice beside it": "@ct.electron\ndef task(): return 1\n@ct.lattice\ndef flow(): return requests\n",
    "no electron": "def task(): return nx.Graph()\n",
    "covalent in the function": "@ct.electron\ndef task(): return ct.get_context()\n",
    "a branch": "try:\n import psutil as p\nexcept ImportError:\n p = None\n@ct.electron\ndef task(): return p\n",
}


@pytest.mark.parametrize("body", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_refers_to_what_its_tasks_pickle_refers_to(body: str) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(HEAD + body, "script.py", "exec", dont_inherit=True), names)
    electron = names["task"]
    function = getattr(electron, "electron_object", electron)
    pickled = cloudpickle.dumps(getattr(function, "function", function))
    assert of_script(HEAD + body).modules == of_pickle(io.BytesIO(pickled)).modules


def test_texts_of_annotations_refer_to_nothing_and_a_broken_script_to_nothing_known() -> None:
    text = f"from __future__ import annotations\n{HEAD}\n@ct.electron\ndef task(x: nx.Graph): return x\n"
    assert of_script(text).modules == set()
    assert of_script("def").whole is False
    assert of_script(Path(__file__).read_text()).whole
