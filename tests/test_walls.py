# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The walls of ARCHITECTURE.md: imports only go down, and each outside package comes in by its own door.

Reads the source, so an import inside a function counts as much as one at the top.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "covalent_awsbatch_plugin"
SOURCE = Path(__file__).parent.parent / PACKAGE

# Who may import whom, inside: itself, and what is named here. The first three are the package's root.
BELOW = {
    "awsbatch": {"story", "hands", "thought", "ground", "__init__"},
    "cli": {"awsbatch", "story", "hands", "thought", "ground", "local", "__init__"},
    "__init__": {"ground"},  # what tasks may import, here and in a container
    "story": {"hands", "thought", "ground", "__init__"},
    "hands": {"thought", "ground", "__init__"},
    "thought": {"ground", "__init__"},
    "ground": set(),
    "local": {"hands", "thought", "ground", "__init__"},
}
# Who may import what from outside: a floor, or one file of it. The standard library is everyone's, with one exception.
OUTSIDE = {
    "covalent": {"awsbatch"},
    "click": {"cli"},
    "pydantic": {"awsbatch", "thought"},
    "aioboto3": {"hands/aws/session.py", "local"},
    "aiobotocore": {"hands/aws/session.py", "local"},
    "botocore": {"hands/aws/session.py", "hands/aws/errors.py", "hands/aws/quick_get.py", "local"},
    "aiohttp": {"hands", "local"},
    "yarl": {"hands", "local"},  # the URLs that aiohttp takes and gives
    "docker": {"hands/image/docker_client.py", "hands/image/engine.py", "local"},
    "moto": {"local"},
    "flask": {"local"},
    "werkzeug": {"local"},
    "cloudpickle": {"ground", "hands"},
    "obstore": {"ground", "hands"},
    "aiolimiter": {"hands/pace.py"},
    "filelock": {"hands/config_file.py"},
    "tomlkit": {"hands/config_file.py"},
    "packaging": {"hands", "thought"},
    "uv": {"hands/environment/uv.py"},
}
# Thought has no network and no clock: the same question has the same answer, now and later, here and there.
NOT_IN_THOUGHT = {
    "asyncio",
    "http",
    "random",
    "secrets",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}


class Import(NamedTuple):
    file: str  # of the importer, relative to the package, with slashes
    line: int
    module: str  # dotted, absolute
    relative: bool

    @property
    def short_name(self) -> str:
        return self.module.removeprefix(f"{PACKAGE}.")


