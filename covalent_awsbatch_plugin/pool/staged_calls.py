# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of a pool's calls, in the format in which Covalent stages an electron.

The function is pickled once for all the calls of a `map`. Several calls in one task are one list of arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..dependencies.import_folders import import_folders
from ..runner.protocol.task import CALLS, FUNCTION
from ..tasks.staged_group import StagedGroup, StagedTask
from ..tasks.staging import archived

Arguments = tuple[Sequence[Any], Mapping[str, Any]]


class StagedFunction:
    """A function in files of `folder`, for one call a task or for several; its first use raises NotPicklable."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._function, self._folder = function, folder
        self._hooks = folder / "hooks"
        self._hooks.write_text("{}")
        self._import_folders = tuple(import_folders(function))

    @functools.cached_property
    def _file(self) -> Path:
        return archived(self._function, self._folder / "function")

    def call(self, calls: Sequence[Arguments], dispatch_id: str, number: int) -> StagedGroup:
        """Return the task of one call. Raises NotPicklable for an argument that can't be pickled."""
        ((args, kwargs),) = calls
        return self._group(FUNCTION, [*args, *kwargs.values()], list(kwargs), dispatch_id, number)

    def calls(self, calls: Sequence[Arguments], dispatch_id: str, number: int) -> StagedGroup:
        """Return the task of several calls; its value is that of `runner.calls.run_calls`. Raises NotPicklable."""
        return self._group(CALLS, [list(calls)], [], dispatch_id, number)

    def _group(
        self, kind: str, values: Sequence[Any], names: Sequence[str], dispatch_id: str, number: int
    ) -> StagedGroup:
        function = self._file
        paths = [archived(value, self._folder / f"input-{number}-{at}") for at, value in enumerate(values)]
        inputs = dict(enumerate(paths, number + 1))
        nodes = tuple(inputs)
        positional = len(nodes) - len(names)
        kwargs = dict(zip(names, nodes[positional:], strict=True))
        task = StagedTask(number, function, self._hooks, nodes[:positional], kwargs, kind)
        return StagedGroup(dispatch_id, number, (task,), inputs, self._import_folders)
