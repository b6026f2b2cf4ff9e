# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which modules a pickle or a source file refers to, found without running or importing anything of theirs.

A pickle is read by a reader that makes an inert thing of whatever it names. Functions that cloudpickle wrote by value
carry their code, and what that imports when it runs is read from there.
"""

from __future__ import annotations

import ast
import dis
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_EXTENDED_ARG = dis.opmap["EXTENDED_ARG"]
# The arguments of types.CodeType since Python 3.11: https://docs.python.org/3/library/types.html#types.CodeType
_CODE, _NAMES, _FILENAME, _CODE_ARGUMENTS = 6, 8, 10, 18

OURS = __name__.partition(".")[0]  # what a task may import of it by this name alone, the runner brings
NOT_ASKED_FOR = sys.stdlib_module_names | {"__main__", "__mp_main__", "cloudpickle"}  # the runner brings the last


@dataclass
class References:
    """Top-level `modules`, and the source `files` of functions that travel by value; `whole` unless it broke off.

    `folders` are those from which the process that pickled imports its own modules, in the order of imports; no pickle
    names them. `cloudpickle` has the names of that package by which a pickle is to be read.
    """

    modules: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    whole: bool = True
    folders: tuple[str, ...] = ()
    cloudpickle: set[str] = field(default_factory=set)

    def add(self, module: object) -> None:
        """Notes a module by its dotted name."""
        if not isinstance(module, str) or module == OURS:
            return
        if (top := module.partition(".")[0]) and top not in NOT_ASKED_FOR:
            self.modules.add(top)

    def merge(self, other: References) -> None:
        self.modules |= other.modules
        self.files |= other.files
        self.folders = tuple(dict.fromkeys((*self.folders, *other.folders)))
        self.cloudpickle |= other.cloudpickle
        self.whole = self.whole and other.whole


def of_pickle(stream: IO[bytes]) -> References:
    """What a pickle refers to. One that can't be read to its end gives what came before."""
    found = References()
    try:
        _Reader(stream, found).load()
    except Exception:  # noqa: BLE001 - these are somebody's bytes: whatever is wrong with them, they are only looked at
        found.whole = False
    return found


def of_source(text: str) -> References:
    """What a module imports anywhere in it, by absolute name; nothing where it does not parse."""
    found = References()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        found.whole = False
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.add(alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
    return found


class _InertType(type):
    """Calling what a pickle names makes a new inert type: a pickle may go on to make instances of what it was given."""

    told: tuple[str, str]
    found: References
    arguments: tuple[Any, ...]

    def __call__(cls, *arguments: Any, **_: Any) -> Any:
        if cls.told[1] == "_builtin_type" and cls.arguments == ("CodeType",):
            _note_code(cls.found, arguments)
        else:
            _note_call(cls.found, cls.told, arguments)
        return _inert(cls.told, cls.found, arguments)

    def __setitem__(cls, key: Any, value: Any) -> None: ...


class _Inert:
    """What stands for anything that a pickle names or makes: it takes everything and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __setitem__(self, key: Any, value: Any) -> None: ...

    @staticmethod
    def take(*_: Any) -> None: ...

    __setstate__ = append = extend = add = take


def _inert(told: tuple[str, str], found: References, arguments: tuple[Any, ...] = ()) -> _InertType:
    return _InertType("inert", (_Inert,), {"told": told, "found": found, "arguments": arguments})


class _Reader(pickle.Unpickler):
    """Reads a pickle and makes nothing of it but Python's own plain values."""

    def __init__(self, stream: IO[bytes], found: References) -> None:
        super().__init__(stream, buffers=_no_buffers())
        self._found = found

    def find_class(self, module: str, name: str, /) -> Any:
        self._found.add(module)
        if module.partition(".")[0] == "cloudpickle":
            self._found.cloudpickle.add(f"{module}.{name}")
        return _inert((module, name), self._found)

    def persistent_load(self, pid: Any, /) -> Any:
        return None


def _no_buffers() -> Iterator[bytes]:
    while True:
        yield b""


def _note_call(found: References, told: tuple[str, str], arguments: tuple[Any, ...]) -> None:
    module, name = told
    for namespace in arguments:  # cloudpickle gives a function the `__file__` of its globals
        if isinstance(namespace, dict) and isinstance(file := namespace.get("__file__"), str):
            found.files.add(file)
    if module.startswith("cloudpickle") and name == "subimport" and arguments:
        found.add(arguments[0])
    elif name == "CodeType":
        _note_code(found, arguments)
    elif name == "import_module" and arguments:
        found.add(arguments[0])


def _note_code(found: References, arguments: tuple[Any, ...]) -> None:
    if len(arguments) != _CODE_ARGUMENTS:
        return
    code, names, file = arguments[_CODE], arguments[_NAMES], arguments[_FILENAME]
    if isinstance(file, str):
        found.files.add(file)
    if isinstance(code, bytes) and isinstance(names, tuple):
        for name in _imported(code, names):
            found.add(name)


def _imported(code: bytes, names: tuple[Any, ...]) -> Iterator[Any]:
    """The modules that a function's code imports when it runs."""
    extended = 0
    for at in range(0, len(code) - 1, 2):
        argument = extended | code[at + 1]
        extended = argument << 8 if code[at] == _EXTENDED_ARG else 0
        if code[at] == _IMPORT_NAME and argument < len(names):
            yield names[argument]
