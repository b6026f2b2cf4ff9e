# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The cloudpickle of this process, which is in every runner layer: its version, and the names it has."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import cloudpickle


def our_cloudpickle() -> str:
    """Return the version of cloudpickle."""
    return str(cloudpickle.__version__)


def missing_from_ours(names: Iterable[str]) -> list[str]:
    """Return the names, such as `cloudpickle.cloudpickle._make_function`, that it lacks.

    A pickle refers to such names.
    """
    return sorted(name for name in names if not _there(name))


def _there(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False
