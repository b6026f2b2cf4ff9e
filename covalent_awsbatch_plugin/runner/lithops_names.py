# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' names for functions in a container: reserved parameters, storage, and an executor for calls within a call.

In an image this is the module `covalent_awsbatch_plugin.lithops_compat`.
"""

from __future__ import annotations

import inspect
import io
import os
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .calls import run_call
from .object_storage import ENV_SESSION, PUBLIC, CloudObject, Storage, StorageNoSuchKeyError

ALWAYS, ANY_COMPLETED, ALL_COMPLETED = 0, -1, 100  # of `wait`: percentages, and one that means any
RESERVED = ("id", "storage", "obj", "ibm_cos", "rabbitmq")  # names of parameters that Lithops gives a meaning
SEARCH_BYTES = 64 * 1024  # read at once behind a part, for the end of its last line

__all__ = [
    "ALL_COMPLETED", "ALWAYS", "ANY_COMPLETED", "CloudObject", "FunctionExecutor", "Invocation", "ObjectPart",
    "Storage", "StorageNoSuchKeyError",
]  # fmt: skip


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return a callable's parameters by name; none for a built-in function that does not tell them."""
    try:
        return inspect.signature(function).parameters
    except (ValueError, TypeError):
        return {}


class Invocation:
    """A user's function that gets Lithops' reserved parameters and environment variables in the container."""

    __module__ = PUBLIC

    def __init__(self, function: Callable[..., Any], session: str, variables: Mapping[str, str]) -> None:
        self.__wrapped__ = function
        self.__name__ = self.__qualname__ = getattr(function, "__name__", type(function).__name__)
        self._variables = {ENV_SESSION: session, **variables}

    def __call__(self, call_id: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, float, bool, Any]:
        """Return the times of begin and end (Unix seconds), whether the value is an inner map's, and the value."""
        os.environ.update(self._variables)
        reserved = parameters_of(self.__wrapped__)
        kwargs = dict(kwargs)
        if isinstance(part := kwargs.get("obj"), ObjectPart):
            part.open()
        if "id" in reserved:
            kwargs["id"] = call_id
        if "storage" in reserved:
            kwargs["storage"] = Storage()
        began = time.time()
        value = run_call(self.__wrapped__, args, kwargs)
        ended = time.time()
        inner = isinstance(value, InnerFuture) or (isinstance(value, list) and _all_inner(value))
        if inner:
            value = [future.result() for future in ([value] if isinstance(value, InnerFuture) else value)]
        return began, ended, inner, value


def _all_inner(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, InnerFuture) for value in values)


class ObjectPart:
    """A part of an object of S3, or of a file behind a URL, as the parameter `obj` of a function."""

    __module__ = PUBLIC

    def __init__(self, place: ObjectPlace, number: int, count: int, span: tuple[int, int], newline: str | None) -> None:
        self.bucket, self.key, self.url = place.bucket, place.key, place.url
        self.part, self.total_parts, self.newline = number, count, newline
        self.data_byte_range, self.chunk_size = span, span[1] - span[0] + 1
        self.size = place.size
        self.data_stream: Any = None

    def open(self) -> None:
        """Read the part into `data_stream`: from the first line that begins in it to the end of its last line."""
        first, last = self.data_byte_range
        if self.newline is None or self.total_parts == 1:
            self.data_stream = io.BytesIO(self._read(first, last) if self.size else b"")
            return
        end = self.newline.encode()
        data = self._read(max(0, first - len(end)), last)
        if first:
            at = data.find(end)
            data = data[at + len(end) :] if at >= 0 else b""
            if at < 0:
                self.data_stream = io.BytesIO(b"")
                return
        while last + 1 < self.size and not data.endswith(end):
            more = self._read(last + 1, min(last + SEARCH_BYTES, self.size - 1))
            last += len(more)
            whole, line_end, _ = more.partition(end)
            data += whole + line_end
            if line_end:
                break
        self.data_stream = io.BytesIO(data)

    def _read(self, first: int, last: int) -> bytes:
        header = {"Range": f"bytes={first}-{last}"}
        if not self.url:
            return bytes(Storage().get_object(self.bucket, self.key, extra_get_args=header))
        with urllib.request.urlopen(urllib.request.Request(self.url, headers=header)) as response:  # noqa: S310
            data: bytes = response.read()
            return data


class ObjectPlace(NamedTuple):
    """An object of S3, or a file behind a URL, and its size in bytes."""

    bucket: str
    key: str
    url: str
    size: int


