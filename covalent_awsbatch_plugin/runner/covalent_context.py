# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`ct.get_context()` in the user's code, without importing Covalent (which takes a second) where it is not called."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_MODULE = "covalent.executor.utils.context"


def announce(dispatch_id: str, node_id: int) -> None:
    """Set Covalent's context to this task, now or when its module is imported."""
    if _MODULE in sys.modules:
        _set(sys.modules[_MODULE], dispatch_id, node_id)
    else:
        sys.meta_path.insert(0, _Finder(dispatch_id, node_id))


def _set(module: ModuleType, dispatch_id: str, node_id: int) -> None:
    """Set the context as Covalent's `set_context` does on entry; this process has one task, so it is never reset."""
    vars(module)["current_context"] = module.Context(dispatch_id=dispatch_id, task_id=node_id)


class _Finder(importlib.abc.MetaPathFinder):
    """A finder of Covalent's context module, for one import; its loader sets the context after the import."""

    def __init__(self, dispatch_id: str, node_id: int) -> None:
        self._task = dispatch_id, node_id

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._task)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any, task: tuple[str, int]) -> None:
        self._inner, self._task = inner, task

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._inner.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        _set(module, *self._task)
