# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From a spec to layers: resolved and fetched over HTTP from an index of tiny wheels, by the real uv."""

from __future__ import annotations

import io
import json
import logging
import platform
import resource
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.dependencies.installed_here import _distribution
from covalent_awsbatch_plugin.dependencies.lock import Target
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.spec import environment_spec
from covalent_awsbatch_plugin.dependencies.store import LayerStore
from covalent_awsbatch_plugin.dependencies.user_code import OwnCode
from covalent_awsbatch_plugin.errors import AWSBatchError, EnvironmentFailed, SettingError, StagingError
from covalent_awsbatch_plugin.images.layer import Layer, digest_of
from tests.dependencies.index import AMD64, ARM64, Index, broken_sdist, write_package

BIG = 3 * 1024 * 1024
HERE = Target("linux/amd64", f"3.{sys.version_info.minor}")


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(bytes(layer.data))) as tar:
        return {member.name: member for member in tar}


def content(layer: Layer, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(bytes(layer.data))) as tar:
        file = tar.extractfile(path)
        assert file
        return file.read()


def layers(environments: Environments, text: str, target: Target = HERE) -> tuple[Layer, ...]:
    return environments.layers(environments.lock(environment_spec(text), target))


def test_packages_become_layers_under_the_images_own_folder(index: Index, environments: Environments) -> None:
    index.add("small", needs=["other>=1"])
    index.add("other", entry_points="[console_scripts]\nother = other:main\n")
    index.add("big", fat=BIG)

    big, small = layers(environments, "big, small")

    assert (big.comment, small.comment) == ("big 1.0", "2 small packages")
    assert {"covalent/env/big/__init__.py", "covalent/env/big/data.bin"} <= set(members(big))
    assert {"covalent/env/small/__init__.py", "covalent/env/other/__init__.py"} <= set(members(small))
    assert big.digest == digest_of(big.data) and big.size == len(big.data)


def test_nothing_of_this_machine_is_in_a_layer(index: Index, environments: Environments) -> None:
    index.add("tool", entry_points="[console_scripts]\ntool = tool:main\n", fat=BIG)
    (layer,) = layers(environments, "tool")

    script = content(layer, "covalent/env/bin/tool")
    assert script.startswith(b"#!/usr/bin/env python3\n") and members(layer)["covalent/env/bin/tool"].mode == 0o755
    record = content(layer, "covalent/env/tool-1.0.dist-info/RECORD").decode()
    assert "tool/__init__.py" in record and "INSTALLER" not in record
    for member in members(layer).values():
        assert (member.mtime, member.uid, member.uname) == (0, 0, "")
        if member.isfile():
            assert str(environments.store.folder).encode() not in content(layer, member.name)


def test_bytecode_is_there_and_believed_unchecked(index: Index, environments: Environments) -> None:
    index.add("code", fat=BIG)
    (layer,) = layers(environments, "code")
    pyc = content(layer, f"covalent/env/code/__pycache__/__init__.{sys.implementation.cache_tag}.pyc")
    assert int.from_bytes(pyc[4:8], "little") == 0b01  # PEP 552: by hash, not checked
    assert b"/covalent/env/code/__init__.py" in pyc


def test_what_was_asked_for_before_asks_nobody(index: Index, environments: Environments) -> None:
    index.add("thing", fat=BIG)
    first = layers(environments, "thing")
    index.asked.clear()

    again = layers(Environments(environments.store), "thing  # the same\n")

    assert index.asked == []
    assert [layer.digest for layer in again] == [layer.digest for layer in first]


def test_one_package_more_fetches_one_package(index: Index, environments: Environments) -> None:
    for name in ("one", "two", "three"):
        index.add(name, fat=BIG)
    before = {layer.digest for layer in layers(environments, "one, two")}
    index.asked.clear()

    after = {layer.digest for layer in layers(environments, "one, two, three")}

    assert index.downloads == ["three-1.0-py3-none-any.whl"] and before < after


