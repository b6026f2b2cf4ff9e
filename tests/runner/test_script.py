# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A function behaves in the container as in the script that it comes from."""

from __future__ import annotations

import linecache
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.dependencies.source_lines import source_lines
from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from covalent_awsbatch_plugin.runner.script import SourceLines, sources_of
from tests.runner.bench import Container, OutputOf

DUMP = "import sys, cloudpickle; open(sys.argv[1], 'wb').write(cloudpickle.dumps({name}))"


def of_script(folder: Path, text: str, name: str = "task") -> bytes:
    """The pickle of a member of a script, which a process of its own runs as `__main__`."""
    path, pickle = folder / "script.py", folder / f"{name}.pickle"
    path.write_text(f"{text}\n{DUMP.format(name=name)}\n")
    subprocess.run([sys.executable, str(path), str(pickle)], check=True)
    return pickle.read_bytes()


POOLS = """
import concurrent.futures, multiprocessing

class Point:
    def __init__(self, x):
        self.x = x

def helper(x):
    return x * x

def of_point(point):
    return Point(point.x + 1)

def task(kind, way):
    context = multiprocessing.get_context(way)
    if kind == "pool":
        with context.Pool(2) as pool:
            values, points = pool.map(helper, range(4)), pool.map(of_point, [Point(1), Point(2)])
    else:
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            values, points = list(pool.map(helper, range(4))), list(pool.map(of_point, [Point(1), Point(2)]))
    return values, [point.x for point in points]
"""


@pytest.mark.parametrize("kind", ["pool", "executor"])
@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_helpers_of_the_script_run_in_a_process_pool(container: Container, tmp_path: Path, kind: str, way: str) -> None:
    container.add(of_script(tmp_path, POOLS), kind, way)
    with (
        tempfile.TemporaryDirectory() as short
    ):  # a forkserver's socket is there, and its path has 107 characters at most
        container.env["TMPDIR"] = short
        assert container.run().value() == ([0, 1, 4, 9], [2, 3])


def test_a_function_that_is_an_argument_too_runs_in_a_pool(container: Container, tmp_path: Path) -> None:
    script = """
import multiprocessing
def helper(x):
    return x + 1
def task(function):
    assert function is helper
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(function, [1])
"""
    function, argument = (of_script(tmp_path, script, name) for name in ("task", "helper"))
    container.add(function, container.upload(argument))
    assert container.run().value() == [2]


def test_a_function_of_an_earlier_value_keeps_the_values_of_its_globals(container: Container, tmp_path: Path) -> None:
    script = """
N = 1
def read():
    return N
def change():
    global N
    N = 2
    return read
def task(function):
    return function(), read()
"""
    container.add(of_script(tmp_path, script, "change"))
    container.add(of_script(tmp_path, script), OutputOf(0))
    assert container.run().value(1) == (2, 1)


def test_the_user_packages_of_the_image_are_imported(container: Container) -> None:
    home = container.root / "home"
    minor = sys.version_info.minor
    folder = home / f".local/lib/python3.{minor}/site-packages"
    folder.mkdir(parents=True)
    (folder / "of_the_user.py").write_text("VALUE = 42")
    container.env["HOME"] = str(home)

    def task() -> int:
        import of_the_user  # type: ignore[import-not-found]

        return int(of_the_user.VALUE)

    container.add(task)
    assert container.run().value() == 42


def test_a_coroutine_function_runs(container: Container) -> None:
    async def task(x: int) -> int:
        import asyncio

        await asyncio.sleep(0)
        return x + 1

    container.add(task, 1)
    assert container.run().value() == 2


def test_a_value_that_pickles_and_does_not_unpickle_is_none(container: Container) -> None:
    def task() -> object:
        class Odd(Exception):
            def __init__(self, one: object, two: object) -> None:
                super().__init__(one)

        return [Odd(1, 2)]

    container.add(task, name="task")
    ran = container.run()
    assert ran.ended() == (envelope.UNPICKLABLE, 1, None)
    assert "task returned a value of type list, which can't be unpickled again: TypeError" in ran.text(envelope.ERROR)
    assert envelope.OUTPUT not in ran.task().parts


def test_a_function_that_is_only_named_says_what_to_do(container: Container, tmp_path: Path) -> None:
    script = """
import functools
@functools.lru_cache
def cached(x):
    return x
def task(x):
    return cached(x)
"""
    container.add(of_script(tmp_path, script), 1)
    ran = container.run()
    assert ran.exit_code == layout.RAISED.code
    text = ran.text(envelope.ERROR)
    assert "`cached` of the script was sent by its name only" in text
    assert "functools.lru_cache" in text


def test_tracebacks_show_the_source_lines_that_came_with_the_function(container: Container, tmp_path: Path) -> None:
    script = """
import traceback
def task():
    def inner():
        return 1 / 0  # the remark
    try:
        inner()
    except ZeroDivisionError:
        print(traceback.format_exc())
        raise
"""
    pickle = of_script(tmp_path, script)
    lines = source_lines(pickle, platform.python_version())
    (tmp_path / "script.py").unlink()
    container.add(pickle)
    container.tasks[0] = replace(container.tasks[0], sources=container.bake(lines))
    ran = container.run()
    for name in (envelope.ERROR, envelope.STDOUT):
        assert f'File "{tmp_path / "script.py"}", line 5, in inner\n    return 1 / 0  # the remark\n' in ran.text(name)


def test_the_lines_of_a_cell_are_found_without_a_file() -> None:
    text = "def task():\n    return 1 / 0\n"
    cell = "<ipython-input-1>"
    linecache.cache[cell] = (len(text), None, text.splitlines(keepends=True), cell)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, cell, "exec"), namespace)
    lines = source_lines(cloudpickle.dumps(namespace["task"]), platform.python_version())
    assert sources_of(lines) == [SourceLines(cell, 1, "task", text)]
    del linecache.cache[cell]


def test_tracebacks_name_the_file_of_the_script(container: Container, tmp_path: Path) -> None:
    script = """
def task():
    def inner():
        return 1 / 0
    return inner()
"""
    container.add(of_script(tmp_path, script))
    text = container.run().text(envelope.ERROR)
    assert f'File "{tmp_path / "script.py"}", line 5, in task\n' in text
    assert f'File "{tmp_path / "script.py"}", line 4, in inner\n' in text