def imports(root: Path) -> Iterator[Import]:
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        folder = [PACKAGE, *file.split("/")[:-1]]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (Import(file, node.lineno, alias.name, False) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = folder[: len(folder) - node.level + 1] if node.level else []
                base = base + (node.module.split(".") if node.module else [])
                # `from ..thought import errors` imports thought.errors where that is a file, else a name of thought
                for alias in node.names:
                    inner = Path(root, *base[1:], alias.name)
                    is_module = base[0] == PACKAGE and (inner.with_suffix(".py").exists() or inner.is_dir())
                    yield Import(
                        file, node.lineno, ".".join([*base, alias.name] if is_module else base), node.level > 0
                    )


def floor(file: str) -> str:
    """A folder, or a file of the root: a door may be either."""
    return file.split("/")[0].removesuffix(".py")


def target(root: Path, module: str) -> str:
    """The file or package folder that a module of ours is."""
    parts = module.split(".")[1:]
    if not parts:
        return "__init__.py"
    return "/".join(parts) if Path(root, *parts).is_dir() else "/".join(parts) + ".py"


def broken_walls(root: Path) -> list[str]:
    """One sentence for each import that should not be."""
    checked = ((found, wrong(root, found)) for found in imports(root))
    return [f"{found.file}:{found.line} imports {found.short_name}: {why}" for found, why in checked if why]


def wrong(root: Path, found: Import) -> str:
    top, here = found.module.split(".")[0], floor(found.file)
    if here not in BELOW:
        return f"{here} is no floor of the house"
    if top == PACKAGE:
        there = floor(target(root, found.module))
        if not found.relative:
            return "inside the package imports are relative, so that the runner can travel under another name"
        return "" if there in {here, *BELOW[here]} else f"{here} may not know of {there}"
    if top in sys.stdlib_module_names | {"_typeshed"}:
        return "thought has no network, no clock and no chance" if here == "thought" and top in NOT_IN_THOUGHT else ""
    if {here, found.file} & OUTSIDE.get(top, set()):
        return ""
    return (
        f"{top} belongs to {', '.join(sorted(OUTSIDE[top]))}"
        if top in OUTSIDE
        else f"{top} has no place in this test yet"
    )


def circle(root: Path) -> str:
    """The files of one circle of imports, or nothing."""
    graph: dict[str, set[str]] = {}
    for found in imports(root):
        if found.module.split(".")[0] == PACKAGE:
            graph.setdefault(found.file, set()).add(target(root, found.module))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def files_for_everything(root: Path) -> list[str]:
    names = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    return [path.relative_to(root).as_posix() for path in root.rglob("*.py") if path.name in names]


def test_imports_only_go_down_and_outside_packages_come_in_by_their_own_door() -> None:
    broken = broken_walls(SOURCE)
    assert not broken, "\n".join(broken)


def test_no_circles() -> None:
    assert not circle(SOURCE), circle(SOURCE)


def test_every_file_says_what_it_is_for() -> None:
    assert files_for_everything(SOURCE) == []


# ---- the test's own test: a small house with one broken wall each ---------------------------------------------------
def house(root: Path, **files: str) -> Path:
    """Files by name, `hands__batch` for hands/batch.py."""
    for name in ("story", "hands", "thought", "ground", "local"):
        (root / name).mkdir()
        (root / name / "__init__.py").write_text("")
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


SOUND = {
    "awsbatch": "from covalent.executor.base import AsyncBaseExecutor\nfrom .story import task\n",
    "story__task": "import asyncio\nfrom ..hands import aws\nfrom ..thought.jobs import Job\n",
    "hands__aws__session": "import aioboto3\nfrom ...ground.layout import ROOT\n",
    "thought__jobs": "import json\nJob = dict\n",
    "ground__layout": "import cloudpickle\nROOT = ''\n",
    "local__batch": "import moto\nfrom ..hands import aws\n",
}


def test_a_sound_house_has_no_broken_wall(tmp_path: Path) -> None:
    root = house(tmp_path, **SOUND)
    assert broken_walls(root) == []
    assert circle(root) == ""


RELATIVE = "inside the package imports are relative, so that the runner can travel under another name"
BOTOCORES = "hands/aws/errors.py, hands/aws/quick_get.py, hands/aws/session.py, local"
BROKEN = [
    ("thought__jobs", "from ..hands import aws", "1 imports hands.aws: thought may not know of hands"),
    ("hands__batch", "if 1:\n    from .. import awsbatch", "2 imports awsbatch: hands may not know of awsbatch"),
    ("story__task", "from ..local.batch import x", "1 imports local.batch: story may not know of local"),
    ("local__batch", "from ..story import task", "1 imports story.task: local may not know of story"),
    ("ground__task", f"from {PACKAGE}.ground import layout", f"1 imports ground.layout: {RELATIVE}"),
    ("ground__task", "import aiohttp", "1 imports aiohttp: aiohttp belongs to hands, local"),
    ("story__task", "import botocore.config", f"1 imports botocore.config: botocore belongs to {BOTOCORES}"),
    ("hands__batch", "import pandas", "1 imports pandas: pandas has no place in this test yet"),
    ("thought__jobs", "import time", "1 imports time: thought has no network, no clock and no chance"),
    ("oddments", "import json", "1 imports json: oddments is no floor of the house"),
]


@pytest.mark.parametrize(("name", "text", "sentence"), BROKEN)
def test_a_broken_wall_is_named(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    file = name.replace("__", "/") + ".py"
    assert broken_walls(house(tmp_path, **SOUND | {name: text})) == [f"{file}:{sentence}"]


def test_a_circle_is_named(tmp_path: Path) -> None:
    root = house(tmp_path, hands__a="from . import b", hands__b="from .c import x", hands__c="from .a import y")
    assert broken_walls(root) == []
    assert set(circle(root).split(" -> ")) == {"hands/a.py", "hands/b.py", "hands/c.py"}


def test_a_file_for_everything_is_named(tmp_path: Path) -> None:
    assert files_for_everything(house(tmp_path, hands__utils="")) == ["hands/utils.py"]
