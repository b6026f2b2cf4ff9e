# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What an electron prints, by whichever way, and the ways to end that are no return."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import covalent as ct
import pytest

from tests.server.covalent_world import CovalentWorld, Node


def failed_node(world: CovalentWorld, function: object) -> Node:
    """How a workflow of this one function fails."""
    electron = ct.electron(function, executor="awsbatch")

    @ct.lattice
    def workflow():
        return electron()

    return world.failed(workflow).node(function.__name__)  # type: ignore[attr-defined]


SCRIPT = """
import sys
import covalent as ct

@ct.electron(executor="awsbatch")
def fail():
    return 1 / 0  # the remark

@ct.lattice
def workflow():
    return fail()

print(ct.dispatch(workflow, dispatcher_addr=sys.argv[1])())
"""


def test_a_traceback_shows_the_lines_of_the_script(world: CovalentWorld, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    command = [sys.executable, str(path), world.server.address]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    node = world.end_of(done.stdout.split()[-1]).node("fail")
    assert f'File "{path}", line 7, in fail\n    return 1 / 0  # the remark\n' in node.error


def test_what_child_processes_and_file_descriptors_print_is_kept(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch")
    def speak():
        print("from Python", flush=True)
        os.write(1, b"from the descriptor\n")
        subprocess.run(["sh", "-c", "echo from a child; echo from its heart >&2"], check=True)
        print("to stderr", file=sys.stderr)
        return "said"

    @ct.lattice
    def workflow():
        return speak()

    node = world.completed(workflow).node("speak")

    assert node.stdout == "from Python\nfrom the descriptor\nfrom a child\n"
    assert node.stderr == "from its heart\nto stderr\n"


def test_output_in_any_script_and_in_none_comes_through(any_world: CovalentWorld) -> None:
    text = "Grüße, Καλημέρα, 你好, 🦆, a\u0301"

    @ct.electron(executor="awsbatch")
    def speak(word):
        print(word, flush=True)
        os.write(1, b"no text: \xff\n")
        print(word, file=sys.stderr)
        return {word: word}

    @ct.lattice
    def workflow(word):
        return speak(word)

    ran = any_world.completed(workflow, text)

    assert ran.value == {text: text}
    node = ran.node("speak")
    assert node.stdout == f"{text}\nno text: \\xff\n"
    assert node.stderr == f"{text}\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, "code 0"), (3, "code 3"), (None, "code 0"), ("out of paper", "code 1 and said: out of paper")],
)
def test_sys_exit_returns_no_value_whatever_its_code(world: CovalentWorld, code: object, told: str) -> None:
    def leave():
        print("about to leave")
        sys.exit(code)

    node = failed_node(world, leave)

    assert node.stdout == "about to leave\n"
    assert node.error.startswith("`leave` (Batch job ")
    assert told in node.error


def test_os_exit_is_told_with_its_code(world: CovalentWorld) -> None:
    def leave():
        print("gone without a word", flush=True)
        os._exit(7)

    node = failed_node(world, leave)

    assert node.stdout == "gone without a word\n"
    assert node.error.startswith("`leave` (Batch job ")
    assert "code 7" in node.error


def test_a_crash_of_native_code_is_told_by_its_signal(world: CovalentWorld) -> None:
    def crash():
        print("reading memory that is not ours", flush=True)
        ctypes.string_at(0)

    node = failed_node(world, crash)

    assert node.stdout == "reading memory that is not ours\n"
    assert node.error.startswith("`crash` (Batch job ")
    assert signal.SIGSEGV.name in node.error


def test_a_result_that_cannot_be_pickled_is_named_by_its_type(world: CovalentWorld) -> None:
    def lock():
        print("computed")
        return threading.Lock()

    node = failed_node(world, lock)

    assert node.stdout == "computed\n"
    assert node.error.startswith("`lock` (Batch job ")
    assert "cannot pickle '_thread.lock' object" in node.error


def test_an_exception_of_a_class_that_only_the_job_has_is_told_whole(world: CovalentWorld) -> None:
    class OutOfCoffee(Exception):
        """Neither the server nor the client can import it."""

        def __reduce__(self):
            raise TypeError("I do not travel")

    def work():
        try:
            raise KeyError("beans")
        except KeyError as error:
            raise OutOfCoffee("the pot is empty") from error

    node = failed_node(world, work)

    assert node.error.startswith("`work` (Batch job ")
    assert "OutOfCoffee" in node.error.splitlines()[0]
    assert "KeyError: 'beans'" in node.error
    assert node.error.rstrip().endswith("OutOfCoffee: the pot is empty")
