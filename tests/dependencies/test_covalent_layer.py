# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent on its way to a base image without it: as a layer of its own, where a pickle refers to it and only there."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.dependencies.covalent_layer import fits
from covalent_awsbatch_plugin.dependencies.lock import Target
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.references import References
from covalent_awsbatch_plugin.dependencies.spec import EnvironmentSpec
from covalent_awsbatch_plugin.tasks import resolved_dependencies
from covalent_awsbatch_plugin.tasks.packing import pack
from covalent_awsbatch_plugin.tasks.resolved_dependencies import resolve
from tests.dependencies.index import Index
from tests.dependencies.test_base_image import MINOR, based, linux
from tests.dependencies.test_whole_way import script
from tests.tasks.small_world import World

VERSION = metadata.version("covalent")

# As a workflow's script: the global name is pickled as a reference to the module.
USES = "import covalent as ct\ndef task():\n return ct.__version__, ct.__file__\n"
USES_INSIDE = "def task():\n import covalent\n return covalent.__version__, covalent.__file__\n"
# Its name alone, as in the paths of many users, is no reference.
NAMES = "def task():\n import importlib.util\n return importlib.util.find_spec('covalent')\n"


async def test_covalent_is_there_where_a_pickle_refers_to_it(
    world: World, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resolved_dependencies._say_once.cache_clear()
    for _ in range(2):
        version, file = await world.value(world.settings(), script(tmp_path, USES))
        assert version == VERSION and file.endswith("/covalent/sdk/covalent/__init__.py")
    assert index.asked == []
    assert caplog.text.count(f"covalent=={VERSION} travels as a layer of its own") == 1


async def test_covalent_is_not_sent_where_no_pickle_refers_to_it(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "covalent"
    folder.mkdir()
    assert await world.value(world.settings(), script(folder, NAMES)) is None


async def test_a_base_image_with_covalent_keeps_its_own(world: World, tmp_path: Path) -> None:
    own = {"usr/lib/python3/dist-packages/covalent/__init__.py": b"__version__ = '9.9'\n"}
    files = linux(MINOR, covalent="9.9") | own
    settings = await based(world, files, "with-covalent")
    version, file = await world.value(settings, script(tmp_path, USES))
    assert version == "9.9" and "/covalent/sdk/" not in file


async def test_auto_sends_covalent_as_its_layer_and_asks_no_index(world: World, index: Index, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import covalent\nversion = covalent.__version__\n")
    task = script(tmp_path, "def task():\n import beside\n return beside.version\n")
    assert await world.value(world.settings(environment="auto"), task) == VERSION
    assert index.asked == []


def test_the_calls_and_arguments_of_an_electron_count_too(world: World, tmp_path: Path) -> None:
    import covalent as ct

    def needs(*args: object, source: str = "def task(x): return x\n") -> bool:
        return pack(world.stage(script(tmp_path, source), *args), 1000, lambda _: b"").needs_covalent

    assert needs(source=USES_INSIDE)
    transfer = ct.fs.TransferFromRemote("s3://bucket/key", "/tmp/file", strategy=ct.fs_strategies.S3())
    assert needs(transfer.cp())  # a function of Covalent's, by value, that imports boto3
    items = ct.lattice(lambda: ct.electron(lambda x: x)([1, 2]))
    items.build_graph()
    functions = {node["name"]: node["function"] for _, node in items.transport_graph._graph.nodes(data=True)}
    (collect,) = (function for name, function in functions.items() if name.startswith(":electron_list:"))
    assert not needs(collect.get_deserialized())  # one that imports nothing
    plain, referring, big = "covalent", ct.fs.File("a"), [ct.fs.File("b"), b"x" * 5000]
    assert [needs(plain), needs(referring), needs(big)] == [False, True, True]


def test_another_platform_gets_covalent_from_the_index(index: Index, environments: Environments) -> None:
    index.add("covalent", VERSION, needs=["tiny"])
    index.add("tiny")
    target = Target("linux/arm64", MINOR)
    assert not fits(target) and not fits(Target("linux/amd64", "3.99"))
    dependencies = resolve(environments, EnvironmentSpec(), target, References(), covalent=True)
    assert [package.name for package in dependencies.lock.packages] == ["covalent", "tiny"]
    assert not dependencies.covalent


def test_an_environment_with_covalent_in_it_needs_no_second_one(index: Index, environments: Environments) -> None:
    index.add("covalent", VERSION)
    spec, target = EnvironmentSpec((f"covalent=={VERSION}",)), Target("linux/amd64", MINOR)
    assert not resolve(environments, spec, target, References(), covalent=True).covalent
    assert resolve(environments, EnvironmentSpec(), target, References(), covalent=True).covalent
