# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Measures everything and writes docs/numbers.md: `make bench`, or `make bench ARGS=--quick` for less of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path.insert(0, str(Path(__file__).parents[1]))
    __package__ = "benchmarks"

from . import machine, one_task, runner_start

NUMBERS = machine.ROOT / "docs" / "numbers.md"
HEAD = """\
# What it costs, measured

Written by `make bench`; don't edit it. Wall clock is only as steady as the machine is idle; CPU, calls, bytes and
ratios are the solid part. All traffic is on 127.0.0.1, so the network's own time is not in any figure.

"""


async def measured(quick: bool) -> str:
    """The whole file."""
    facts = "".join(f"- {line}\n" for line in machine.facts())
    rounds = 5 if quick else 20
    say("one task, from `send` to SubmitJob")
    one = one_task.text(await one_task.measure("auto", rounds))
    say("the runner's start")
    start = runner_start.text(await runner_start.measure(rounds))
    return f"{HEAD}{facts}\n## One task, from `send` to SubmitJob accepted\n\n{one}\n## In the container\n\n{start}"


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--out", type=Path, default=NUMBERS, help="the file to write")
    told = parser.parse_args(argv)
    told.out.write_text(asyncio.run(measured(told.quick)))
    say(f"written: {told.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
