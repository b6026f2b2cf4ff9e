# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A canonical digest of functions and arguments: equal in every process for what is equal, whatever the hash seed.

Pickles can't serve: a set, or a class of the script, is pickled differently in each process. Here sets and
dictionaries are in canonical order; functions are their code, defaults, closures and the globals that they refer to,
by value; classes of the script are their attributes. What belongs to an installed module goes by its name.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import functools
import hashlib
import math
import pathlib
import struct
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

DIGEST_BYTES = 16
_VERSION = b"identity 1"
_INSTALLED = frozenset({"site-packages", "dist-packages"})
# Attributes of a class that Python or a decorator makes, and that differ from process to process or tell nothing.
_NOT_OF_A_CLASS = frozenset(
    """
    __dict__ __weakref__ __doc__ __module__ __qualname__ __firstlineno__ __static_attributes__ __abstractmethods__
    _abc_impl __slotnames__ __orig_bases__ __parameters__ __annotate__ __annotate_func__ __annotations_cache__
    """.split()  # noqa: SIM905 - a list of words
)
_LITTLE_TO_TELL = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType)


class NoIdentity(Exception):
    """A value has no canonical form; the message is its type."""


def identity(value: Any, own_modules: Callable[[str], bool] | None = None) -> bytes:
    """Return the digest of a value, `DIGEST_BYTES` long. Raises NoIdentity for one without a canonical form.

    `own_modules` tells whether a module is the user's own, whose content counts.
    """
    try:
        return _digest(_VERSION + _Form(own_modules or is_own_module).of(value))
    except RecursionError:
        raise NoIdentity("a structure that is nested too deeply") from None


