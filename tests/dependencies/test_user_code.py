# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The user's own code on its whole way: editable installs, local packages, modules beside a script, folders."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from tests.dependencies.index import Index, write_package
from tests.dependencies.test_whole_way import script
from tests.tasks.small_world import World


def installed(site: Path, project: Path, name: str, *, editable: bool) -> Path:
    """A site-packages folder in which that project is installed, as an installer notes it (PEP 610)."""
    about = site / f"{name}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    told = {"url": project.as_uri(), "dir_info": {"editable": editable}}
    (about / "direct_url.json").write_text(json.dumps(told))
    if editable:
        (site / f"{name}.pth").write_text(f"{project}\n")
    (about / "top_level.txt").write_text("" if editable else f"{name}\n")
    return site


@pytest.mark.parametrize("editable", [True, False])
async def test_auto_brings_a_local_install_as_it_lies_here_and_what_it_needs(
    world: World,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    editable: bool,
) -> None:
    index.add("tiny")
    project = write_package(tmp_path / "project", "mine", ["tiny"], "import tiny\nanswer = tiny.version\n")
    site = installed(tmp_path / "site", project, "mine", editable=editable)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    task = script(tmp_path, "def task():\n import mine\n return mine.answer, mine.__file__\n")

    with caplog.at_level(logging.INFO):
        answer, file = await world.value(world.settings(environment="auto"), task)
        assert answer == "1.0" and file.endswith("/covalent/code/mine/__init__.py")
        assert f"local packages {project}" in caplog.text

        (project / "mine" / "__init__.py").write_text("answer = 'edited'\n")
        index.asked.clear()
        answer, _ = await world.value(world.settings(environment="auto"), task)
    assert answer == "edited" and index.asked == []  # the environment itself was not made anew


async def test_a_local_package_is_built_as_a_wheel_and_its_metadata_comes_along(
    world: World, index: Index, tmp_path: Path
) -> None:
    index.add("tiny")
    project = write_package(tmp_path / "project", "mine", ["tiny"], "import tiny\n")
    source = "def task():\n import mine\n from importlib import metadata\n return metadata.version('mine')\n"
    assert await world.value(world.settings(environment=f"{project}/"), script(tmp_path, source)) == "0.1"


async def test_a_folder_of_modules_and_their_data_comes_along(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_text("")
    (folder / "helpers" / "table.csv").write_text("1,2\n")
    source = (
        "def task():\n from importlib.resources import files\n"
        " return files('helpers').joinpath('table.csv').read_text()\n"
    )
    assert await world.value(world.settings(environment=f"{folder}/"), script(tmp_path, source)) == "1,2\n"


SECRETS = (".env", ".env.production", "deploy.pem", "id_ed25519", ".aws/credentials", "secrets.json", ".netrc")


@pytest.mark.parametrize("kind", ["folder", "package", "beside"])
async def test_secrets_stay_here_however_the_code_around_them_travels(
    world: World, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    project = write_package(tmp_path / "project", "mine")
    for name in (*SECRETS, ".git/config", "__pycache__/mine.pyc", "kept.txt"):
        (project / "mine" / name).parent.mkdir(exist_ok=True)
        (project / "mine" / name).write_text("hunter2")
    if kind == "folder":
        (project / "pyproject.toml").unlink()
    environment = "auto" if kind == "beside" else f"{project}/"
    source = (
        "def task():\n import mine, os\n folder = os.path.dirname(mine.__file__)\n"
        " return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder)"
        " for name in names if not name.endswith('.pyc'))\n"
    )
    found = await world.value(world.settings(environment=environment), script(project, source))
    assert found == ["__init__.py", "kept.txt"]
    told = [line.partition(" is not sent with the task")[0] for line in caplog.messages]
    for name in SECRETS:  # a folder is told of as one, unless it came in a wheel
        assert [path for path in told if path.endswith((f"/{name}", f"/{name.partition('/')[0]}"))]
    assert kind == "package" or [path for path in told if path.endswith("/.git")]
