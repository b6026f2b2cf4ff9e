# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Numbers about numbers, and how they are written. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def quantile(values: Iterable[float], part: float) -> float:
    """The value that `part` of them do not exceed: 0.5 is the median, by nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def median(values: Iterable[float]) -> float:
    return quantile(values, 0.5)


def spread(values: Sequence[float]) -> str:
    """How noisy: half of what lies between the smallest and the largest, of the median, as `±12%`."""
    middle = median(values)
    return f"±{(max(values) - min(values)) / 2 / middle:.0%}" if middle else "±0%"


def figure(value: float | None, digits: int = 2) -> str:
    """With that many significant digits, thousands separated; a dash for what was not measured."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}" if places else f"{round(value, places):,.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; all but the first column to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def counted(calls: Mapping[str, int]) -> str:
    """Calls by operation, the most frequent first: `4 s3:GetObject, 1 batch:SubmitJob`."""
    ordered = sorted(calls.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered if count) or "none"
