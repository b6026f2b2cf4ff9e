# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pool's calls as the tasks of one array job: their descriptions, and their pickles, which are in memory.

A member is one task of the array: one call, or several of one function that run one after another.
"""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dependencies.references import References, of_pickle
from ..runner.protocol import layout
from ..runner.protocol.task import CALL, CALLS, IN_IMAGE, IN_S3, ObjectRef, TaskFile, TaskSpec
from .packing import Package, SharedBytes
from .staged_group import StagedGroup

_REFERS = b"\x93"  # pickle's opcode STACK_GLOBAL: without it a pickle of protocol 4 or 5 names no module
ARGUMENTS = 0  # the id of the input with a member's arguments; the objects that these name have the ids from 1


@dataclass(frozen=True, eq=False)
class PickledFunction:
    """A function of a pool, pickled once: its pickle, the versions that wrote it, and what it refers to.

    `sources` are its lines for tracebacks. `folders` are those from which this process imports the user's own modules.
    """

    name: str
    ref: ObjectRef
    data: bytes = field(repr=False)
    python: str
    cloudpickle: str
    sources: bytes = field(default=b"", repr=False)
    folders: tuple[str, ...] = ()
    needs_covalent: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Member:
    """One task of an array: the pickles of its calls' arguments, and the objects that these name.

    `data` is one pickle, or for several calls `runner.calls.packed_calls` of theirs.
    """

    function: PickledFunction
    data: bytes = field(repr=False)
    shared: tuple[ObjectRef, ...] = ()
    calls: int = 1
    number: int = 0  # the node id of its first call


def member_key(array_key: bytes, member: int) -> bytes:
    """Return the key that authenticates the result of one member of an array."""
    return hmac.digest(array_key, b"member %d" % member, "sha256")


@dataclass(frozen=True, eq=False)
class ArrayPackage:
    """The packed members of one array. It has the attributes by which the steps of a submission read `Package`.

    `key` is the array's own; its members' result keys are derived from it. `objects` are the bytes of shared objects
    by sha256, and `uploads` the files of those that are too big for the image, by their keys in the bucket.
    """

    members: Sequence[Member]
    key: bytes = field(repr=False)
    content: str
    objects: Mapping[str, SharedBytes] = field(default_factory=dict)
    uploads: Mapping[str, Path] = field(default_factory=dict)

    @property
    def _functions(self) -> list[PickledFunction]:
        return list({member.function.ref.sha256: member.function for member in self.members}.values())

    @property
    def python(self) -> str:
        """The version of Python that pickled it."""
        return self.members[0].function.python

    @property
    def cloudpickle(self) -> str:
        """The version of cloudpickle that pickled it."""
        return self.members[0].function.cloudpickle

    @property
    def name(self) -> str:
        """The name of the first function."""
        return self.members[0].function.name

    @property
    def needs_covalent(self) -> bool:
        """True if a function refers to Covalent's modules."""
        return any(function.needs_covalent for function in self._functions)

    @property
    def beside(self) -> Mapping[str, str]:
        """The modules beside the script that the functions refer to, each with its folder."""
        return {name: folder for function in self._functions for name, folder in function.beside.items()}

    @property
    def function_ids(self) -> str:
        """The sha256 of the functions."""
        return " ".join(function.ref.sha256 for function in self._functions)

    @property
    def size(self) -> int:
        """The number of tasks of the array."""
        return len(self.members)

    def size_beside(self, present: set[str]) -> int:
        """Return how many bytes its pickles have; an object that is in `present`, by sha256, is not counted."""
        data = sum(len(member.data) for member in self.members) + sum(len(each.data) for each in self._functions)
        return data + sum(len(each.data) for sha256, each in self.objects.items() if sha256 not in present)

    @property
    def names(self) -> dict[str, str]:
        """None: its calls have the name of the function."""
        return {}

    def function_references(self) -> References:
        """Return the references of the functions, without those of arguments."""
        refs = References()
        for function in self._functions:
            refs.merge(of_pickle(io.BytesIO(function.data)))
        return refs

    def references(self) -> References:
        """Return the references of functions and arguments. Nothing is unpickled."""
        refs = self.function_references()
        refs.folders = tuple(dict.fromkeys(folder for each in self._functions for folder in each.folders))
        shared = (each.data for each in self.objects.values())
        for data in (*(member.data for member in self.members), *shared):
            if _REFERS in data:
                refs.merge(of_pickle(io.BytesIO(data)))
        return refs

    def descriptions(self, dispatch_id: str) -> Iterator[tuple[bytes, dict[str, bytes]]]:
        """Yield the JSON of each member's description and the objects that it needs in the payload, by sha256."""
        for number, member in enumerate(self.members):
            function, data = member.function, ObjectRef.of(member.data, IN_IMAGE)
            objects = {function.ref.sha256: function.data} if function.ref.place != IN_S3 else {}
            objects[data.sha256] = member.data
            sources = ObjectRef.of(function.sources, IN_IMAGE) if function.sources else None
            if sources:
                objects[sources.sha256] = function.sources
            for ref in member.shared:
                if ref.place != IN_S3:
                    objects[ref.sha256] = self.objects[ref.sha256].data
            task = TaskSpec(
                node_id=member.number,
                name=function.name,
                function=function.ref,
                hooks=None,
                python=function.python,
                args=(ARGUMENTS,),
                kind=CALL if member.calls == 1 else CALLS,
                sources=sources,
            )
            inputs = {ARGUMENTS: data, **dict(enumerate(member.shared, 1))}
            key = member_key(self.key, number).hex()
            yield TaskFile(key, (task,), inputs, dispatch_id=dispatch_id).to_json(), objects


AnyPackage = Package | ArrayPackage
AnyGroup = StagedGroup | ArrayPackage  # pickles in files of Covalent, or in memory


def uploaded(data: bytes, folder: Path) -> tuple[ObjectRef, str, Path]:
    """Write an object that is too big for the image to a file; return its reference, its key and the file."""
    ref = ObjectRef(hashlib.sha256(data).hexdigest(), len(data), IN_S3)
    path = folder / ref.sha256
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(path)
    return ref, layout.object_key(ref.sha256), path