class _Form:
    """The canonical form of one value, as bytes; an object that contains itself is named by its place."""

    def __init__(self, is_own: Callable[[str], bool]) -> None:
        self._is_own = is_own
        self._open: dict[int, int] = {}  # the number of each object that encloses the current one, by id
        self._outermost = math.inf  # the lowest number that the current object refers to
        self._forms: dict[int, tuple[Any, bytes]] = {}  # of objects that refer to no object around them, by id

    def of(self, value: Any) -> bytes:
        """Return the form; each piece of it has its kind and its size, so that no two values have the same."""
        kind = type(value)
        if plain := _PLAIN.get(kind):
            return _piece(kind.__name__, plain(value))
        if id(value) in self._open:
            self._outermost = min(self._outermost, self._open[id(value)])
            return _piece("again", b"%d" % self._open[id(value)])
        if id(value) in self._forms:
            return self._forms[id(value)][1]
        number = self._open[id(value)] = len(self._open)
        before, self._outermost = self._outermost, math.inf
        try:
            form = _piece("digest", _digest(b"".join(self._compound(kind, value))))
        finally:
            del self._open[id(value)]
        if self._outermost >= number:
            self._forms[id(value)] = value, form
        else:
            before = min(before, self._outermost)
        self._outermost = before
        return form

    def _compound(self, kind: type, value: Any) -> Iterator[bytes]:
        if kind in (tuple, list):
            yield _piece(kind.__name__, b"%d" % len(value))
            for each in value:
                yield self.of(each)
        elif kind in (set, frozenset):
            yield from self._sorted(kind.__name__, map(self.of, value))
        elif kind is dict or kind is types.MappingProxyType:
            yield from self._sorted("dict", (self.of(k) + self.of(v) for k, v in value.items()))
        elif kind is memoryview:
            yield _piece("memoryview", value.tobytes())
        elif isinstance(value, types.CodeType):
            yield from self._code(value)
        elif isinstance(value, _CALLABLES):
            yield from self._callable(value)
        elif isinstance(value, types.ModuleType):
            yield from self._module(value.__name__, getattr(value, "__file__", None))
        elif isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, enum.Enum):
            yield _piece("member", value.name.encode())
            yield from self._class(kind)
        elif isinstance(value, pathlib.PurePath):
            yield _piece(f"path {kind.__name__}", str(value).encode("utf-8", "surrogateescape"))
        else:
            yield from self._object(kind, value)

    @staticmethod
    def _sorted(name: str, forms: Iterable[bytes]) -> Iterator[bytes]:
        ordered = sorted(forms)
        yield _piece(name, b"%d" % len(ordered))
        yield from ordered

    # ---- functions --------------------------------------------------------------------------------------------------
    def _callable(self, value: Any) -> Iterator[bytes]:
        if isinstance(value, functools.partial):
            yield _piece("partial", b"")
            yield self.of(value.func)
            yield self.of(value.args)
            yield self.of(value.keywords)
        elif isinstance(value, types.MethodType):
            yield _piece("method", value.__func__.__name__.encode())
            yield self.of(value.__func__)
            yield self.of(value.__self__)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, (staticmethod, classmethod)):
            yield _piece(type(value).__name__, b"")
            yield self.of(value.__func__)
        elif isinstance(value, property):
            yield _piece("property", b"")
            yield self.of((value.fget, value.fset, value.fdel))
        else:  # built-in functions and methods, by their name
            owner = getattr(value, "__self__", None)
            yield _piece("built-in", f"{getattr(value, '__module__', None)}.{value.__qualname__}".encode())
            if owner is not None and not isinstance(owner, types.ModuleType):
                yield self.of(owner)

    def _function(self, value: types.FunctionType) -> Iterator[bytes]:
        module = value.__module__ or ""
        if not self._is_own(module) and "<locals>" not in value.__qualname__ and value.__name__ != "<lambda>":
            yield _piece("function", f"{module}.{value.__qualname__}".encode())
            return
        yield _piece("own function", value.__name__.encode())
        yield self.of(value.__code__)
        yield self.of(value.__defaults__)
        yield self.of(value.__kwdefaults__)
        for cell in value.__closure__ or ():
            try:
                yield self.of(cell.cell_contents)
            except ValueError:  # a cell that is not filled yet
                yield _piece("empty cell", b"")
        names = _names_in(value.__code__, value.__globals__)
        yield self.of({name: value.__globals__[name] for name in names})
        if wrapped := vars(value).get("__wrapped__"):
            yield self.of(wrapped)

    def _code(self, code: types.CodeType) -> Iterator[bytes]:
        """Yield the parts of a code object that make its behaviour: no line numbers, no file names."""
        yield _piece("code", code.co_code)
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        yield _piece("shape", repr((shape, names, code.co_exceptiontable)).encode())
        yield self.of(code.co_consts)

    # ---- modules, classes and other objects -------------------------------------------------------------------------
    def _module(self, name: str, file: str | None) -> Iterator[bytes]:
        yield _piece("module", name.encode())
        if file and self._is_own(name):
            try:
                yield _piece("file", hashlib.blake2b(pathlib.Path(file).read_bytes()).digest())
            except OSError:
                return

    def _class(self, kind: type) -> Iterator[bytes]:
        if not self._is_own(kind.__module__):
            yield _piece("class", f"{kind.__module__}.{kind.__qualname__}".encode())
            return
        yield _piece("own class", kind.__qualname__.encode())
        yield self.of(kind.__bases__)
        if issubclass(kind, enum.Enum):
            yield self.of({name: member.value for name, member in kind.__members__.items()})
            return
        attributes = {
            name: value
            for name, value in vars(kind).items()
            if name not in _NOT_OF_A_CLASS and not isinstance(value, _LITTLE_TO_TELL) and not _is_made(name, value)
        }
        yield self.of({name: _attribute(name, value) for name, value in attributes.items()})

    def _object(self, kind: type, value: Any) -> Iterator[bytes]:
        yield _piece("object", kind.__qualname__.encode())
        yield from self._class(kind)
        if form := _array_form(value):
            yield self.of(form)
        elif dataclasses.is_dataclass(value):
            yield self.of({each.name: getattr(value, each.name) for each in dataclasses.fields(value)})
        elif isinstance(value, _BASE_TYPES) and type(value).__reduce_ex__ is object.__reduce_ex__:
            base = next(make for make, base in zip(_BASES, _BASE_TYPES, strict=True) if isinstance(value, base))
            yield self.of(base(value))
            yield self.of(getattr(value, "__dict__", None))
        else:
            yield from self._by_reduce(kind, value)

    def _by_reduce(self, kind: type, value: Any) -> Iterator[bytes]:
        """Yield the parts of an object that a pickle keeps: the call that makes it, and its state."""
        by_type = copyreg.dispatch_table.get(kind)
        try:
            reduced: Any = by_type(value) if by_type else value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001 - the user's own method runs here
            raise NoIdentity(f"{kind.__module__}.{kind.__qualname__}") from None
        if isinstance(reduced, str):
            yield _piece("named", f"{getattr(value, '__module__', None)}.{reduced}".encode())
            yield self.of(getattr(value, "__wrapped__", None))  # of functools.lru_cache
            return
        maker, args, state, items, pairs = (tuple(reduced) + (None,) * 3)[:5]
        yield self.of(maker)
        yield self.of(tuple(args))
        yield self.of(state)
        yield self.of(list(items) if items is not None else None)
        yield self.of(list(pairs) if pairs is not None else None)


