# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Find the modules that a pickle or a source file refers to, without running or importing them.

A pickle is read by an unpickler that replaces each named object by an inert one. Functions that cloudpickle wrote by
value carry their code, and the code's imports are read from there.
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

COVALENT = "covalent"
OURS = __name__.partition(".")[0]  # the runner has the part of it that tasks may import
NOT_ASKED_FOR = sys.stdlib_module_names | {"__main__", "__mp_main__", "cloudpickle"}  # the runner has cloudpickle


@dataclass
class References:
    """Names in a pickle or source: top-level `modules` and the source `files` of functions pickled by value.

    `folders` are those from which the pickling process imports its own modules, in the order of imports; no pickle
    names them. `whole` is False if reading stopped early. `cloudpickle` has the names of that package that the pickle
    needs.
    """

    modules: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    whole: bool = True
    folders: tuple[str, ...] = ()
    cloudpickle: set[str] = field(default_factory=set)

    def add(self, module: object) -> None:
        """Add a module by its dotted name."""
        if not isinstance(module, str) or module == OURS:
            return
        if (top := module.partition(".")[0]) and top not in NOT_ASKED_FOR:
            self.modules.add(top)

    def add_imports(self, tree: ast.AST) -> None:
        """Add the modules that code imports anywhere, by absolute name."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.add(alias.name)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                self.add(node.module)

    def merge(self, other: References) -> None:
        self.modules |= other.modules
        self.files |= other.files
        self.folders = tuple(dict.fromkeys((*self.folders, *other.folders)))
        self.cloudpickle |= other.cloudpickle
        self.whole = self.whole and other.whole


def of_pickle(stream: IO[bytes]) -> References:
    """Return the references of a pickle; if it cannot be read to its end, those before that point."""
    references = References()
    try:
        _Reader(stream, references).load()
    except Exception:  # noqa: BLE001 - any bytes may come; they are only examined
        references.whole = False
    return references


def of_source(text: str) -> References:
    """Return the modules that a source imports anywhere, by absolute name; none if it does not parse."""
    references = References()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        references.whole = False
        return references
    references.add_imports(tree)
    return references


class _InertType(type):
    """A class that stands for a named object of a pickle; calling it makes another class like it.

    A pickle may call objects and create instances of the results.
    """

    named: tuple[str, str]
    references: References
    arguments: tuple[Any, ...]

    def __call__(cls, *arguments: Any, **_: Any) -> Any:
        if cls.named[1] == "_builtin_type" and cls.arguments == ("CodeType",):
            _note_code(cls.references, arguments)
        else:
            _note_call(cls.references, cls.named, arguments)
        return _inert(cls.named, cls.references, arguments)

    def __setitem__(cls, key: Any, value: Any) -> None: ...


class _Inert:
    """An object that stands for any object of a pickle: it accepts every operation and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __setitem__(self, key: Any, value: Any) -> None: ...

    @staticmethod
    def take(*_: Any) -> None: ...

    __setstate__ = append = extend = add = take


def _inert(named: tuple[str, str], references: References, arguments: tuple[Any, ...] = ()) -> _InertType:
    return _InertType("inert", (_Inert,), {"named": named, "references": references, "arguments": arguments})


class _Reader(pickle.Unpickler):
    """An unpickler that creates only Python's plain values."""

    def __init__(self, stream: IO[bytes], references: References) -> None:
        super().__init__(stream, buffers=_no_buffers())
        self._references = references

    def find_class(self, module: str, name: str, /) -> Any:
        self._references.add(module)
        if module.partition(".")[0] == "cloudpickle":
            self._references.cloudpickle.add(f"{module}.{name}")
        return _inert((module, name), self._references)

    def persistent_load(self, pid: Any, /) -> Any:
        return None


def _no_buffers() -> Iterator[bytes]:
    while True:
        yield b""


def _note_call(references: References, named: tuple[str, str], arguments: tuple[Any, ...]) -> None:
    module, name = named
    for namespace in arguments:  # cloudpickle gives a function the `__file__` of its globals
        if isinstance(namespace, dict) and isinstance(file := namespace.get("__file__"), str):
            references.files.add(file)
    if module.startswith("cloudpickle") and name == "subimport" and arguments:
        references.add(arguments[0])
    elif name == "CodeType":
        _note_code(references, arguments)
    elif name == "import_module" and arguments:
        references.add(arguments[0])


def _note_code(references: References, arguments: tuple[Any, ...]) -> None:
    if len(arguments) != _CODE_ARGUMENTS:
        return
    code, names, file = arguments[_CODE], arguments[_NAMES], arguments[_FILENAME]
    if isinstance(file, str):
        references.files.add(file)
    if isinstance(code, bytes) and isinstance(names, tuple):
        for name in _imported(code, names):
            references.add(name)


def _imported(code: bytes, names: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the modules that a function's code imports when it runs."""
    extended = 0
    for at in range(0, len(code) - 1, 2):
        argument = extended | code[at + 1]
        extended = argument << 8 if code[at] == _EXTENDED_ARG else 0
        if code[at] == _IMPORT_NAME and argument < len(names):
            yield names[argument]
