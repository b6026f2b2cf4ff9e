# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Tables on a terminal, and in a pipe: the console, and how times are written."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

PIPE_COLUMNS = 200  # where no terminal limits the width


def console() -> Console:
    """Return the console of standard output; a pipe gets no colours, and wide lines."""
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False, soft_wrap=False)


def table(*columns: str, right: frozenset[str] = frozenset()) -> Table:
    """Return an empty table without lines; `right` columns hold numbers."""
    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        result.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return result


def duration(seconds: float) -> str:
    """Return a time in its two largest units: `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`."""
    whole = max(0, int(seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for index, (unit, size) in enumerate(units):
        if whole >= size and unit != "s":
            rest_unit, rest_size = units[index + 1]
            rest = whole % size // rest_size
            return f"{whole // size} {unit}" + (f" {rest} {rest_unit}" if rest else "")
    return f"{whole} s"