_BASES: tuple[Callable[[Any], Any], ...] = (dict, list, tuple, set, frozenset, str, bytes, int, float)
_BASE_TYPES = (dict, list, tuple, set, frozenset, str, bytes, int, float)
_CALLABLES = (
    functools.partial, types.MethodType, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType, types.MethodWrapperType, staticmethod, classmethod, property,
)  # fmt: skip
_PLAIN: Mapping[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"",
    type(...): lambda _: b"",
    type(NotImplemented): lambda _: b"",
    bool: lambda value: b"%d" % value,
    int: lambda value: b"%d" % value,
    float: lambda value: struct.pack(">d", value),
    complex: lambda value: struct.pack(">dd", value.real, value.imag),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: lambda value: value,
    bytearray: bytes,
    range: lambda value: repr(value).encode(),
    slice: lambda value: repr(value).encode(),
}


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _piece(kind: str, data: bytes) -> bytes:
    return b"%b %d:%b" % (kind.encode(), len(data), data)


def _names_in(code: types.CodeType, namespace: Mapping[str, Any]) -> set[str]:
    """Return the globals that a code object, and the code in it, may refer to."""
    names = {name for name in code.co_names if name in namespace}
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            names |= _names_in(each, namespace)
    return names


def _array_form(value: Any) -> tuple[Any, ...] | None:
    """Return type, shape and bytes of an array, by the interface of numpy's arrays; None for other objects."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    to_bytes = getattr(value, "tobytes", None)
    if dtype is None or shape is None or not callable(to_bytes) or getattr(dtype, "hasobject", True):
        return None
    return str(getattr(dtype, "descr", dtype)), tuple(shape), to_bytes()


def _is_made(name: str, value: Any) -> bool:
    """Return whether a decorator such as `dataclass` made an attribute: its code has no file of the user's."""
    if name in ("__dataclass_params__", "__match_args__", "__dataclass_fields__"):
        return True
    return isinstance(value, types.FunctionType) and value.__code__.co_filename.startswith("<string>")


def _attribute(name: str, value: Any) -> Any:
    """Return the part of a class's attribute that counts: the function of a cached property, names of annotations."""
    if name == "__annotations__":
        return list(value)
    return value.func if isinstance(value, functools.cached_property) else value


@functools.cache
def is_own_module(name: str) -> bool:
    """Return whether a module is the user's own: the script, or a file that no installer wrote."""
    if name == "__main__":
        return True
    top = name.partition(".")[0]
    if not top or top in sys.stdlib_module_names or top == __name__.partition(".")[0]:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)
    return bool(file) and not _INSTALLED & set(pathlib.Path(str(file)).parts)


class CallKeys:
    """The identities of a pool's calls: function, arguments, and how many equal calls came before.

    A function or an argument without a canonical form goes by its position among such calls; `warn` is then called
    once, with a sentence that says so.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn, self._warned = warn, False
        self._equal: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def of_function(self, function: Any) -> bytes:
        """Return the identity of a function; by its name where it has no other."""
        return self._of(function, b"function " + str(getattr(function, "__qualname__", type(function))).encode())

    def of_call(self, function: bytes, args: Any, kwargs: Any) -> bytes:
        """Return the identity of the next call of a function with the identity `function`."""
        arguments = self._of((tuple(args), dict(kwargs)), b"arguments")
        with self._lock:
            before = self._equal[function + arguments]
            self._equal[function + arguments] += 1
        return _digest(function + arguments + b"%d" % before)

    def _of(self, value: Any, instead: bytes) -> bytes:
        try:
            return identity(value)
        except NoIdentity as error:
            if not self._warned:
                self._warned = True
                self._warn(
                    f"Some calls have no identity of their own, for they involve {error}: after a restart they are "
                    "found again by their position among such calls, so keep the order of the inputs."
                )
            return _digest(instead)
