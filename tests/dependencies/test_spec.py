# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The setting `environment`, locks and references: what is read, and what makes two environments one."""

from __future__ import annotations

import collections
import io
import re
import types
from pathlib import Path, PurePath

import cloudpickle
import pytest

from covalent_awsbatch_plugin.dependencies.lock import Target, read_lock, write_lock
from covalent_awsbatch_plugin.dependencies.references import of_pickle, of_source
from covalent_awsbatch_plugin.dependencies.relative_paths import anchored_existing
from covalent_awsbatch_plugin.dependencies.spec import (
    EnvironmentSpec,
    anchored,
    environment_spec,
    shares,
)
from covalent_awsbatch_plugin.dependencies.user_code_rules import is_left_out, is_secret
from covalent_awsbatch_plugin.errors import EnvironmentFailed, SettingError
from covalent_awsbatch_plugin.settings import Given, resolve
from tests.dependencies.index import AMD64, ARM64


# ---- the setting -----------------------------------------------------------------------------------------------------
def test_nothing_is_asked_for_by_default() -> None:
    assert not environment_spec("")


def test_requirements_stand_in_one_text() -> None:
    asked = environment_spec(
        'numpy>=1,<2, pandas[performance,excel]==2.2.*; python_version in "3.11,3.12",scipy\nsix @ https://a/b'
    )
    assert asked.requirements == (
        "numpy>=1,<2",
        'pandas[performance,excel]==2.2.*; python_version in "3.11,3.12"',
        "scipy",
        "six @ https://a/b",
    )


def test_parts_are_told_apart() -> None:
    asked = environment_spec("auto, requirements.txt, ../pyproject.toml, ./lib, numpy, # why not\n~/code")
    assert asked == EnvironmentSpec(
        ("numpy",), ("requirements.txt", "../pyproject.toml"), ("./lib", "~/code"), auto=True
    )


def test_a_list_is_as_good() -> None:
    settings = resolve(Given({"environment": ["numpy>=2,<3", "auto"]}, "by this test"))
    assert environment_spec(settings.environment) == EnvironmentSpec(("numpy>=2,<3",), auto=True)


def test_what_is_no_part_is_refused_with_examples() -> None:
    with pytest.raises(SettingError, match="Examples: 'requirements.txt'"):
        resolve(Given({"environment": "numpy is nice"}, "by this test"))


def test_paths_are_of_the_folder_where_they_were_given() -> None:
    given = anchored({"environment": ["requirements.txt", "numpy", "/a/lib", "~/lib"], "vcpu": 1}, PurePath("/home/me"))
    assert given == {"environment": "/home/me/requirements.txt\nnumpy\n/a/lib\n~/lib", "vcpu": 1}


