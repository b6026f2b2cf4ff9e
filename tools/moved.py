# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether each test that ran before still runs: `python tools/moved.py BEFORE AFTER [tests/moved.tsv]`.

BEFORE and AFTER are what `CI=1 pytest --collect-only -q` printed. Ends with 1 and their names if tests are missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

MOVED = Path(__file__).parents[1] / "tests" / "moved.tsv"


def tests(path: str) -> set[str]:
    """Return the node ids in the output of a collection."""
    return {line for line in Path(path).read_text().splitlines() if "::" in line and line.startswith("tests/")}


def moves(path: Path) -> dict[str, str]:
    """Return the new name by the old one, of tests and of files."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("\t") for line in lines)


def place(test: str, new: dict[str, str]) -> str:
    """Return the node id that took the place of `test`: a line for the test counts, then one for its file."""
    file, _, rest = test.partition("::")
    return new.get(test) or f"{new.get(file, file)}::{rest}"


def main(before: str, after: str, moved: Path = MOVED) -> int:
    new, there = moves(moved), tests(after)
    missing = sorted(test for test in tests(before) if place(test, new) not in there)
    print(*missing, f"{len(tests(before))} before, {len(there)} after, {len(missing)} missing", sep="\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:])))
