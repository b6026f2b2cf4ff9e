# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of the runner's layer: complete, the same everywhere, and no more than is needed."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.errors import ImageError
from covalent_awsbatch_plugin.images import runner_layer
from covalent_awsbatch_plugin.images.runner_layer import OBSTORE_VERSION, WHEELS, Wheel, files_digest, runner_files
from covalent_awsbatch_plugin.runner.protocol import layout

HERE = "linux/arm64" if platform.machine() in ("aarch64", "arm64") else "linux/amd64"
OTHER = next(name for name in sorted(WHEELS) if name != HERE)
NAMES = ("obstore/__init__.py", "obstore/store.py", "obstore/_obstore.abi3.so")
USED = {name: f"content of {name}".encode() for name in NAMES}
ELF_MACHINE = {"linux/amd64": 62, "linux/arm64": 183}


def test_the_installed_client_is_taken_where_it_fits(tmp_path: Path) -> None:
    files = runner_files(HERE, tmp_path / "untouched")
    native = f"{layout.RUNNER_DIR}/obstore/_obstore.abi3.so"
    assert int.from_bytes(files[native][18:20], "little") == ELF_MACHINE[HERE]
    assert {name for name in files if not name.endswith(".py")} == {native}
    assert list(files) == sorted(files)
    assert not (tmp_path / "untouched").exists()


def test_the_layer_holds_what_an_import_opens(tmp_path: Path) -> None:
    names = {name.removeprefix(f"{layout.RUNNER_DIR}/") for name in runner_files(HERE, tmp_path)}
    assert {name for name in names if not name.startswith(layout.RUNNER_PACKAGE)} == {
        "__main__.py",
        "cloudpickle/__init__.py",
        "cloudpickle/cloudpickle.py",
        "cloudpickle/cloudpickle_fast.py",
        "obstore/__init__.py",
        "obstore/_obstore.abi3.so",
        "obstore/store.py",
        "plugin/covalent_awsbatch_plugin/__init__.py",
        "plugin/covalent_awsbatch_plugin/lithops_compat.py",
        "plugin/covalent_awsbatch_script.py",
    }


def test_an_old_python_is_told_so(tmp_path: Path) -> None:
    main = runner_files(HERE, tmp_path)[f"{layout.RUNNER_DIR}/__main__.py"].decode()
    old = main.replace("import sys\n", "import sys\nsys.version_info = (3, 6, 15)\n", 1)
    said = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr == "covalent-awsbatch: this image has Python 3.6; tasks need 3.11 or later\n"


def test_another_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no runner for linux/s390x"):
        runner_files("linux/s390x", tmp_path)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, with an obstore of our own making; nothing else is found."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    tag = f"cp311-abi3-manylinux_2_17_{WHEELS[OTHER].platform.partition('-')[0]}"
    path = shelf / f"obstore-{OBSTORE_VERSION}-{tag}.whl"
    info = f"obstore-{OBSTORE_VERSION}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**USED, "obstore/other.pyi": b""}.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: obstore\nVersion: {OBSTORE_VERSION}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    cache = str(tmp_path / "uv-cache")
    for name, value in {"UV_NO_CONFIG": "1", "UV_CACHE_DIR": cache, "UV_HTTP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(shelf)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return path


def offered(wheel: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, bytes] = USED) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(WHEELS, OTHER, Wheel(WHEELS[OTHER].platform, digest, files_digest(files)))


def test_the_client_is_fetched_once(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(shelf, monkeypatch)
    first = runner_files(OTHER, tmp_path / "cache")
    shelf.unlink()
    assert runner_files(OTHER, tmp_path / "cache") == first
    assert first[f"{layout.RUNNER_DIR}/obstore/store.py"] == b"content of obstore/store.py"
    (folder,) = (tmp_path / "cache" / "wheels").iterdir()
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(USED)


def test_a_spoiled_cache_is_fetched_again(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(shelf, monkeypatch)
    first = runner_files(OTHER, tmp_path / "cache")
    next((tmp_path / "cache" / "wheels").rglob("store.py")).write_bytes(b"half a file")
    assert runner_files(OTHER, tmp_path / "cache") == first


@pytest.mark.usefixtures("shelf")
def test_another_wheel_than_the_published_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="another obstore") as caught:
        runner_files(OTHER, tmp_path / "cache")
    assert "Hash mismatch" in caught.value.says
    assert not (tmp_path / "cache").exists()


def test_other_files_than_the_published_ones_are_refused(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(shelf, monkeypatch, {**USED, "obstore/store.py": b"as published"})
    with pytest.raises(ImageError, match="another obstore"):
        runner_files(OTHER, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_uvs_words_are_passed_on(shelf: Path, tmp_path: Path) -> None:
    shelf.unlink()
    with pytest.raises(ImageError, match="obstore was not found") as caught:
        runner_files(OTHER, tmp_path / "cache")
    assert "could not be downloaded" in caught.value.happened


def test_no_pip_is_needed_to_fetch_the_client(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(shelf, monkeypatch)
    venv.create(tmp_path / "venv", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    assert f"{layout.RUNNER_DIR}/obstore/store.py" in runner_files(OTHER, tmp_path / "cache")


def test_changed_files_of_an_installed_distribution_are_not_taken(tmp_path: Path) -> None:
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "RECORD").write_text("thing.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n")
    distribution = metadata.PathDistribution(info)
    (tmp_path / "thing.py").write_bytes(b"")
    assert runner_layer._verified(distribution, ["thing.py"]) == {"thing.py": b""}
    (tmp_path / "thing.py").write_bytes(b"changed")
    assert runner_layer._verified(distribution, ["thing.py"]) == {}
