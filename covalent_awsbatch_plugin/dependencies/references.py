# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Find the modules that a pickle or a source file refers to, without running or importing them.

A pickle is read by an unpickler that replaces each named object by an inert one. Functions that cloudpickle wrote by
value carry their code, and the code's imports are read from there.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_EXTENDED_ARG = dis.opmap["EXTENDED_ARG"]
# The arguments of types.CodeType since Python 3.11: https://docs.python.org/3/library/types.html#types.CodeType
_CODE, _CONSTANTS, _NAMES, _FILENAME, _QUALNAME, _LINE, _CODE_ARGUMENTS = 6, 7, 8, 10, 12, 13, 18

DYNAMIC = "<dynamic-code>"  # what cloudpickle writes for each file name since 3.1.3

COVALENT = "covalent"
OURS = __name__.partition(".")[0]
OF_THE_RUNNER = {OURS, f"{OURS}.lithops_compat"}  # the runner has the part of them that tasks may import
NOT_ASKED_FOR = sys.stdlib_module_names | {"__main__", "__mp_main__", "cloudpickle"}  # the runner has cloudpickle


class PickledCode(NamedTuple):
    """A function that a pickle has by value: its file ("" if unknown), first line, qualified name and `code_digest`."""

    file: str
    line: int
    name: str
    digest: str


def code_digest(code: bytes, constants: Any, names: Any) -> str:
    """Return a digest of a code object's byte-code, plain constants and names, by which two sources are told apart."""
    plain = [_constant(each) for each in constants] if isinstance(constants, tuple) else []
    return hashlib.sha256(repr((code, plain, names)).encode("utf-8", "backslashreplace")).hexdigest()


def _constant(value: Any) -> str:
    """Return a constant as text; "" for code and for what a pickle has by reference."""
    if isinstance(value, frozenset):
        return repr(sorted(map(repr, value)))
    return repr(value) if isinstance(value, (int, float, str, bytes, tuple, type(None))) else ""


@dataclass
class References:
    """Names in a pickle or source: top-level `modules` and the source `files` of functions pickled by value.

    `folders` are those from which the pickling process imports its own modules, in the order of imports; no pickle
    names them. `whole` is False if reading stopped early. `cloudpickle` has the names of that package that the pickle
    needs. `codes` are the functions pickled by value, and `of_main` the members of `__main__` that are only named.
    `of_covalent` says that one of these functions is Covalent's own.
    """

    modules: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    whole: bool = True
    folders: tuple[str, ...] = ()
    cloudpickle: set[str] = field(default_factory=set)
    codes: set[PickledCode] = field(default_factory=set)
    of_main: set[str] = field(default_factory=set)
    of_covalent: bool = False

    @property
    def needs_covalent(self) -> bool:
        """True where Covalent is named, or where a function of Covalent imports a package that Covalent requires."""
        return COVALENT in self.modules or (self.of_covalent and bool(self.modules))

    def add(self, module: object) -> None:
        """Add a module by its dotted name."""
        if not isinstance(module, str) or module in OF_THE_RUNNER:
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
        self.of_covalent = self.of_covalent or other.of_covalent
        self.codes |= other.codes
        self.of_main |= other.of_main
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
        if module == "__main__":
            self._references.of_main.add(name)
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
    if name == "_make_function" and len(arguments) > 1:
        _note_function(references, *arguments[:2])
    for namespace in arguments:  # cloudpickle gives a function the `__file__` and the `__name__` of its globals
        if isinstance(namespace, dict):
            if isinstance(file := namespace.get("__file__"), str):
                references.files.add(file)
            references.of_covalent |= str(namespace.get("__name__")).startswith(f"{COVALENT}.")
    if module.startswith("cloudpickle") and name == "subimport" and arguments:
        references.add(arguments[0])
    elif name == "CodeType":
        _note_code(references, arguments)
    elif name == "import_module" and arguments:
        references.add(arguments[0])


def _note_function(references: References, code: Any, namespace: Any) -> None:
    """Note a function by its code, whose file name cloudpickle replaces since 3.1.3, and by its globals."""
    arguments = code.arguments if isinstance(code, _InertType) else ()
    if len(arguments) != _CODE_ARGUMENTS:
        return
    name, line, file = (arguments[at] for at in (_QUALNAME, _LINE, _FILENAME))
    if file == DYNAMIC:
        file = namespace.get("__file__") or "" if isinstance(namespace, dict) else ""
    if isinstance(name, str) and isinstance(line, int) and isinstance(file, str):
        digest = code_digest(*(arguments[at] for at in (_CODE, _CONSTANTS, _NAMES)))
        references.codes.add(PickledCode(file, line, name, digest))


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
