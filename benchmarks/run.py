# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Measures everything and writes docs/numbers.md: `make bench`.

    make bench ARGS=--quick                  less of it
    make bench ARGS='--only quotas server'   these parts, printed and not written

Each part is a process of its own with an end to its time: one that fails is named in the file, the others are measured
nevertheless, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path.insert(0, str(Path(__file__).parents[1]))
    __package__ = "benchmarks"

from . import machine
from .section import Section, reached

NUMBERS = machine.ROOT / "docs" / "numbers.md"
HEAD = """\
# What it costs, measured

Written by `make bench`; don't edit it. Wall clock is only as steady as the machine is idle; CPU, calls, bytes and
ratios are the solid part. All traffic is on 127.0.0.1, so the network's own time is not in any figure, but for the
package index's under "The environment".

"""
STARTER = (sys.executable, "-m", "benchmarks.run")
WORDS = 3000  # characters of what a failed part said last
STOPS_WITHIN_S = 90  # a part that is told to stop ends its servers and containers


@dataclass(frozen=True)
class Part:
    """`module`'s `section` measures it, within `limit_s` seconds."""

    module: str
    title: str
    limit_s: int


PARTS = {
    "one-task": Part("one_task", "One task, from `send` to SubmitJob accepted", 180),
    "runner": Part("runner_start", "In the container", 120),
    "fan-out": Part("fan_out", "N tasks at once, jobs that finish at once", 720),
    "quotas": Part("quotas", "With an account's quotas enforced", 600),
    "containers": Part("containers", "N tasks at once, real containers", 420),
    "server": Part("through_server", "Through Covalent's server", 840),
    "environment": Part("environment", "The environment: numpy, pandas, scikit-learn", 600),
}


def measured(name: str, quick: bool) -> Section | str:
    """The part's section, from a process of its own; or why there is none."""
    say(f"-- {name}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "section.json")
        words = [*STARTER, "--part", name, "--out", str(out), *["--quick"][: int(quick)]]
        with Path(folder, "errors").open("w+b") as errors:
            process = subprocess.Popen(words, cwd=machine.ROOT, stderr=errors, start_new_session=True)
            late = _ended(process, PARTS[name].limit_s)
            errors.seek(0)
            said = errors.read().decode(errors="replace")[-WORDS:].strip()
        if late or process.returncode or not out.exists():
            return f"{late or f'It ended with exit code {process.returncode}.'}\n{said}".strip()
        return Section.from_json(out.read_text())


def _ended(process: subprocess.Popen[bytes], limit_s: float) -> str:
    """Waits; "", or that it took too long. Nothing that it started is left."""
    late = ""
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        late = f"It took longer than {limit_s} s and was stopped."
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            late += " It did not even stop in good order."
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return late


def written(facts: Sequence[str], found: Mapping[str, Section | str]) -> str:
    """The whole file."""
    parts = [HEAD + "".join(f"- {line}\n" for line in facts)]
    lines = [line for section in found.values() if isinstance(section, Section) for line in section.reached]
    if lines:
        parts.append(f"## What was aimed at\n\n{reached(lines)}")
    parts += [f"## {PARTS[name].title}\n\n{_body(section)}" for name, section in found.items()]
    return "\n".join(parts)


def _body(section: Section | str) -> str:
    return (
        section.text
        if isinstance(section, Section)
        else f"**Not measured: this part failed.**\n\n```\n{section}\n```\n"
    )


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures everything and writes docs/numbers.md.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts, printed and not written")
    parser.add_argument("--out", type=Path, help="the file to write")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    told = parser.parse_args(argv)
    if told.part:
        return _part(told.part, told.quick, told.out)
    facts = machine.facts()
    found = {name: measured(name, told.quick) for name in told.only or PARTS}
    text, out = written(facts, found), told.out or (None if told.only else NUMBERS)
    if out:
        out.write_text(text, encoding="utf-8")
    say(f"written: {out}" if out else f"\n{text}")
    failed = [name for name, section in found.items() if isinstance(section, str)]
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _part(name: str, quick: bool, out: Path) -> int:
    """In a process of its own."""
    module = importlib.import_module(f".{PARTS[name].module}", "benchmarks")
    section: Section = asyncio.run(module.section(quick, say))
    out.write_text(section.to_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
