# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The pickles of a pool's calls: a function once a map, the arguments of each call, big shared arguments once.

Nothing is a file, but for an object that is too big for the image. A pickle of arguments names a shared object by the
sha256 of its own pickle.
"""

from __future__ import annotations

import io
import platform
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

from ..dependencies.import_folders import import_folders
from ..dependencies.references import of_pickle
from ..errors import NotPicklable
from ..runner.protocol.task import IN_IMAGE, IN_S3, ObjectRef
from ..tasks.array_package import PickledFunction, uploaded
from ..tasks.modules_beside import modules_beside
from ..tasks.packing import SharedBytes, check_names, function_source, shared_bytes
from ..tasks.staging import not_picklable

SHARED_BYTES = 64 * 1024  # a bigger argument is an object of its own, which calls may share
MOST_KNOWN = 32  # shared objects that are known again by their identity, and kept alive for it
_SMALL = (type(None), bool, int, float, complex)
_COVALENT = b"covalent"


@dataclass(frozen=True, eq=False)
class SharedObject:
    """The pickle of a big argument: in memory, or as a file for the upload under `key`."""

    ref: ObjectRef
    held: SharedBytes | None = field(default=None, repr=False)
    key: str = ""
    path: Path | None = None


class Staged(NamedTuple):
    """The arguments of one call: their pickle, and the objects that it names."""

    data: bytes
    shared: tuple[SharedObject, ...] = ()


class CallPickler:
    """Pickles of one function's calls; `pickled` is the function's, made at its first use.

    An object of `SHARED_BYTES` or more that is given to several calls is pickled at its first call only. Objects of
    more than `max_baked_bytes` become files in `folder`. For one thread at a time.
    """

    def __init__(self, function: Callable[..., Any], folder: Path, max_baked_bytes: int) -> None:
        self.function, self._folder, self._max = function, folder, max_baked_bytes
        self._pickled: PickledFunction | None = None
        self._known: OrderedDict[int, tuple[Any, SharedObject]] = OrderedDict()  # by id; the object stays alive
        self.big_function: SharedObject | None = None
        self.identity = b""  # set by a pool with a name

    @property
    def pickled(self) -> PickledFunction:
        """The pickle of the function. Raises NotPicklable."""
        if self._pickled is None:
            self._pickled = self._pickled_function()
        return self._pickled

    @property
    def _of_function(self) -> tuple[SharedObject, ...]:
        """The function, where it is too big for the image; each call then names it."""
        return (self.big_function,) if self.big_function else ()

    def stage(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Staged:
        """Return the pickle of one call's arguments. Raises NotPicklable."""
        call, values = (tuple(args), dict(kwargs)), [*args, *kwargs.values()]
        named = {id(value): self._known[id(value)][1] for value in values if id(value) in self._known}
        data = _named_dumps(args, kwargs, named)
        if len(data) >= SHARED_BYTES:
            new = {id(value): value for value in values if not isinstance(value, _SMALL) and id(value) not in named}
            for value in new.values():
                pickled = _dumps(value, named)
                if len(pickled) >= SHARED_BYTES:
                    named[id(value)] = self._shared(value, pickled)
            if len(data) > self._max or named.keys() & new.keys():
                data = _dumps(call, named)
            if len(data) > self._max:  # many small values: the whole is one object
                named[id(call)] = self._object(data)
                return Staged(_dumps(call, named), (*self._of_function, *dict.fromkeys(named.values())))
        check_names(ObjectRef.of(data, IN_IMAGE).sha256, data, "An argument")
        return Staged(data, (*self._of_function, *dict.fromkeys(named.values())))

    def _shared(self, value: Any, data: bytes) -> SharedObject:
        shared = self._object(data)
        self._known[id(value)] = value, shared
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return shared

    def _object(self, data: bytes) -> SharedObject:
        if len(data) > self._max:
            ref, key, path = uploaded(data, self._folder)
            return SharedObject(ref, None, key, path)
        ref = ObjectRef.of(data, IN_IMAGE)
        return SharedObject(ref, shared_bytes(ref.sha256, data))

    def _pickled_function(self) -> PickledFunction:
        data = _dumps(self.function, {})
        python, folders = platform.python_version(), tuple(import_folders(self.function))
        ref = ObjectRef.of(data, IN_IMAGE)
        check_names(ref.sha256, data, "The function")
        if len(data) > self._max:
            self.big_function = self._object(data)
            ref = self.big_function.ref
        return PickledFunction(
            name=str(getattr(self.function, "__name__", "") or type(self.function).__name__),
            ref=ref,
            data=b"" if ref.place == IN_S3 else data,
            python=python,
            cloudpickle=str(cloudpickle.__version__),
            sources=b"" if ref.place == IN_S3 else function_source(ref.sha256, data, python),
            folders=folders,
            needs_covalent=_COVALENT in data and of_pickle(io.BytesIO(data)).needs_covalent,
            beside=modules_beside([data], folders),
        )


def _named_dumps(args: Sequence[Any], kwargs: Mapping[str, Any], named: Mapping[int, SharedObject]) -> bytes:
    """Return the pickle of arguments. Raises NotPicklable, which names the argument and shows it."""
    try:
        return _dumps((tuple(args), dict(kwargs)), named)
    except NotPicklable as refusal:
        for place, value in (*enumerate(args), *kwargs.items()):
            try:
                _dumps(value, named)
            except NotPicklable as error:
                error.happened = f"Argument {place} of the call, {_shown(value)}: {error.happened}"
                raise error from error.__cause__
        raise refusal from refusal.__cause__


def _shown(value: Any) -> str:
    """Return a value's repr, shortened; its type alone where repr raises."""
    try:
        return f"{value!r:.100}"
    except Exception:  # noqa: BLE001 - the user's own __repr__ runs here
        return f"of type {type(value).__name__}"


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Names shared objects, by id, instead of pickling them."""

    def __init__(self, file: io.BytesIO, named: Mapping[int, SharedObject]) -> None:
        super().__init__(file)
        self._named = named

    def persistent_id(self, value: Any) -> str | None:
        shared = self._named.get(id(value))
        return shared.ref.sha256 if shared else None


def _dumps(value: Any, named: Mapping[int, SharedObject]) -> bytes:
    """Return the pickle of a value in which shared objects are named. Raises NotPicklable."""
    try:
        if not named:
            return bytes(cloudpickle.dumps(value))
        file = io.BytesIO()
        _Pickler(file, named).dump(value)
        return file.getvalue()
    except Exception as error:  # pickling runs the user's __reduce__, which may raise anything
        raise not_picklable(value, error) from error
