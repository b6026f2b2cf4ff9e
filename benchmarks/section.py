# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a part of the benchmark has to say: a section of docs/numbers.md, and how far what was aimed at was reached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from .stats import figure, table

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reach:
    """`measured` against what is aimed at; `most` is the highest figure that is good enough."""

    what: str
    measured: float
    most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.most

    def row(self) -> list[str]:
        """`12 %`, `3`, `41 ms`."""
        told = [f"{_written(value)} {self.unit}".strip() for value in (self.most, self.measured)]
        return [self.what, *told, "yes" if self.met else "**no**"]


@dataclass(frozen=True)
class Section:
    """Markdown without a heading, and the part's lines of the file's first table."""

    text: str
    reached: tuple[Reach, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Section:
        told = json.loads(text)
        return cls(told["text"], tuple(Reach(**each) for each in told["reached"]))


def _written(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else figure(value, 3)


def reached(lines: Iterable[Reach]) -> str:
    """The file's first table."""
    return table(["aimed at", "at most", "measured", "reached"], [line.row() for line in lines])
