# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The cloudpickle of this process, which travels with every task: which version it is, and what it can read."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import cloudpickle


def our_cloudpickle() -> str:
    """Its version."""
    return str(cloudpickle.__version__)


def missing_from_ours(names: Iterable[str]) -> list[str]:
    """Which of these, like `cloudpickle.cloudpickle._make_function`, it does not have: a pickle is read by them."""
    return sorted(name for name in names if not _there(name))


def _there(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False
