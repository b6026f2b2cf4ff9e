# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Shell commands, packages and calls around a function, as Covalent's client describes them."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from covalent._workflow.depsbash import DepsBash
from covalent._workflow.depspip import DepsPip

from covalent_awsbatch_plugin.runner.protocol import envelope
from tests.runner.bench import Container, Ran, hook


def test_the_order_is_bash_calls_before_function_calls_after(container: Container) -> None:
    def say(word: str) -> None:
        print(word)

    hooks = {
        "deps": {"bash": DepsBash(["echo bash", "echo more >&2"]).to_dict()},
        "call_before": [hook(say, "before 1"), hook(say, word="before 2")],
        "call_after": [hook(say, "after")],
    }
    container.add(lambda: say("function"), hooks=hooks)
    ran = container.run()
    assert ran.exit_code == 0
    assert ran.text(envelope.STDOUT).split("\n") == ["bash", "before 1", "before 2", "function", "after", ""]
    assert ran.text(envelope.STDERR) == "more\n"


def test_returned_values_are_injected(container: Container) -> None:
    """One is itself, several of a name are a list, `files` is always a list; they win over the caller's."""
    calls = [("once", 1), ("twice", 2), ("twice", 3), ("files", "path"), ("", "nobody asked")]
    hooks = {"call_before": [hook(lambda x: x, value, retval_keyword=name) for name, value in calls]}
    container.add(lambda **kwargs: kwargs, hooks=hooks, once=None, own="mine")
    assert container.run().value() == {"own": "mine", "once": 1, "twice": [2, 3], "files": ["path"]}


def test_keyword_arguments_need_not_be_identifiers(container: Container) -> None:
    container.add(lambda **kwargs: kwargs, **{"node:0": 1, "two words": 2})  # type: ignore[arg-type]
    assert container.run().value() == {"node:0": 1, "two words": 2}


@pytest.mark.parametrize("when", ["call_before", "call_after"])
def test_a_failing_call_fails_the_task(container: Container, when: str) -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    container.add(lambda: 1, hooks={when: [hook(fail)]})
    ran = container.run()
    assert ran.ended() == (envelope.RAISED, 1, None)
    assert "OSError: the disk is gone" in ran.text(envelope.ERROR)
    assert envelope.OUTPUT not in ran.task().parts


def test_a_failing_shell_command_shows_what_it_printed(container: Container) -> None:
    bash = DepsBash(["echo this worked", "echo 'no such thing' >&2; exit 7", "echo never"]).to_dict()
    container.add(lambda: 1, hooks={"deps": {"bash": bash}})
    ran = container.run()
    assert ran.task().exception_type == "subprocess.CalledProcessError"
    error = ran.text(envelope.ERROR)
    assert "returned non-zero exit status 7" in error
    assert "Its stderr ended:\nno such thing" in error
    assert ran.text(envelope.STDOUT) == "this worked\n"


def test_a_shell_command_may_leave_a_process_behind(container: Container) -> None:
    container.add(lambda: 1, hooks={"deps": {"bash": DepsBash(["sleep 600 &"]).to_dict()}})
    assert container.run(timeout=30).value() == 1


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with one wheel, `samplepackage` 1.0."""
    wheel = tmp_path / "shelf" / "samplepackage-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "samplepackage-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("samplepackage.py", "CONTENT = 'a present'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: samplepackage\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel.parent


def import_sample() -> Any:
    import samplepackage  # type: ignore[import-not-found]

    return samplepackage.CONTENT


def with_pip(container: Container, pip: DepsPip) -> Ran:
    def task() -> Any:
        import subprocess

        import samplepackage

        in_a_child = subprocess.check_output(
            [sys.executable, "-c", "import samplepackage; print(samplepackage.CONTENT)"], text=True
        )
        return samplepackage.CONTENT, in_a_child.strip()

    container.add(task, hooks={"deps": {"pip": pip.to_dict()}})
    return container.run()


def test_packages_are_there_for_the_task_and_its_children_and_not_in_somebodys_python(
    container: Container, shelf: Path
) -> None:
    ran = with_pip(container, DepsPip(packages=[f"--no-index --find-links {shelf}", "samplepackage"]))
    assert ran.value() == ("a present", "a present")
    assert ran.text(envelope.STDOUT) == ""
    with pytest.raises(ModuleNotFoundError):
        import_sample()


def test_packages_come_from_a_requirements_file(container: Container, shelf: Path, tmp_path: Path) -> None:
    listed = tmp_path / "requirements.txt"
    listed.write_text(f"--no-index\n--find-links {shelf}\nsamplepackage == 1.0\n")
    assert with_pip(container, DepsPip(reqs_path=str(listed))).value() == ("a present", "a present")


def test_pips_own_words_are_shown_when_it_fails(container: Container, shelf: Path) -> None:
    ran = with_pip(container, DepsPip(packages=[f"--no-index --find-links {shelf} samplepackage==2.0"]))
    error = ran.text(envelope.ERROR)
    assert ran.task().exception_type == "subprocess.CalledProcessError"
    assert "No matching distribution found for samplepackage==2.0" in error
    assert "pip install" in error


def test_a_package_may_be_what_an_argument_refers_to(container: Container, shelf: Path) -> None:
    """What is unpickled is unpickled behind pip."""
    sys.path.insert(0, str(shelf / "samplepackage-1.0-py3-none-any.whl"))
    try:
        import samplepackage

        packed = cloudpickle.dumps(samplepackage)
    finally:
        sys.path.pop(0)
        sys.modules.pop("samplepackage", None)
    hooks = {"deps": {"pip": DepsPip(packages=[f"--no-index --find-links {shelf} samplepackage"]).to_dict()}}
    container.add(lambda module: module.CONTENT, container.bake(packed), hooks=hooks)
    assert container.run().value() == "a present"


def test_the_home_is_writable_and_covalents_plugins_stay_out(container: Container) -> None:
    container.env["HOME"] = "/nonexistent"

    def look() -> tuple[bool, str]:
        return os.access(os.environ["HOME"], os.W_OK), os.environ["COVALENT_PLUGIN_LOAD"]

    container.add(look)
    assert container.run().value() == (True, "false")