class InnerFuture:
    """The outcome of a call that ran within another call."""

    error = False
    done = success = True

    def __init__(self, work: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: Exception | None = None
        try:
            self._value = work()
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error, self.error, self.success = error, True, False

    def result(self, throw_except: bool = True, **_: Any) -> Any:
        """Return the value. Raises the call's own exception."""
        if self._error is not None and throw_except:
            raise self._error
        return self._value


class FunctionExecutor:
    """An executor for calls within a call: they run at once, one after another, in the same container.

    A job that submits jobs would need the permissions of the user who submits, and a container that waits costs money.
    """

    __module__ = PUBLIC

    def __init__(self, *_: Any, **__: Any) -> None:
        self.futures: list[InnerFuture] = []
        self.storage = Storage()
        self.executor_id = self.storage.session
        self._is_map = False
        self._read = 0

    def __enter__(self) -> FunctionExecutor:
        return self

    def __exit__(self, *_: object) -> None: ...

    def call_async(self, func: Callable[..., Any], data: Any, **_: Any) -> InnerFuture:
        """Call the function once."""
        future = self._run(func, 0, data)
        self._is_map = False
        return future

    def map(
        self, map_function: Callable[..., Any], map_iterdata: Iterable[Any], *, extra_args: Any = None, **_: Any
    ) -> list[InnerFuture]:
        """Call the function with each element."""
        self._is_map = True
        return [self._run(map_function, number, extended(each, extra_args)) for number, each in enumerate(map_iterdata)]

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Iterable[Any],
        reduce_function: Callable[..., Any],
        **_: Any,
    ) -> list[InnerFuture]:
        """Call the function with each element, and another one with the list of the values."""
        values = [future.result() for future in self.map(map_function, map_iterdata)]
        self._read = len(self.futures)
        return [self.call_async(reduce_function, (values,))]

    def wait(self, fs: Any = None, **_: Any) -> tuple[list[InnerFuture], list[InnerFuture]]:
        """Return all futures: their calls have ended."""
        return list(self.futures if fs is None else fs), []

    def get_result(self, fs: Any = None, throw_except: bool = True, **_: Any) -> Any:
        """Return the values that were not read yet; one value alone where the last call was no map."""
        futures = self.futures[self._read :] if fs is None else fs if isinstance(fs, list) else [fs]
        self._read = len(self.futures)
        values = [future.result(throw_except) for future in futures]
        return values[0] if len(values) == 1 and not self._is_map else values

    def clean(self, **_: Any) -> None:
        """Do nothing: calls within a call leave nothing."""

    def _run(self, function: Callable[..., Any], number: int, data: Any) -> InnerFuture:
        args, kwargs = bound(function, data)
        call = Invocation(function, self.executor_id, {})
        self.futures.append(InnerFuture(lambda: call(number, args, kwargs)[3]))
        return self.futures[-1]


def extended(element: Any, extra_args: Any) -> Any:
    """Return an element with the extra arguments: a tuple's behind it, a dict's beside it. Raises TypeError."""
    if not extra_args:
        return element
    if isinstance(element, dict):
        if not isinstance(extra_args, dict):
            raise TypeError("extra_args must be a dict where the elements are dicts.")
        return {**element, **extra_args}
    if isinstance(extra_args, dict):
        raise TypeError("extra_args must be a tuple where the elements are no dicts.")
    return (*(element if isinstance(element, tuple) else (element,)), *extra_args)


def bound(function: Callable[..., Any], element: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that an element stands for: a dict's by name, a tuple's in order, else the element itself.

    Raises TypeError where they don't fit the function's parameters without the reserved ones.
    """
    parameters = parameters_of(function)
    open_ones = [each for name, each in parameters.items() if name not in RESERVED or name == "obj"]
    by_name = isinstance(element, dict) and bool(parameters)
    args: tuple[Any, ...] = () if by_name else element if isinstance(element, tuple) else (element,)
    kwargs: dict[str, Any] = dict(element) if by_name else {}
    if not parameters:
        return args, kwargs
    binding = inspect.Signature(open_ones).bind(*args, **kwargs)
    if {"id", "storage"} & parameters.keys():  # these stand anywhere among the others, which then go by name
        return _by_name(binding)
    return args, kwargs


def _by_name(binding: inspect.BoundArguments) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments by name; those of `*args` and of position-only parameters in order."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, value in binding.arguments.items():
        kind = binding.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            args.extend(value)
        elif kind is inspect.Parameter.POSITIONAL_ONLY:
            args.append(value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            kwargs.update(value)
        else:
            kwargs[name] = value
    return tuple(args), kwargs
