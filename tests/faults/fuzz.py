# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Any bytes, and valid ones with tokens, bytes and lengths changed, into each reader of `fuzz_targets`.

    python -m tests.faults.fuzz --examples 20000           # hypothesis, all readers
    python -m tests.faults.fuzz --atheris 600              # coverage-guided, seconds; needs the package atheris

A reader must return or raise its own error, within `MOST_MIB` of memory; one that hangs is ended after `MOST_S`.
"""

from __future__ import annotations

import argparse
import logging
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.faults.fuzz_targets import TARGETS, FuzzTarget

MOST_MIB, MOST_S = 64, 20
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|\b(?:true|false|null)\b|\[[^\[\]{}]*\]|\{[^\[\]{}]*\}')
NASTY = (
    b"null", b"true", b"-1", b"0", b"1.5", b"1e999", b"NaN", b"9" * 30, b"9" * 5000, b'""', b'"x"', b'"../../x"',
    b'"\\ud800"', b'"\\u0000"', b"[]", b"{}", b"[[]]", b'[""]', b"[null]", b'{"a": 1}', b"[" * 40_000,
    b'{"a":' * 40_000,
    b"'", b"2024-01-01", b'"' + b"a" * 5000 + b'"',
)  # fmt: skip


@st.composite
def bytes_like(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Draw a seed with up to three tokens, or some bytes, changed; or any bytes."""
    data = draw(st.sampled_from(seeds))
    way = draw(st.sampled_from(["tokens", "tokens", "tokens", "bytes", "cut", "any"]))
    if way == "any":
        return draw(st.binary(max_size=300))
    if way == "cut":
        return data[: draw(st.integers(0, len(data)))]
    for _ in range(draw(st.integers(1, 3))):
        places = [match.span() for match in TOKEN.finditer(data)] if way == "tokens" else []
        if places:
            begin, end = draw(st.sampled_from(places))
            data = data[:begin] + draw(st.sampled_from(NASTY)) + data[end:]
        else:
            begin = draw(st.integers(0, len(data)))
            data = data[:begin] + draw(st.binary(max_size=9)) + data[begin + draw(st.integers(0, 9)) :]
    return data


def within_bounds(target: FuzzTarget, data: bytes) -> bool:
    """Run a reader; return whether it took the data. Raises AssertionError where it needs too much memory."""
    tracemalloc.start()
    try:
        return target.run(data)
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < MOST_MIB << 20, f"{most:,} bytes of memory for {len(data):,}"


def run(name: str, examples: int, start: int) -> tuple[int, int]:
    """Return how many examples a reader was given, and how many it took."""
    target, counts = TARGETS[name], [0, 0]
    signal.signal(signal.SIGALRM, _hangs)
    logging.disable()  # of ledger files that are left out

    @seed(start)
    @settings(
        database=None, deadline=None, max_examples=examples, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(bytes_like(target.seeds))
    def one(data: bytes) -> None:
        counts[0] += 1
        signal.alarm(MOST_S)
        counts[1] += within_bounds(target, data)
        signal.alarm(0)

    try:
        one()
    finally:
        signal.alarm(0)
        logging.disable(logging.NOTSET)
    return counts[0], counts[1]


def _hangs(number: int, frame: FrameType | None) -> None:
    raise AssertionError(f"no end within {MOST_S} s")


def main() -> int:
    """Run all readers, or one of them under atheris; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", choices=["", *TARGETS])
    parser.add_argument("--atheris", type=int, default=0, help="seconds for all readers together")
    told = parser.parse_args()
    names = [told.only] if told.only else list(TARGETS)
    if told.atheris:
        command = [sys.executable, "-m", "tests.faults.fuzz_atheris"]
        seconds = str(max(1, told.atheris // len(names)))
        return max([subprocess.run([*command, name, seconds], check=False).returncode for name in names])
    for name in names:
        began = time.monotonic()
        given_, taken = run(name, told.examples, told.seed)
        counts = f"{given_} examples, {taken} taken, {given_ - taken} refused, 0 others"
        print(f"{name}: {counts}, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
