# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The order of slices in ARCHITECTURE.md: imports go one way, pure files stay pure, each package has its importers.

The tests read the source, so an import inside a function counts as much as one at the top of a file.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "covalent_awsbatch_plugin"
SOURCE = Path(__file__).parent.parent / PACKAGE

# Slices, lowest first. A slice may import the slices of the rows above its own, and itself; never its neighbours.
ROWS = (
    ("runner",),
    ("errors",),
    ("core", "iam"),
    ("images",),
    ("aws", "dependencies"),
    ("settings",),
    ("jobs",),
    ("tasks",),
    ("infra",),
    ("check",),
    ("awsbatch", "pool"),
    ("lithops_compat",),
    ("cli",),
)
ALLOWED = {
    slice_: {below for row in ROWS[:number] for below in row} for number, row in enumerate(ROWS) for slice_ in row
}
ALLOWED |= {
    # the names that a task may import, on the user's machine and in a container; and, where asked for, the pool
    "__init__": {"runner", "pool"},
    "local": {"runner", "errors", "core", "iam", "images"},
}
ALLOWED["cli"] |= {"local"}  # no other slice imports the offline AWS
for slice_ in ALLOWED.keys() - {"runner", "__init__"}:
    ALLOWED[slice_] |= {"__init__"}

# Which slice or file may import a package from outside. The standard library is open to all but the pure files.
OUTSIDE = {
    "covalent": {"awsbatch"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"awsbatch", "settings", "infra"},
    "aioboto3": {"aws/profile.py", "aws/session.py", "local"},
    "aiobotocore": {"aws/profile.py", "aws/session.py", "local"},
    "botocore": {
        "aws/profile.py",
        "aws/session.py",
        "aws/errors.py",
        "aws/s3_fast_get.py",
        "aws/endpoints.py",
        "local",
    },
    "boto3": {"local"},  # of moto, which lists Regions with it
    "aiohttp": {"aws", "images", "local"},
    "yarl": {"aws", "images", "local"},  # the URLs that aiohttp takes and gives
    "docker": {"images/builders/docker_client.py", "images/builders/docker_engine.py", "local"},
    "moto": {"local"},
    "flask": {"local"},
    "werkzeug": {"local"},
    "cloudpickle": {"runner", "dependencies", "tasks", "pool"},
    "joblib": {"pool/joblib_backend.py"},  # its user has it
    "IPython": {"pool/progress.py"},  # a notebook's display
    "obstore": {"runner", "lithops_compat/client_storage.py"},
    "yaml": {"lithops_compat/lithops_config.py"},  # the format of Lithops' configuration
    "aiolimiter": {"core/concurrency.py"},
    "platformdirs": {"core/user_dirs.py"},
    "filelock": {"core/covalent_config.py"},
    "tomlkit": {"core/covalent_config.py", "dependencies/lock.py"},
    "packaging": {"dependencies", "images"},
    "pathspec": {"dependencies/ignore_files.py"},
    "uv": {"core/uv_process.py"},
}

