# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The objects of a task group by content: functions and arguments as bare pickles, hooks reduced to the needed fields.

A staged file is Covalent's archive, whose text of the value may contain an address, and a hooks file repeats this text.
These texts are not sent, so the same task has the same objects in every process. The bytes of an object that many
waiting tasks share are in memory once.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from weakref import WeakValueDictionary

from ..core.files import staged
from ..dependencies.references import COVALENT, of_pickle
from ..errors import NotPicklable
from ..runner.protocol import archive, layout
from ..runner.protocol.task import IN_IMAGE, IN_S3, ObjectRef

_STEP_BYTES = 1024 * 1024
_COVALENT = b"covalent"  # a pickle names a module in clear: only one with these bytes is read for its references
_READ_BYTES = 256 * 1024 * 1024  # the largest pickle that is read
_PLAIN = ".sent"  # suffix of the file in a staged file's folder with the bytes that are sent


@dataclass(frozen=True, eq=False)
class SharedBytes:
    """The bytes of one object; `shared_bytes` gives the same instance for the same content."""

    data: bytes = field(repr=False)


_lock = threading.Lock()
_by_sha256: WeakValueDictionary[str, SharedBytes] = WeakValueDictionary()


def shared_bytes(sha256: str, data: bytes) -> SharedBytes:
    """Return the instance that holds this content for as long as any package does. Any thread may call it."""
    with _lock:
        return _by_sha256.setdefault(sha256, SharedBytes(data))


class PackedObjects:
    """The objects of one task group: small ones are `baked`, by sha256; big ones are `uploads`, by key; each once."""

    def __init__(self, max_baked_bytes: int) -> None:
        self._max = max_baked_bytes
        self.needs_covalent = False  # a pickle refers to Covalent's modules
        self.baked: dict[str, SharedBytes] = {}
        self.uploads: dict[str, Path] = {}

    def add_pickle(self, path: Path, title: str) -> ObjectRef:
        """Add the pickle of a staged archive, which `title` names in an error.

        Raises NotPicklable, OSError, StagingError.
        """
        try:
            size = archive.pickle_size(path)
            if size <= self._max:
                data = archive.read_pickle(path)
                self._note_covalent(data)
                return self._bake(data)
            with path.open("rb") as file:
                return self._upload(path, archive.pickled(file))
        except (ValueError, OverflowError, MemoryError) as error:  # a wrong offset can ask for any amount
            raise not_covalents(title, path, error) from error

    def add_hooks(self, path: Path) -> ObjectRef:
        """Add a hooks file. Raises OSError, StagingError."""
        data = needed_hooks(path.read_bytes())
        for pickled in pickles_of_hooks(data):
            self._note_covalent(pickled)
        if len(data) <= self._max:
            return self._bake(data)
        with staged(path, "written"):
            plain = path.with_name(path.name + _PLAIN)
            plain.write_bytes(data)
        return self._uploaded(ObjectRef.of(data, IN_S3), plain)

    def _note_covalent(self, pickled: bytes) -> None:
        if _COVALENT in pickled and not self.needs_covalent:
            self.needs_covalent = COVALENT in of_pickle(io.BytesIO(pickled)).modules

    def _bake(self, data: bytes) -> ObjectRef:
        ref = ObjectRef.of(data, IN_IMAGE)
        self.baked[ref.sha256] = shared_bytes(ref.sha256, data)
        return ref

    def _upload(self, path: Path, pickled: IO[bytes]) -> ObjectRef:
        """Write the pickle to a file in the archive's folder, in steps, for the upload to read."""
        digest, plain = hashlib.sha256(), path.with_name(path.name + _PLAIN)
        mentioned, before = False, b""
        with staged(plain, "written"), NamedTemporaryFile(dir=path.parent, prefix="sent-", delete=False) as draft:
            try:
                for step in _steps(pickled):
                    digest.update(step)
                    mentioned = mentioned or _COVALENT in before + step
                    before = step[-len(_COVALENT) :]
                    draft.write(step)
                draft.close()
                Path(draft.name).replace(plain)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
        size = plain.stat().st_size
        if mentioned and size <= _READ_BYTES and not self.needs_covalent:
            with plain.open("rb") as file:
                self.needs_covalent = COVALENT in of_pickle(file).modules
        return self._uploaded(ObjectRef(digest.hexdigest(), size, IN_S3), plain)

    def _uploaded(self, ref: ObjectRef, plain: Path) -> ObjectRef:
        self.uploads[layout.object_key(ref.sha256)] = plain
        return ref


def _steps(file: IO[bytes]) -> Iterator[bytes]:
    while step := file.read(_STEP_BYTES):
        yield step


def not_covalents(title: str, path: Path, error: Exception) -> NotPicklable:
    """Return the error for a staged file that is no archive of Covalent's; `title` begins its sentence."""
    return NotPicklable(
        f"{title} is not in Covalent's format: {error!r}.",
        advice=f"Look at {path}: was it cut by a full disk, or written by another program?",
    )


# ---- hooks -----------------------------------------------------------------------------------------------------------
def needed_hooks(text: bytes) -> bytes:
    """Return the fields of a hooks file that `runner.hooks` reads, as JSON; text of another format is unchanged."""
    try:
        hooks = json.loads(text or b"{}")
        deps = hooks.get("deps") or {}
        fields = {
            "deps": {name: {"attributes": pick(deps[name])} for name, pick in _DEPS.items() if name in deps},
            **{when: [_call(call) for call in hooks.get(when) or ()] for when in ("call_before", "call_after")},
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return text  # the container reports the error
    return json.dumps({name: value for name, value in fields.items() if value}, sort_keys=True).encode()


def pickles_of_hooks(text: bytes) -> Iterator[bytes]:
    """Yield the pickles of the calls in a hooks file; none of a text of another format."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        hooks = json.loads(text or b"{}")
        for call in [*(hooks.get("call_before") or ()), *(hooks.get("call_after") or ())]:
            for name in _PICKLES:
                yield binascii.a2b_base64(call["attributes"][name]["attributes"]["_object"])


_PICKLES = ("apply_fn", "apply_args", "apply_kwargs")
_DEPS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bash": lambda dep: {"commands": dep["attributes"]["commands"]},
    "pip": lambda dep: {name: dep["attributes"].get(name) for name in ("packages", "requirements_content")},
}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    attributes = call["attributes"]
    pickles = {name: {"attributes": {"_object": attributes[name]["attributes"]["_object"]}} for name in _PICKLES}
    return {"attributes": {"retval_keyword": attributes.get("retval_keyword"), **pickles}}
