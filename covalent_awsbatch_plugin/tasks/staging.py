# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Staging of one plain function call in Covalent's format, without a workflow, and reading of its value."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.files import staging_error
from ..dependencies.import_folders import import_folders
from ..errors import NotPicklable, Raised, Unpicklable
from ..runner.protocol import archive, envelope
from .results import NodeResult
from .staged_group import StagedGroup, StagedTask

Archive = Callable[[Any, Path], None]
_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def stage_call(
    function: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    folder: Path,
    *,
    dispatch_id: str,
    node_id: int,
    save: Archive = archive.save,
    folders: Sequence[str] | None = None,
) -> StagedGroup:
    """Return a call staged as archives in `folder`; arguments get the ids after `node_id`.

    `folders` are those from which the process that pickled the function imports its own modules; None: this process.
    Raises NotPicklable.
    """
    values = [*args, *kwargs.values()]
    inputs = {node_id + 1 + at: archived(value, folder / f"input-{at}", save) for at, value in enumerate(values)}
    nodes = tuple(inputs)
    hooks = folder / "hooks"
    hooks.write_text("{}")
    task = StagedTask(
        node_id=node_id,
        function=archived(function, folder / "function", save),
        hooks=hooks,
        args=nodes[: len(args)],
        kwargs=dict(zip(kwargs, nodes[len(args) :], strict=True)),
    )
    own = import_folders(function) if folders is None else folders
    return StagedGroup(dispatch_id, node_id, (task,), inputs, tuple(own))


def value_of(result: NodeResult) -> Any:
    """Return the value of a result, unpickled from bytes that the envelope authenticates. Raises StagingError, Lost."""
    with result.opened(envelope.OUTPUT) as file:
        return pickle.load(archive.pickled(file))


class RemoteTraceback(Exception):
    """Traceback of an exception raised in the container; the cause of the exception that the caller gets."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def exception_of(result: NodeResult) -> BaseException:
    """Return the task's own exception where its class can be imported here, else the error of the JobFailed family.

    The cause of what the user's code raised is the traceback in the container.
    """
    assert result.error is not None
    error = _own_exception(result) or result.error
    if isinstance(result.error, Raised | Unpicklable) and envelope.ERROR in result.files:
        error.__cause__ = RemoteTraceback(result.files[envelope.ERROR].read_text(errors="replace"))
    return error


def _own_exception(result: NodeResult) -> BaseException | None:
    if envelope.EXCEPTION not in result.files:
        return None
    try:
        with result.opened(envelope.EXCEPTION) as file:
            original: BaseException = pickle.load(file)
            return original
    except Exception:  # noqa: BLE001 - its class can't be imported here, or does not unpickle
        return None


def archived(value: Any, path: Path, save: Archive = archive.save) -> Path:
    """Write the archive of a value; return its path. Raises NotPicklable, and StagingError for a disk that is full."""
    try:
        save(value, path)
    except OSError as error:
        if error.errno in _DISKS or str(error.filename).startswith(str(path.parent)):
            raise staging_error(path, "written", error) from error
        raise not_picklable(value, error) from error  # the user's own __reduce__ met a file or a connection
    except Exception as error:  # pickling runs the user's __reduce__, which may raise anything
        raise not_picklable(value, error) from error
    return path


def not_picklable(value: Any, error: Exception) -> NotPicklable:
    """Return the error for a value whose pickling failed."""
    return NotPicklable(
        f"A {type(value).__name__} can't be sent to AWS Batch: pickling it failed with {error!r}.",
        advice="Open files, locks, sessions and generators inside the function instead of passing them.",
    )
