# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Unpickling as in the user's script: its functions are members of `__main__` and have their file and source lines.

cloudpickle writes functions of a script by value and leaves out their file names. Other pickles name such a function:
those of multiprocessing, for a function that a pool runs. Processes that a pool starts anew load the functions again.
"""

from __future__ import annotations

import importlib.machinery
import json
import linecache
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any

from .kept_file import ImageFile, reader
from .protocol import layout

ENV_PICKLES = "COVALENT_AWSBATCH_SCRIPT"  # the pickles with functions of the script: paths, offsets, sizes, as JSON
DYNAMIC = "<dynamic-code>"  # cloudpickle's name for every file, since version 3.1.3

_main: ModuleType | None = None  # the runner's own `__main__`, which must not be emptied


@dataclass(frozen=True)
class SourceLines:
    """The source of one function: its file, the number of its first line from 1, its qualified name, its text."""

    file: str
    line: int
    name: str
    text: str


@dataclass(frozen=True)
class Place:
    """The place of a pickle: a file that another process of the task can open, an offset and a size in bytes."""

    path: str
    begin: int
    size: int


class Script:
    """The user's script, as far as the task's pickles have it; `module` becomes `__main__` by `begin`."""

    def __init__(self, sources: Sequence[SourceLines] = ()) -> None:
        self.module = ModuleType("__main__")
        self._files = {(source.name, source.line): source.file for source in sources}
        self._functions: dict[Any, FunctionType] = {}
        self._places: list[Place] = []
        self._one_copy = False
        self._members_found = False
        self._makers: dict[str, Callable[..., Any]] = {
            "_make_function": self._make_function,
            "_make_skeleton_class": self._make_class,
            "_make_skeleton_enum": self._make_enum,
        }
        _show_lines(sources)

    def begin(self) -> None:
        """Make the script's module `__main__`."""
        global _main
        _main, sys.modules["__main__"] = sys.modules["__main__"], self.module

    def load(
        self,
        file: IO[bytes],
        place: Place | None = None,
        *,
        one_copy: bool = True,
        shared: Callable[[str], Any] | None = None,
    ) -> Any:
        """Return the value of a pickle. An exception of unpickling is raised.

        `place` is where a process that multiprocessing starts finds it. `one_copy`: a function of several pickles is
        one object, as in the script; otherwise the pickle's own copy is taken, with the values of its globals. `shared`
        returns an object that the pickle names by its persistent id.
        """
        self._one_copy, self._members_found = one_copy, False
        value = _Unpickler(file, self, shared).load()
        if place and self._members_found:
            self._places.append(place)
            os.environ[ENV_PICKLES] = json.dumps([vars(each) for each in self._places])
            self.module.__spec__ = importlib.machinery.ModuleSpec(layout.SPAWNED, None)
        return value

    def find(self, name: str) -> Any:
        """Return a member of the script. Raises AttributeError with what to do."""
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise AttributeError(travels_by_name(name)) from None

    def maker(self, module: str, name: str) -> Callable[..., Any] | None:
        """Return what takes the place of one of cloudpickle's constructors, None for anything else."""
        return self._makers.get(name) if module == "cloudpickle.cloudpickle" else None

    def _make_function(
        self, code: CodeType, namespace: dict[str, Any], name: str | None, defaults: Any, closure: Any
    ) -> FunctionType:
        """Do as cloudpickle's function of this name does, with the code's true file name."""
        namespace["__builtins__"] = __builtins__
        own = namespace.get("__name__") == "__main__"
        member = own and closure is None and code.co_qualname.isidentifier()
        key = (code.co_qualname, code.co_firstlineno, code.co_code, code.co_names)
        if member and self._one_copy and key in self._functions:
            self._members_found = True
            return self._functions[key]
        code = self._with_file(code, namespace.get("__file__"))
        function = FunctionType(code, namespace, name, defaults, closure)
        if member:
            self._functions.setdefault(key, function)
            self._add(code.co_name, function)
        return function

    def _make_class(self, kind: Any, name: str, bases: Any, attributes: dict[str, Any], *rest: Any) -> Any:
        import cloudpickle.cloudpickle

        skeleton = cloudpickle.cloudpickle._make_skeleton_class(kind, name, bases, attributes, *rest)
        if attributes.get("__module__") == "__main__":
            self._add(name, skeleton)
        return skeleton

    def _make_enum(self, bases: Any, name: str, qualname: str, members: Any, module: str, *rest: Any) -> Any:
        import cloudpickle.cloudpickle

        skeleton = cloudpickle.cloudpickle._make_skeleton_enum(bases, name, qualname, members, module, *rest)
        if module == "__main__" and qualname == name:
            self._add(name, skeleton)
        return skeleton

    def _add(self, name: str, member: Any) -> None:
        self._members_found = True
        vars(self.module).setdefault(name, member)

    def _with_file(self, code: CodeType, file: object) -> CodeType:
        """Return the code with its file name and that of the functions in it; the same where it is not known."""
        file = self._files.get((code.co_qualname, code.co_firstlineno)) or file
        if code.co_filename != DYNAMIC or not isinstance(file, str):
            return code
        constants = (self._with_file(each, file) if isinstance(each, CodeType) else each for each in code.co_consts)
        return code.replace(co_filename=file, co_consts=tuple(constants))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], script: Script, shared: Callable[[str], Any] | None) -> None:
        super().__init__(file)
        self._script, self._shared = script, shared

    def persistent_load(self, pid: Any, /) -> Any:
        if self._shared is None:
            raise pickle.UnpicklingError("this pickle names another object, and none is known here")
        return self._shared(pid)

    def find_class(self, module: str, name: str, /) -> Any:
        if module == "__main__":
            return self._script.find(name)
        return self._script.maker(module, name) or super().find_class(module, name)


def travels_by_name(name: str) -> str:
    """Return the text for a member of the script that its pickle only names."""
    return (
        f"`{name}` of the script was sent by its name only, which nothing knows outside of the script: it is no plain "
        "function, but for example one with functools.lru_cache. Move it to a module of its own "
        "(deps_module, or environment='auto'), or create it inside the electron."
    )


def spawned(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the script's members, in a process that multiprocessing started. Raises OSError."""
    script = Script()
    for each in json.loads(environment.get(ENV_PICKLES) or "[]"):
        place = Place(**each)
        with reader(ImageFile(Path(place.path)), place.begin, place.size) as file:
            script.load(file)
    return {name: member for name, member in vars(script.module).items() if not name.startswith("__")}


def sources_of(data: bytes) -> list[SourceLines]:
    """Return the source lines in the JSON that a client sends beside a function."""
    return [SourceLines(**each) for each in json.loads(data or b"[]")]


def _show_lines(sources: Sequence[SourceLines]) -> None:
    """Give the lines to `linecache`, which tracebacks, warnings and debuggers read; their files are not here."""
    files: dict[str, dict[int, str]] = {}
    for source in sources:
        for number, line in enumerate(source.text.splitlines(keepends=True), source.line):
            files.setdefault(source.file, {})[number] = line
    for name, lines in files.items():
        text = [lines.get(number, "\n") for number in range(1, max(lines) + 1)]
        linecache.cache[name] = (sum(map(len, text)), None, text, name)