def test_arm64_gets_arm64s_files(index: Index, environments: Environments) -> None:
    index.add("native", tag="cp311-cp311-manylinux_2_17_x86_64", fat=BIG)
    index.add("native", tag="cp311-cp311-manylinux_2_17_aarch64", fat=BIG)
    for target, word in ((AMD64, b"x86_64"), (ARM64, b"aarch64")):
        (layer,) = layers(environments, "native", target)
        assert word in content(layer, "covalent/env/native/__init__.py")


def test_no_wheel_for_the_platform_is_one_error_that_names_it(index: Index, environments: Environments) -> None:
    index.add("native", tag="cp311-cp311-manylinux_2_17_x86_64")
    with pytest.raises(EnvironmentFailed, match="native") as raised:
        layers(environments, "native", ARM64)
    assert "container_image_uri" in raised.value.advice


# ---- without a wheel -------------------------------------------------------------------------------------------------
def add_source(index: Index, name: str, tag: str) -> None:
    """A source distribution, whose backend says that its wheel is for that platform."""
    about, backend = f"{name}-1.0", f"TAG = {tag!r}\n{SOURCE_BACKEND}"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path, text in (
            ("PKG-INFO", f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n"),
            ("pyproject.toml", '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'),
            ("backend.py", backend.replace("NAME", name)),
        ):
            member = tarfile.TarInfo(f"{about}/{path}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    index.files[f"{about}.tar.gz"] = data.getvalue()


SOURCE_BACKEND = """
import pathlib, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    made, about = f"NAME-1.0-{TAG}.whl", "NAME-1.0.dist-info"
    files = {
        "NAME.py": "built = True\\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {TAG}\\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(directory, made), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return made
"""


@pytest.mark.parametrize("target", [AMD64, ARM64])
def test_a_source_of_plain_python_is_built_for_every_platform(
    index: Index, environments: Environments, target: Target
) -> None:
    add_source(index, "pure", "py3-none-any")
    (layer,) = layers(environments, "pure", target)
    assert content(layer, "covalent/env/pure.py") == b"built = True\n"


def test_a_source_that_is_compiled_for_a_newer_c_library_is_told(
    index: Index, environments: Environments, caplog: pytest.LogCaptureFixture
) -> None:
    tag = f"cp3{sys.version_info.minor}"
    add_source(index, "compiled", f"{tag}-{tag}-linux_{platform.machine()}")
    add_source(index, "pure", "py3-none-any")
    layers(environments, "compiled, pure", replace(HERE, glibc=(2, 17)))
    assert "compiled 1.0 has no wheel and was compiled here" in caplog.text and "2.17" in caplog.text
    assert "pure 1.0 has no wheel" not in caplog.text


def test_a_source_that_is_compiled_can_not_be_built_for_another_processor(
    index: Index, environments: Environments
) -> None:
    add_source(index, "compiled", f"cp311-cp311-linux_{platform.machine()}")
    other = ARM64 if platform.machine() == "x86_64" else AMD64
    with pytest.raises(EnvironmentFailed, match=r"compiled 1\.0 can't be installed for linux/") as raised:
        layers(environments, "compiled", other)
    assert "container_image_uri" in raised.value.advice and kept(environments) == []


# ---- files ---------------------------------------------------------------------------------------------------------
def test_a_requirements_file_with_what_it_includes(index: Index, environments: Environments, tmp_path: Path) -> None:
    index.add("one")
    index.add("two")
    index.add("two", "2.0")
    (tmp_path / "more.txt").write_text("two\n")
    (tmp_path / "bounds.txt").write_text("two<2\n")
    file = tmp_path / "requirements.txt"
    file.write_text("one  # first\n-r more.txt\n-c bounds.txt\n")

    lock = environments.lock(environment_spec(str(file)), HERE)
    assert [package.label for package in lock.packages] == ["one 1.0", "two 1.0"]

    index.asked.clear()
    file.write_text("# another comment\none\n\n-r more.txt\n-c bounds.txt\n")
    assert environments.lock(environment_spec(str(file)), HERE).digest == lock.digest and index.asked == []

    (tmp_path / "bounds.txt").write_text("two>=2\n")
    assert environments.lock(environment_spec(str(file)), HERE).digest != lock.digest


def test_a_hash_in_a_requirements_file_is_kept_to(index: Index, environments: Environments, tmp_path: Path) -> None:
    index.add("one")
    file = tmp_path / "requirements.txt"
    file.write_text(f"one==1.0 --hash=sha256:{'1' * 64}\n")
    with pytest.raises(EnvironmentFailed):
        layers(environments, str(file))


def test_a_project_and_what_it_depends_on(index: Index, environments: Environments, tmp_path: Path) -> None:
    index.add("one")
    project = write_package(tmp_path / "project", "mine", needs=["one"])
    lock = environments.lock(environment_spec(str(project / "pyproject.toml")), HERE)
    assert [package.label for package in lock.packages] == ["one 1.0"]
    assert [package.folder for package in lock.folders] == [str(project)]


def test_a_pylock_is_taken_as_it_is(index: Index, environments: Environments, tmp_path: Path) -> None:
    index.add("one")
    index.add("one", "2.0")
    lock = tmp_path / "pylock.toml"
    digest = digest_of(index.files["one-1.0-py3-none-any.whl"]).removeprefix("sha256:")
    url = f"http://127.0.0.1:{index.port}/files/one-1.0-py3-none-any.whl"
    lock.write_text(
        'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "one"\nversion = "1.0"\n'
        f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{digest}" }} }}]\n'
    )
    (layer,) = layers(environments, str(lock))
    assert content(layer, "covalent/env/one/__init__.py").startswith(b"version = '1.0'")


def test_a_file_that_is_not_there_is_named(environments: Environments) -> None:
    with pytest.raises(SettingError, match="/nowhere/requirements.txt, which does not exist"):
        environments.lock(environment_spec("/nowhere/requirements.txt"), HERE)
    with pytest.raises(SettingError, match="is relative"):
        environments.lock(environment_spec("requirements.txt"), HERE)


# ---- bad days ------------------------------------------------------------------------------------------------------
def kept(environments: Environments) -> list[str]:
    return [path.name for path in (environments.store.folder / "made").glob("*")]


def test_a_wheel_with_a_wrong_hash_is_refused_and_nothing_is_kept(index: Index, environments: Environments) -> None:
    index.add("good")
    index.add("bad")
    index.wrong_hashes.add("bad-1.0-py3-none-any.whl")
    with pytest.raises(EnvironmentFailed, match="Hash mismatch for `bad==1.0`") as raised:
        layers(environments, "good, bad")
    assert "find out why it changed" in raised.value.advice and kept(environments) == []


def test_a_broken_index_is_told_without_its_password(
    index: Index, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:secret@127.0.0.1:1/simple")
    with pytest.raises(EnvironmentFailed, match="uv says: ") as raised:
        layers(environments, "thing")
    assert "must reach the index" in raised.value.advice and "secret" not in str(raised.value)
    assert kept(environments) == []


def test_a_package_that_does_not_exist(index: Index, environments: Environments) -> None:
    with pytest.raises(EnvironmentFailed, match="nowhere-at-all was not found"):
        layers(environments, "nowhere-at-all")


MINOR_TAG = f"cp3{sys.version_info.minor}"


@pytest.mark.parametrize("metadata", [True, False])
def test_an_old_pin_without_a_wheel_names_the_versions_next_to_it_that_have_one(
    index: Index, environments: Environments, metadata: bool
) -> None:
    for version in ("1.1.1", "1.1.2"):
        index.files[f"old_pin-{version}.tar.gz"] = broken_sdist("old_pin", version, metadata=metadata)
    for version, python in {
        "0.9": "cp36",
        "1.0": MINOR_TAG,
        "1.1.3": "cp36",
        "1.2": MINOR_TAG,
        "2.0": MINOR_TAG,
    }.items():
        index.add("old-pin", version, tag=f"{python}-{python}-manylinux_2_17_x86_64")
    with pytest.raises(EnvironmentFailed) as raised:
        layers(environments, "old-pin==1.1.2")
    text = str(raised.value)
    assert f"1.0 and 1.2 have a wheel for linux/amd64 with Python 3.{sys.version_info.minor}." in raised.value.advice
    assert "gcc: the error itself" in text and text.count("gcc: warning") < 10 and len(text.splitlines()) < 15


def test_a_pin_of_which_no_version_has_a_wheel_gets_no_false_hint(index: Index, environments: Environments) -> None:
    index.files["old_pin-1.0.tar.gz"] = broken_sdist("old_pin", "1.0", metadata=True)
    with pytest.raises(EnvironmentFailed, match="Failed to build `old-pin==1.0`") as raised:
        layers(environments, "old-pin==1.0")
    assert raised.value.advice.startswith("Choose a version that has a wheel")


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As on a disk with no more room, for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("fat", "error", "says"),
    [
        pytest.param(BIG, EnvironmentFailed, "ended by signal 25", id="while it is fetched"),  # SIGXFSZ
        pytest.param(BIG // 2, StagingError, "File too large", id="while its layer is made"),  # two in one layer
    ],
)
def test_a_disk_that_fills_leaves_nothing_that_the_next_run_believes(
    index: Index, environments: Environments, fat: int, error: type[AWSBatchError], says: str
) -> None:
    index.add("one", fat=fat)
    index.add("two", fat=fat)

    with no_file_above(BIG - 1024 * 1024 // 2), pytest.raises(error, match=says):
        layers(environments, "one, two")

    assert not list(environments.store.folder.glob("making-*"))
    assert not list(environments.store.folder.glob("made/*/layer"))
    made = layers(Environments(environments.store), "one, two")
    assert sum(each.size for each in made) > 2 * fat and all(digest_of(each.data) == each.digest for each in made)


def test_a_layer_that_was_cut_is_made_again(index: Index, environments: Environments) -> None:
    index.add("thing", fat=BIG)
    (first,) = layers(environments, "thing")
    digest = first.digest
    (file,) = (environments.store.folder / "made").glob("*/layer")
    file.with_suffix(".cut").write_bytes(b"half")
    file.with_suffix(".cut").replace(file)  # as a crash of the machine may leave it
    (again,) = layers(Environments(environments.store), "thing")
    assert again.size > 1000 and len(digest) == len(again.digest)


# ---- private indexes -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_a_private_index_works_and_its_password_goes_nowhere(
    index: Index,
    environments: Environments,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
) -> None:
    index.login = "me:hunter2"
    index.add("private", fat=BIG)
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv(variable, index.url("me:hunter2@"))

    with caplog.at_level(logging.DEBUG):
        (layer,) = layers(environments, "private")

    assert "hunter2" not in caplog.text
    for path in environments.store.folder.rglob("*"):
        if path.is_file() and path.name != "layer":
            assert b"hunter2" not in path.read_bytes(), path
    for member in members(layer).values():
        if member.isfile():
            assert b"hunter2" not in content(layer, member.name), member.name


@pytest.mark.parametrize("form", ["private @ {}", "{}", "private[more] @ {}", "file"])
def test_a_wheel_by_its_url_is_installed_and_the_urls_password_stays_in_this_process(
    index: Index, environments: Environments, tmp_path: Path, form: str
) -> None:
    index.login = "me:hunter2"
    index.add("private", fat=BIG)
    url = f"http://me:hunter2@127.0.0.1:{index.port}/files/private-1.0-py3-none-any.whl"
    setting = form.format(url)
    if form == "file":
        setting = str(tmp_path / "requirements.txt")
        Path(setting).write_text(f"private @ {url}\n")
    for each in (environments, Environments(LayerStore(environments.store.folder))):  # here, and in another process
        for _ in range(2):
            (layer,) = layers(each, setting)
            assert content(layer, "covalent/env/private/__init__.py").startswith(b"version = '1.0'")
    stored = [path for path in environments.store.folder.rglob("*") if path.is_file()]
    assert [path for path in stored if b"hunter2" in path.read_bytes()] == []
    assert b"hunter2" not in b"".join(content(layer, name) for name, each in members(layer).items() if each.isfile())


def test_a_lock_with_a_password_of_an_earlier_version_is_not_kept(environments: Environments) -> None:
    for key in ("read", "forgotten"):
        place = environments.store.folder / "locks" / f"{key}.toml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text('archive = { url = "https://me:hunter2@example.com/a.whl" }')
    assert environments.store.text("read", lambda: "new") == "new"
    environments.prune(0)
    assert [path.read_text() for path in (environments.store.folder / "locks").iterdir()] == ["new"]


def test_a_package_that_was_installed_from_a_url_is_pinned_to_it(tmp_path: Path) -> None:
    sources = {
        "wheel": {"url": "https://example.com/wheel-1.0-py3-none-any.whl", "archive_info": {}},
        "commit": {"url": "https://example.com/c.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
        "part": {"url": "https://example.com/p.zip", "archive_info": {}, "subdirectory": "sub"},
        "local": {"url": "file:///tmp/local-1.0-py3-none-any.whl", "archive_info": {}},
    }
    for name, origin in sources.items():
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "direct_url.json").write_text(json.dumps(origin))
    described = map(_distribution, metadata.distributions(path=[str(tmp_path)]))
    assert {each.name: each.pin for each in described if each} == {
        "wheel": "wheel @ https://example.com/wheel-1.0-py3-none-any.whl",
        "commit": "commit @ git+https://example.com/c.git@abc",
        "part": "part @ https://example.com/p.zip#subdirectory=sub",
        "local": "local==1.0",
    }


# ---- own code --------------------------------------------------------------------------------------------------------
def test_editing_a_local_package_changes_its_layer_and_not_the_environment(
    index: Index, environments: Environments, tmp_path: Path
) -> None:
    index.add("one")
    project = write_package(tmp_path / "project", "mine", needs=["one"])

    def made() -> tuple[str, bytes]:
        lock = environments.lock(environment_spec(f"{project}/"), HERE)
        own = OwnCode(packages={Path(package.folder) for package in lock.folders if package.folder})
        layer = own.layer(environments.store, HERE)
        assert layer
        return lock.digest, content(layer, "covalent/code/mine/__init__.py")

    first = made()
    (project / "mine" / "__init__.py").write_text("answer = 42\n")
    index.asked.clear()
    second = made()
    assert (first[0], b"answer = 1\n", b"answer = 42\n") == (second[0], first[1], second[1])
    assert index.asked == []


def test_a_folder_travels_without_its_secrets(
    environments: Environments, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "code"
    for name in ("mine.py", ".env", ".git/config", "data/table.csv", "__pycache__/mine.pyc", "deploy.pem"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    own = OwnCode()
    own.add_folder(folder)
    layer = own.layer(environments.store, HERE)
    assert layer and {name for name, member in members(layer).items() if member.isfile()} == {
        "covalent/code/mine.py",
        "covalent/code/data/table.csv",
    }
    for name in (".env", ".git", "deploy.pem"):
        assert f"/{name} is not sent" in caplog.text


def test_a_store_that_can_not_be_written_is_named(index: Index, tmp_path: Path) -> None:
    index.add("one")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StagingError, match="XDG_CACHE_HOME"):
        layers(Environments(LayerStore(tmp_path / "file" / "below")), "one")
