# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a user's pip gets: a wheel, made from the sdist, with everything in it that the package needs to run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import covalent_awsbatch_plugin

PROJECT = Path(__file__).parent.parent
PACKAGE = "covalent_awsbatch_plugin"
LOCKS = sorted((PROJECT / "locks").iterdir())
LOCK = PROJECT / "locks" / "development.txt"
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "htmlcov")


class Built(NamedTuple):
    sdist: set[str]  # names, without the folder that all of them are in
    wheel: Path  # unpacked

    def metadata(self) -> Message:
        (found,) = self.wheel.glob("*.dist-info/METADATA")
        return Parser().parsestr(found.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(PROJECT, folder / "source", symlinks=True, ignore=NOT_SOURCE)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(folder / "source")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    zipfile.ZipFile(wheel).extractall(folder / "wheel")
    return Built(names, folder / "wheel")


def files_below(folder: Path) -> set[str]:
    """Relative names of all files, also through the link to assets/infra."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    linked = folder / "assets" / "infra"
    found |= {path.relative_to(folder).as_posix() for path in linked.iterdir() if path.is_file()}
    return {name for name in found if "__pycache__" not in name}


def test_the_wheel_holds_every_file_of_the_package(built: Built) -> None:
    assert files_below(built.wheel / PACKAGE) == files_below(PROJECT / PACKAGE)


def test_the_wheel_holds_nothing_else(built: Built) -> None:
    others = {path.name for path in built.wheel.iterdir() if path.suffix != ".dist-info"}
    assert others == {PACKAGE}


@pytest.mark.parametrize("name", ["py.typed", "assets/infra/README.md", "runner/protocol/layout.py"])
def test_the_wheel_holds_what_no_import_would_miss_at_once(built: Built, name: str) -> None:
    assert (built.wheel / PACKAGE / name).is_file()


@pytest.mark.parametrize(
    "name",
    ["setup.py", "requirements.txt", "requirements-local.txt", "LICENSE", "CHANGELOG.md", "assets/infra/README.md"],
)
def test_the_sdist_can_be_built_from_and_read(built: Built, name: str) -> None:
    assert name in built.sdist


def test_covalent_and_the_shell_find_their_doors(built: Built) -> None:
    (entry_points,) = built.wheel.glob("*.dist-info/entry_points.txt")
    text = entry_points.read_text(encoding="utf-8")
    assert "[covalent.executor.executor_plugins]\nawsbatch = covalent_awsbatch_plugin.awsbatch\n" in text
    assert "[console_scripts]\ncovalent-awsbatch = covalent_awsbatch_plugin.cli:main\n" in text


def test_the_metadata_says_what_pip_must_know(built: Built) -> None:
    metadata = built.metadata()
    assert metadata["Version"] == covalent_awsbatch_plugin.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    needed = metadata.get_all("Requires-Dist", [])
    assert "fastapi<0.132" in needed, "covalent 0.240 can't dispatch with a newer one: docs/decisions/0001"


def test_offline_aws_is_an_extra(built: Built) -> None:
    """Whoever only uses AWS installs neither moto nor flask; docker stays, for `builder="docker"`."""
    requirements = [Requirement(line) for line in built.metadata().get_all("Requires-Dist", [])]
    core = {each.name for each in requirements if each.marker is None}
    assert "docker" in core
    assert not {"moto", "flask", "flask-cors"} & core
    for extra in ("local", "all", "test", "dev"):
        chosen = {each.name for each in requirements if each.marker and each.marker.evaluate({"extra": extra})}
        assert {"moto", "flask", "flask-cors"} <= chosen, extra
    (moto,) = {str(each.specifier) for each in requirements if each.name == "moto"}
    assert "<5.3" in moto, "local/ changes the Batch of this range of moto"


def test_lock_holds_a_version_in_range_of_each_requirement(built: Built) -> None:
    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    requirements = [Requirement(line) for line in built.metadata().get_all("Requires-Dist", [])]
    found = [(each, locked.get(canonicalize_name(each.name))) for each in requirements]
    missing = [str(each) for each, version in found if version is None]
    outside = [str(each) for each, version in found if version is not None and version not in each.specifier]
    assert (missing, outside) == ([], []), "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_holds_versions_and_hashes_and_no_place(lock: Path) -> None:
    """A lock with an index or a folder of one machine in it would install on that machine only."""
    version = r"[a-z0-9.-]+==[^ ]+( ; [^/:]+)? \\"
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not line.lstrip().startswith("#"):
            assert re.fullmatch(rf"{version}|    --hash=sha256:[0-9a-f]{{64}}( \\)?", line), line
        assert "://" not in line
        assert not re.search(r"(^|[ =])[./~]", line), line


def test_terraform_lies_beside_the_module_in_a_checkout_too() -> None:
    beside = PROJECT / PACKAGE / "assets" / "infra"
    assert beside.resolve() == (PROJECT / "assets" / "infra").resolve()


def test_runner_runs_under_another_name(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.wheel / PACKAGE / "runner", tmp_path / "covalent_awsbatch_runner")
    program = "import covalent_awsbatch_runner.protocol.layout as layout; print(layout.object_key('ab'))"
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "covalent-awsbatch/objects/ab\n"