# Pure files give the same answer to the same question at any time and on any machine.
PURE = (
    "errors.py",
    "settings.py",
    "iam.py",
    "core/fargate_sizes.py",
    "core/resource_names.py",
    "core/url_passwords.py",
    "images/reference.py",
    "images/manifest.py",
    "images/layer.py",
    "images/base_facts.py",
    "dependencies/spec.py",
    "dependencies/lock.py",
    "dependencies/references.py",
    "dependencies/script_references.py",
    "dependencies/user_code_rules.py",
    "jobs/definition.py",
    "jobs/description.py",
    "jobs/job_rows.py",
    "jobs/instance_types.py",
    "jobs/resources.py",
    "jobs/attempts.py",
    "jobs/resubmit.py",
    "jobs/outcomes/",
    "check/plan.py",
    "check/record_model.py",
    "check/scrubber.py",
    "infra/checks.py",
    "infra/deployer_policy.py",
    "infra/stack_names.py",
    "infra/stack_settings.py",
    "infra/terraform_errors.py",
    "infra/terraform_files.py",
    "infra/vcpu_quotas.py",
)
IMPURE_MODULES = {
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
    file: str  # the importing file, relative to the package, with slashes
    line: int
    module: str  # dotted and absolute
    relative: bool

    @property
    def short_name(self) -> str:
        return self.module.removeprefix(f"{PACKAGE}.")


def imports(root: Path) -> Iterator[Import]:
    """Yield every import of every file below a folder."""
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        folder = [PACKAGE, *file.split("/")[:-1]]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (Import(file, node.lineno, alias.name, False) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = folder[: len(folder) - node.level + 1] if node.level else []
                base = base + (node.module.split(".") if node.module else [])
                # `from ..jobs import definition` imports jobs.definition if that is a file, else a name of jobs
                for alias in node.names:
                    inner = Path(root, *base[1:], alias.name)
                    is_module = base[0] == PACKAGE and (inner.with_suffix(".py").exists() or inner.is_dir())
                    module = ".".join([*base, alias.name] if is_module else base)
                    yield Import(file, node.lineno, module, node.level > 0)


def slice_of(file: str) -> str:
    """Return the folder or the file directly below the package's root."""
    return file.split("/")[0].removesuffix(".py")


def target(root: Path, module: str) -> str:
    """Return the file or the folder of a module of this package."""
    parts = module.split(".")[1:]
    if not parts:
        return "__init__.py"
    return "/".join(parts) if Path(root, *parts).is_dir() else "/".join(parts) + ".py"


def is_pure(file: str) -> bool:
    return file in PURE or any(folder.endswith("/") and file.startswith(folder) for folder in PURE)


def broken_walls(root: Path) -> list[str]:
    """Return one sentence for each import that is not allowed."""
    checked = ((entry, complaint(root, entry)) for entry in imports(root))
    return [f"{entry.file}:{entry.line} imports {entry.short_name}: {reason}" for entry, reason in checked if reason]


def complaint(root: Path, entry: Import) -> str:
    """Return what is wrong with an import, or an empty text."""
    top, here = entry.module.split(".")[0], slice_of(entry.file)
    if here not in ALLOWED:
        return f"{here} is no slice of this package"
    if top == PACKAGE:
        there = slice_of(target(root, entry.module))
        if not entry.relative:
            return "imports inside the package are relative, because the runner has another name in an image"
        return "" if there in {here, *ALLOWED[here]} else f"{here} may not import {there}"
    if top in sys.stdlib_module_names | {"_typeshed"}:
        return (
            "a pure file has no network, clock, process or chance"
            if is_pure(entry.file) and top in IMPURE_MODULES
            else ""
        )
    if {here, entry.file} & OUTSIDE.get(top, set()):
        return ""
    if top in OUTSIDE:
        return f"{top} may be imported by {', '.join(sorted(OUTSIDE[top]))}"
    return f"{top} has no line in this test yet"


def cycle(root: Path) -> str:
    """Return the files of one cycle of imports, or an empty text."""
    graph: dict[str, set[str]] = {}
    for entry in imports(root):
        if entry.module.split(".")[0] == PACKAGE:
            graph.setdefault(entry.file, set()).add(target(root, entry.module))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def vague_names(root: Path) -> list[str]:
    """Return the files whose names do not say what is in them."""
    names = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    return [path.relative_to(root).as_posix() for path in root.rglob("*.py") if path.name in names]


def repeated_names(root: Path) -> list[str]:
    """Return the file names that stand twice; `errors.py` may, and `cli/` and `local/` may repeat a slice's name."""
    places = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        if path.name not in {"__init__.py", "__main__.py", "errors.py"} and slice_of(file) not in {"cli", "local"}:
            places[path.name].append(file)
    return [" and ".join(files) for files in places.values() if len(files) > 1]


def test_imports_follow_the_order_of_slices() -> None:
    broken = broken_walls(SOURCE)
    assert not broken, "\n".join(broken)


def test_imports_have_no_cycle() -> None:
    assert not cycle(SOURCE), cycle(SOURCE)


def test_pure_files_exist() -> None:
    assert [name for name in PURE if not (SOURCE / name).exists()] == []


def test_file_names_are_no_vague_words() -> None:
    assert vague_names(SOURCE) == []


def test_file_names_stand_once() -> None:
    assert repeated_names(SOURCE) == []


# ---- tests of the checks above: a small package with one mistake in each --------------------------------------------
def package(root: Path, **files: str) -> Path:
    """Write files by name into a folder: `jobs__api` is jobs/api.py."""
    for name in ("tasks", "jobs", "aws", "runner", "local"):
        (root / name).mkdir()
        (root / name / "__init__.py").write_text("")
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


SOUND = {
    "awsbatch": "from covalent.executor.base import AsyncBaseExecutor\nfrom .tasks import client\n",
    "tasks__client": "import asyncio\nfrom ..aws import session\nfrom ..jobs.definition import Name\n",
    "aws__session": "import aioboto3\nfrom ..runner.layout import ROOT\n",
    "jobs__definition": "import json\nName = str\n",
    "runner__layout": "import cloudpickle\nROOT = ''\n",
    "local__batch": "import moto\nfrom ..runner import layout\n",
}


def test_sound_package_has_no_complaint(tmp_path: Path) -> None:
    root = package(tmp_path, **SOUND)
    assert broken_walls(root) == []
    assert cycle(root) == ""
    assert repeated_names(root) == []


RELATIVE = "imports inside the package are relative, because the runner has another name in an image"
BOTOCORE = "aws/endpoints.py, aws/errors.py, aws/profile.py, aws/s3_fast_get.py, aws/session.py, local"
BROKEN = [
    ("aws__ecr", "from ..jobs import definition", "1 imports jobs.definition: aws may not import jobs"),
    ("jobs__api", "if 1:\n    from .. import awsbatch", "2 imports awsbatch: jobs may not import awsbatch"),
    ("aws__ecr", "from ..dependencies import x", "1 imports dependencies: aws may not import dependencies"),
    ("tasks__client", "from ..local.batch import x", "1 imports local.batch: tasks may not import local"),
    ("local__batch", "from ..tasks import client", "1 imports tasks.client: local may not import tasks"),
    ("runner__task", f"from {PACKAGE}.runner import layout", f"1 imports runner.layout: {RELATIVE}"),
    ("runner__task", "import aiohttp", "1 imports aiohttp: aiohttp may be imported by aws, images, local"),
    ("tasks__client", "import botocore.config", f"1 imports botocore.config: botocore may be imported by {BOTOCORE}"),
    ("jobs__api", "import pandas", "1 imports pandas: pandas has no line in this test yet"),
    ("jobs__definition", "import time", "1 imports time: a pure file has no network, clock, process or chance"),
    (
        "jobs__outcomes__causes",
        "import random",
        "1 imports random: a pure file has no network, clock, process or chance",
    ),
    ("oddments", "import json", "1 imports json: oddments is no slice of this package"),
]


@pytest.mark.parametrize(("name", "text", "sentence"), BROKEN)
def test_broken_wall_is_named(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    file = name.replace("__", "/") + ".py"
    assert broken_walls(package(tmp_path, **SOUND | {name: text})) == [f"{file}:{sentence}"]


def test_cycle_is_named(tmp_path: Path) -> None:
    root = package(tmp_path, aws__a="from . import b", aws__b="from .c import x", aws__c="from .a import y")
    assert broken_walls(root) == []
    assert set(cycle(root).split(" -> ")) == {"aws/a.py", "aws/b.py", "aws/c.py"}


def test_vague_name_is_named(tmp_path: Path) -> None:
    assert vague_names(package(tmp_path, aws__utils="")) == ["aws/utils.py"]


def test_repeated_name_is_named(tmp_path: Path) -> None:
    root = package(tmp_path, aws__names="", jobs__names="", local__names="", aws__errors="", jobs__errors="")
    assert repeated_names(root) == ["aws/names.py and jobs/names.py"]


def test_only_the_doors_know_covalents_config_section() -> None:
    """Errors of the lower slices name settings; `settings.place_of` says where they are set, at the doors."""
    lower = {slice_ for row in ROWS[: ROWS.index(("infra",))] for slice_ in row} - {"settings"}
    knowing = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0].removesuffix(".py") in lower
        and "executors.awsbatch" in path.read_text(encoding="utf-8")
    ]
    assert knowing == ["core/covalent_config.py"]
