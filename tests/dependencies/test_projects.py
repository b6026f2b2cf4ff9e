# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Projects with a `uv.lock`, workspaces, `pylock.toml`, and indexes of their own that want a password."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from uv import find_uv_bin

from covalent_awsbatch_plugin.dependencies.lock import Lock
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.spec import environment_spec
from covalent_awsbatch_plugin.dependencies.user_code import OwnCode
from covalent_awsbatch_plugin.errors import EnvironmentFailed
from tests.dependencies.index import AMD64, ARM64, Index, write_package
from tests.dependencies.test_package_layers import HERE, content, layers, members

BUILD = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def project(folder: Path, name: str, needs: Sequence[str], more: str = "", build: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    needed = ", ".join(f'"{need}"' for need in needs)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0.1"\nrequires-python = ">=3.11"\ndependencies = [{needed}]\n'
        f"{more}{build}"
    )
    return folder / "pyproject.toml"


def locked(file: Path) -> Path:
    """The project's file, after `uv lock`."""
    done = subprocess.run([find_uv_bin(), "lock", "-q"], cwd=file.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return file


def labels(lock: Lock) -> list[str]:
    return [package.label for package in lock.packages]


# ---- uv.lock ---------------------------------------------------------------------------------------------------------
def test_a_uv_lock_binds_and_development_dependencies_stay_at_home(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    index.add("one", needs=["two"])
    index.add("two")
    index.add("checker")
    file = locked(project(tmp_path, "app", ["one"], '[dependency-groups]\ndev = ["checker"]\n'))
    index.add("two", "2.0")  # newer than what is locked

    lock = environments.lock(environment_spec(str(file)), HERE)

    assert labels(lock) == ["one 1.0", "two 1.0"] and not lock.folders  # what has no build-system is no package
    (layer,) = environments.layers(lock)
    assert {"covalent/env/one/__init__.py", "covalent/env/two/__init__.py"} <= set(members(layer))


def test_a_changed_lock_changes_the_digest_and_a_changed_comment_does_not(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    index.add("one")
    file = locked(project(tmp_path, "app", ["one"]))
    first = environments.lock(environment_spec(str(file)), HERE)

    (tmp_path / "uv.lock").write_text("# looked at\n" + (tmp_path / "uv.lock").read_text())
    file.write_text(file.read_text() + "# why not\n")
    assert environments.lock(environment_spec(str(file)), HERE).digest == first.digest

    index.add("one", "2.0")
    subprocess.run([find_uv_bin(), "lock", "-q", "--upgrade"], cwd=tmp_path, check=True)
    assert environments.lock(environment_spec(str(file)), HERE).digest != first.digest


def workspace(folder: Path) -> Path:
    """A project that is a package, a member of its workspace, and another package beside it, all editable."""
    sources = (
        '[tool.uv.sources]\nmember = { workspace = true }\nbeside = { path = "beside", editable = true }\n'
        '[tool.uv.workspace]\nmembers = ["members/*"]\n'
    )
    file = project(folder, "app", ["one", "member", "beside"], sources, BUILD)
    for place, name, needs in ((folder, "app", ()), (folder / "members/member", "member", ("two",))):
        kept = file.read_text() if place == folder else None
        write_package(place, name, needs, f"name = {name!r}\n")
        if kept:
            file.write_text(kept)
    write_package(folder / "beside", "beside", (), "name = 'beside'\n")
    return locked(file)


def own_layer(environments: Environments, lock: Lock) -> set[str]:
    own = OwnCode(packages={Path(package.folder) for package in lock.folders if package.folder})
    layer = own.layer(environments.store, HERE)
    assert layer
    return {name for name in members(layer) if name.endswith(".py")}


def test_a_workspace_travels_as_wheels_of_what_lies_here(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    index.add("one")
    index.add("two")
    file = workspace(tmp_path / "space")

    lock = environments.lock(environment_spec(str(file)), HERE)

    assert labels(lock) == ["one 1.0", "two 1.0"]
    assert own_layer(environments, lock) == {
        f"covalent/code/{name}/__init__.py" for name in ("app", "member", "beside")
    }


def test_a_member_is_locked_by_its_workspace(index: Index, environments: Environments, tmp_path: Path) -> None:
    index.add("one")
    index.add("two")
    workspace(tmp_path / "space")
    index.add("two", "2.0")
    lock = environments.lock(environment_spec(str(tmp_path / "space/members/member/pyproject.toml")), HERE)
    assert labels(lock) == ["two 1.0"]
    assert own_layer(environments, lock) == {"covalent/code/member/__init__.py"}


def test_a_lock_and_one_package_more_keep_the_lock_and_its_projects(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        index.add(name)
    file = workspace(tmp_path / "space")
    index.add("two", "2.0")
    lock = environments.lock(environment_spec(f"{file}, three"), HERE)
    assert labels(lock) == ["one 1.0", "three 1.0", "two 1.0"]
    assert len(own_layer(environments, lock)) == 3


# ---- pylock.toml -----------------------------------------------------------------------------------------------------
def test_a_pylock_for_many_platforms_gives_each_its_own(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    for machine in ("x86_64", "aarch64"):
        index.add("native", tag=f"cp311-cp311-manylinux_2_17_{machine}")
    index.add("windows-only")
    file = project(tmp_path, "app", ["native", "windows-only; sys_platform == 'win32'"])
    locked(file)
    words = [find_uv_bin(), "export", "-q", "--no-header", "--format", "pylock.toml", "-o", "pylock.toml"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "uv.lock").unlink()

    for target, machine in ((AMD64, b"x86_64"), (ARM64, b"aarch64")):
        lock = environments.lock(environment_spec(str(tmp_path / "pylock.toml")), target)
        assert labels(lock) == ["native 1.0"]
        assert machine in content(environments.layers(lock)[0], "covalent/env/native/__init__.py")


def test_a_pylock_with_a_wrong_hash_is_refused(index: Index, environments: Environments, tmp_path: Path) -> None:
    index.add("one")
    url = f"http://127.0.0.1:{index.port}/files/one-1.0-py3-none-any.whl"
    file = tmp_path / "pylock.toml"
    file.write_text(
        'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "one"\nversion = "1.0"\n'
        f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    )
    with pytest.raises(EnvironmentFailed, match="Hash mismatch") as raised:
        layers(environments, str(file))
    assert "find out why it changed" in raised.value.advice and not (environments.store.folder / "made").exists()


# ---- private indexes -------------------------------------------------------------------------------------------------
def by_project(folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Named in pyproject.toml, its password in uv's variables."""
    monkeypatch.setenv("UV_INDEX_PRIVATE_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "hunter2")
    return project(folder, "app", ["private"], f'[[tool.uv.index]]\nname = "private"\nurl = "{index.url()}"\n')


def by_locked_project(folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    return locked(by_project(folder, index, monkeypatch))


def by_requirements(folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Named in the list of requirements, its password in a variable."""
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    (folder / "more.txt").write_text(f"--extra-index-url {index.url('me:${MY_PASSWORD}@')}\n")
    (folder / "requirements.txt").write_text("-r more.txt\nprivate\n")
    return folder / "requirements.txt"


def by_careless_requirements(folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Named with its password in the list of requirements."""
    (folder / "requirements.txt").write_text(f"--index-url {index.url('me:hunter2@')}\nprivate\n")
    return folder / "requirements.txt"


def by_netrc(folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    (folder / "requirements.txt").write_text(f"--index-url {index.url()}\nprivate\n")
    return folder / "requirements.txt"


@pytest.mark.parametrize("given", [by_project, by_locked_project, by_requirements, by_careless_requirements, by_netrc])
def test_the_password_of_an_index_that_files_name_ends_nowhere(
    index: Index,
    environments: Environments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    given: Callable[[Path, Index, pytest.MonkeyPatch], Path],
) -> None:
    index.login = "me:hunter2"
    index.add("private", fat=3 << 20)
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.delenv("UV_NO_CONFIG")
    folder = tmp_path / "project"
    folder.mkdir()
    file = given(folder, index, monkeypatch)

    with caplog.at_level(logging.DEBUG):
        (layer,) = layers(environments, str(file))

    assert "hunter2" not in caplog.text
    kept = [path for path in environments.store.folder.rglob("*") if path.is_file() and path.name != "layer"]
    assert any(path.suffix == ".toml" for path in kept)
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]
    assert not [name for name, each in members(layer).items() if each.isfile() and b"hunter2" in content(layer, name)]


def test_an_index_that_lets_nobody_in_is_told_as_that(
    index: Index, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.login = "me:hunter2"
    index.add("private")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url("me:wrong@"))
    with pytest.raises(EnvironmentFailed) as raised:
        layers(environments, "private")
    assert "401" in str(raised.value) or "was not found" in str(raised.value)
    assert "wrong" not in str(raised.value) and "index" in raised.value.advice


@pytest.mark.parametrize("body", [b"<html>we are down for maintenance</html>", b""])
def test_an_index_that_answers_nonsense_is_told(index: Index, environments: Environments, body: bytes) -> None:
    index.files["broken-1.0-py3-none-any.whl"] = body
    with pytest.raises(EnvironmentFailed, match="broken") as raised:
        layers(environments, "broken")
    assert "uv says: " in raised.value.says and not (environments.store.folder / "made").exists()


def test_the_environment_of_this_process_is_left_as_it_was(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    index.add("one")
    (tmp_path / "requirements.txt").write_text(f"--extra-index-url {index.url('me:hunter2@')}\none\n")
    before = dict(os.environ)
    layers(environments, str(tmp_path / "requirements.txt"))
    assert dict(os.environ) == before
