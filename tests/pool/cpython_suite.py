# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CPython's own tests of `concurrent.futures` as they lie on this machine: found, imported, and run.

They lie in the standard library of most builds (pyenv's, python.org's) and in Debian's libpython3.11-testsuite: since
3.12 as a package, before as one file. The tests of a newer Python run on an older one too.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

NAME = "test_concurrent_futures"
MODULES = (
    "executor", "test_as_completed", "test_deadlock", "test_future", "test_init", "test_process_pool",
    "test_shutdown", "test_thread_pool", "test_wait",
)  # fmt: skip
MIXINS = ("ThreadPool", "ProcessPool")  # the classes that CPython makes of the general ones for its own executors


@cache
def folder() -> Path | None:
    """Return the folder `test` that has them: CPYTHON_TESTS, this Python's own, else the newest one of this machine."""
    if stated := os.environ.get("CPYTHON_TESTS"):
        return Path(stated)
    pyenv = [Path("/root/.pyenv/versions"), Path(os.environ.get("PYENV_ROOT", "/root/.pyenv"), "versions")]
    others = [path for root in pyenv for path in root.glob("3.1?.*/lib/python3.1?/test")]
    others += [path for place in ("usr", "usr/local") for path in Path("/", place).glob("lib/python3.1?/test")]
    others = sorted((path for path in others if path.parent.name >= "python3.11"), key=lambda path: path.parent.name)
    own = Path(sysconfig.get_path("stdlib")) / "test"
    return next((path for path in (own, *reversed(others)) if list(path.glob(f"{NAME}*"))), None)


@contextmanager
def imported() -> Iterator[dict[str, ModuleType]]:
    """Import the tests' modules, whatever `test` this Python has; yield them by name. Their functions go by value."""
    where = folder()
    assert where, "no CPython tests are on this machine"
    own = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "test"}
    package = ModuleType("test")
    package.__path__ = [str(where)]
    sys.modules["test"] = package
    names = MODULES if (where / NAME).is_dir() else ("",)
    modules = {name: importlib.import_module(f"test.{NAME}{name and '.'}{name}") for name in names}
    for module in modules.values():
        cloudpickle.register_pickle_by_value(module)
    try:
        yield modules
    finally:
        for module in modules.values():
            cloudpickle.unregister_pickle_by_value(module)
        for name in [name for name in sys.modules if name.split(".")[0] == "test"]:
            del sys.modules[name]
        sys.modules.update(own)


@cache
def all_tests() -> tuple[str, ...]:
    """Return all tests as `Class.test`, each once: those that CPython repeats for its executors are in one class."""
    with imported() as modules:
        return tuple(
            f"{name}.{test}"
            for module in modules.values()
            for name, value in sorted(vars(module).items())
            if isinstance(value, type) and value.__module__ == module.__name__
            for test in sorted(vars(value))
            if test.startswith("test_")
        )


def run(name: str, executor_type: type, **replaced: Any) -> unittest.TestResult:
    """Run `Class.test` with another executor; `replaced` are names of its module that mean something else here."""
    class_name, test = name.split(".")
    with imported() as modules:
        module = next(module for module in modules.values() if hasattr(module, class_name))
        util = modules.get("", None) or sys.modules[f"test.{NAME}.util"]
        for key, value in replaced.items():
            setattr(module, key, value)
        util.BaseTestCase.setUp = unittest.TestCase.setUp  # the thread of the pools' loop stays, by design
        util.BaseTestCase.tearDown = unittest.TestCase.tearDown
        tests: type = getattr(module, class_name)
        bases = (tests,) if issubclass(tests, unittest.TestCase) else (tests, util.ExecutorMixin, util.BaseTestCase)
        body = {"executor_type": executor_type, "get_context": lambda self: None}
        case = type(class_name, bases, body)(test)
        result = unittest.TestResult()
        case.run(result)
    return result