def test_a_relative_path_is_found_where_it_is_written_and_not_at_dispatch(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("")
    given = anchored_existing({"environment": "requirements.txt, numpy, /not/here"}, tmp_path)
    assert given["environment"].splitlines() == [f"{tmp_path}/requirements.txt", "numpy", "/not/here"]
    for path in ("requirement.txt", "./lib", "pyproject.toml"):
        with pytest.raises(SettingError, match=f"names {re.escape(path)}, which does not exist in {tmp_path}"):
            anchored_existing({"environment": [path, "numpy"]}, tmp_path)
    for path in ("requirements.txt", "./lib", "../lib"):
        with pytest.raises(
            SettingError, match=r"in the file, can't be used: .* is relative, and the folder is unknown"
        ):
            resolve(Given({"environment": path}, "in the file"))


def test_the_error_about_a_setting_shows_no_password() -> None:
    with pytest.raises(SettingError) as raised:
        resolve(Given({"environment": "a @ https://me:hunter2@example.com/a.whl, what is this"}, "in the file"))
    assert "hunter2" not in str(raised.value)


# ---- layers ----------------------------------------------------------------------------------------------------------
def test_big_packages_stand_alone_and_small_ones_share() -> None:
    mib = 1024 * 1024
    assert shares([("a", 1), ("big", 9 * mib), ("b", mib), ("bigger", 10 * mib)]) == (["bigger", "big"], ["a", "b"])


def test_two_hundred_big_packages_still_fit_an_image() -> None:
    alone, together = shares([(f"p{number}", (number + 3) << 20) for number in range(200)])
    assert len(alone) + 1 <= 48 and len(together) == 200 - len(alone)


# ---- locks -----------------------------------------------------------------------------------------------------------
def entry(*files: str, more: str = "") -> str:
    wheels = ", ".join(f'{{ url = "https://a/{file}", hashes = {{ sha256 = "{file}" }} }}' for file in files)
    return f'[[packages]]\nname = "thing"\nversion = "1"\n{more}\nwheels = [{wheels}]\n'


LOCK = 'lock-version = "1.0"\ncreated-by = "a test"\n'
MANY = (
    "thing-1-cp311-cp311-manylinux_2_28_x86_64.whl",
    "thing-1-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    "thing-1-cp312-cp312-manylinux_2_28_x86_64.whl",
    "thing-1-cp311-cp311-musllinux_1_1_x86_64.whl",
    "thing-1-cp311-cp311-macosx_11_0_arm64.whl",
)


def read(text: str, target: Target = AMD64) -> list[str]:
    return [package.artifact for package in read_lock(LOCK + text, target, "the lock", Path("/")).packages]


def test_each_platform_takes_its_wheel() -> None:
    assert read(entry(*MANY)) == [f"sha256:{MANY[0]}"]
    assert read(entry(*MANY), ARM64) == [f"sha256:{MANY[1]}"]
    assert read(entry(*MANY), Target("linux/amd64", "3.12")) == [f"sha256:{MANY[2]}"]


def test_no_wheel_and_no_source_is_refused_by_name() -> None:
    with pytest.raises(EnvironmentFailed, match=r"thing 1 has no wheel for linux/amd64 with Python 3.13"):
        read(entry(*MANY), Target("linux/amd64", "3.13"))


def test_a_glibc_newer_than_the_bases_is_not_taken() -> None:
    with pytest.raises(EnvironmentFailed, match="manylinux_2_39"):
        read(entry("thing-1-cp311-cp311-manylinux_2_39_x86_64.whl"))


def test_markers_are_of_the_target() -> None:
    assert read(entry(MANY[0], more="marker = \"sys_platform == 'win32'\"")) == []
    assert read(entry(MANY[0], more="marker = \"platform_machine == 'x86_64' and python_version < '3.12'\"")) != []


def digest(text: str, target: Target = AMD64) -> str:
    return read_lock(LOCK + text, target, "the lock", Path("/")).digest


def test_a_lock_is_what_it_installs() -> None:
    one = digest(entry(*MANY))
    assert digest("# a comment\n" + entry(*reversed(MANY)).replace("https://a", "https://mirror")) == one
    assert digest(entry(MANY[0])) == one  # whatever other platforms would get
    assert digest(entry(MANY[0]).replace('sha256 = "', 'sha256 = "1')) != one
    assert digest(entry(*MANY), ARM64) != one


def test_a_lock_is_written_for_the_target_alone() -> None:
    whole = LOCK + entry(*MANY, more="marker = \"sys_platform == 'linux'\"")
    lock = read_lock(whole, ARM64, "the lock", Path("/"))
    again = write_lock(lock.packages, "3.11")
    assert "aarch64" in again and "x86_64" not in again and "marker" not in again
    assert read_lock(again, ARM64, "its copy", Path("/")).digest == lock.digest


def test_what_is_no_lock_is_refused() -> None:
    with pytest.raises(EnvironmentFailed, match="the lock can't be read"):
        read("packages = 3")


# ---- references ------------------------------------------------------------------------------------------------------
def pickled(value: object) -> set[str]:
    found = of_pickle(io.BytesIO(cloudpickle.dumps(value)))
    assert found.whole
    return found.modules


def test_a_function_by_value_names_what_it_imports_when_it_runs() -> None:
    def function() -> object:
        import os.path

        import nowhere.deep
        from elsewhere import thing

        def inner() -> object:
            import nested

            return nested

        return os, nowhere, thing, inner, collections

    assert pickled(function) == {"nowhere", "elsewhere", "nested"}


def test_classes_and_instances_by_value_are_read_through() -> None:
    class Mine(dict[str, int]):
        def method(self) -> object:
            import in_a_method

            return in_a_method

    assert pickled([Mine(a=1), {Mine: 2}, frozenset({1})]) == {"in_a_method"}


def test_what_is_pickled_by_name_is_told_by_its_module() -> None:
    assert pickled(pytest.raises) == {"_pytest"} or pickled(pytest.raises) == {"pytest"}


class WithItsFile:
    """A code object as cloudpickle wrote it before 3.1.3: with the file that it was compiled from."""

    def __init__(self, code: types.CodeType) -> None:
        self.code = code

    def __reduce__(self) -> object:
        code = self.code
        return types.CodeType, (
            code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize,
            code.co_flags, code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_filename,
            code.co_name, code.co_qualname, code.co_firstlineno, code.co_linetable, code.co_exceptiontable,
            code.co_freevars, code.co_cellvars,
        )  # fmt: skip


def test_a_code_object_with_its_file_names_the_file() -> None:
    code = compile("import nowhere", "/home/me/script.py", "exec")
    found = of_pickle(io.BytesIO(cloudpickle.dumps(WithItsFile(code))))
    assert (found.files, found.modules, found.whole) == ({"/home/me/script.py"}, {"nowhere"}, True)


def test_a_function_whose_globals_name_their_file_names_the_file() -> None:
    names = {"__name__": "__main__", "__file__": "/home/me/script.py"}
    exec("def task(): import nowhere", names)
    assert "/home/me/script.py" in of_pickle(io.BytesIO(cloudpickle.dumps(names["task"]))).files


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    evil = f"cposix\nsystem\n(S'touch {tmp_path}/was-here'\ntR.".encode()
    of_pickle(io.BytesIO(evil))
    assert list(tmp_path.iterdir()) == []


def test_a_broken_pickle_gives_what_came_before() -> None:
    found = of_pickle(io.BytesIO(b"cnumpy\narray\n."[:-1]))
    assert (found.modules, found.whole) == ({"numpy"}, False)


def test_sources_tell_their_imports() -> None:
    assert of_source("import a.b, os\nfrom . import near\nfrom c.d import e\ndef f():\n import g").modules == {
        "a",
        "c",
        "g",
    }
    assert not of_source("def broken(").whole


# ---- own code --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "app/.env.local",
        "key.pem",
        "id_rsa",
        ".aws/config",
        "secrets.toml",
        ".netrc",
        "credentials.json",
        ".git/config",
    ],
)
def test_what_keeps_a_secret_stays(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize("path", ["model.py", "data/table.csv", "environment.py", "secrets.py", "keys/__init__.py"])
def test_code_and_data_are_no_secrets(path: str) -> None:
    assert not is_secret(path) and not is_left_out(path)


def test_what_tools_made_stays() -> None:
    paths = (".git", "a/__pycache__/b.pyc", "x.egg-info/PKG-INFO", ".venv/bin/python")
    assert all(map(is_left_out, paths))
