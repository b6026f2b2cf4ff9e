# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Checks of what users give a pool: each wrong value is an error that names the argument and the value."""

from __future__ import annotations

import re
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: Any) -> None:
    """Raise TypeError for a pool's name that is no text, ValueError for one with other characters."""
    if not isinstance(name, str):
        raise TypeError(f"The pool's name must be a text, not {name!r}; settings are keyword arguments.")
    if not _NAME.fullmatch(name):
        raise ValueError(f"The pool's name {name!r} must be 1 to 64 letters, digits, - or _.")


def check_function(function: Any) -> None:
    """Raise TypeError for a thing that can't be called."""
    if not callable(function):
        raise TypeError(f"The function to call must be callable, and {function!r:.200} is not.")


def check_count(argument: str, value: Any, *, may_be_none: bool = False) -> None:
    """Raise TypeError for a value that is no whole number, ValueError for one below 1."""
    if value is None and may_be_none:
        return
    kind = "None or a whole number" if may_be_none else "a whole number"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be {kind}, not {value!r}.")
    if value < 1:
        raise ValueError(f"{argument} must be {'None or ' if may_be_none else ''}at least 1, not {value}.")


def check_seconds(argument: str, value: Any) -> None:
    """Raise TypeError for a time limit that is neither None nor a number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"{argument} must be None or a number of seconds, not {value!r}.")
