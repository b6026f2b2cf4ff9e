# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A pool with 10,000 calls in one array, and with 100,000 in shared containers of 100: `make scale`.

    make scale ARGS='--calls 20000 --each 100'       one part of another size

The jobs finish at once (`instant.py`), so that the client alone is measured. Each part is a process of its own, which
checks all values, and prints its peak of resident memory and the requests that the offline AWS counted. Exits with 1
where a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.local import LocalAWS

INSTANT = "benchmarks.instant:Instant"
ONCE = ("ecr:PutImage", "batch:RegisterJobDefinition", "batch:SubmitJob")
MOST_MIB = 300
MOST_CALLS_A_CALL = 0.05


@dataclass(frozen=True)
class Measured:
    """One run: `requests` are those of the client by operation, `peak_mib` its resident memory."""

    calls: int
    each: int
    wrong: int
    seconds: float
    peak_mib: float
    requests: dict[str, int]

    @property
    def requests_a_call(self) -> float:
        """The requests to AWS a call, those to the registry among them."""
        return sum(self.requests.values()) / self.calls

    def line(self) -> str:
        """Return the figures as one line."""
        once = ", ".join(f"{name.partition(':')[2]} {self.requests.get(name, 0)}" for name in ONCE)
        return (
            f"{self.calls:,} calls, {self.each} a container: {self.wrong} wrong, {self.seconds:.0f} s, "
            f"{self.peak_mib:.0f} MiB at most, {sum(self.requests.values()):,} requests "
            f"({self.requests_a_call:.4f} a call), {once}; {dict(Counter(self.requests).most_common(8))}"
        )

    def broken(self) -> list[str]:
        """Return the bounds that do not hold."""
        arrays = -(-self.calls // (10_000 * self.each))
        return [
            *(f"{self.wrong} values are wrong or missing" for _ in range(bool(self.wrong))),
            *(f"{self.peak_mib:.0f} MiB, more than {MOST_MIB}" for _ in range(self.peak_mib >= MOST_MIB)),
            *(f"{name}: {self.requests.get(name, 0)}" for name in ONCE if self.requests.get(name, 0) != arrays),
            *(
                f"{self.requests_a_call:.4f} requests a call"
                for _ in range(self.each > 1 and self.requests_a_call >= MOST_CALLS_A_CALL)
            ),
        ]


def peak_mib() -> float:
    """Return the most resident memory that this process had so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def requests(aws: LocalAWS) -> Counter[str]:
    """Return the requests that an offline AWS counted, by operation."""
    counts = Counter[str]()
    for operations in aws.calls().values():
        counts.update({name: count for name, count in operations.items() if not name.startswith("bytes ")})
    return counts


def measure(aws: LocalAWS, calls: int, each: int, **changes: Any) -> Measured:
    """Run the calls in a pool on the offline AWS, and count what they cost."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"poll_freq": 2, "tasks_per_job": each, "cache_dir": folder, "time_limit": 120} | changes
        with BatchPool(**{**aws.section(), **settings}) as pool:
            assert pool.submit(len, "the offline AWS pushes its base image now").result() > 0
        before, began = requests(aws), time.monotonic()
        with BatchPool(**{**aws.section(), **settings}) as pool:
            wrong = calls
            values = pool.map(lambda x: x * 3 + 1, range(calls), buffersize=calls)
            for number, value in enumerate(values):
                wrong -= value == number * 3 + 1
        return Measured(calls, each, wrong, time.monotonic() - began, peak_mib(), dict(requests(aws) - before))


def run_part(calls: int, each: int) -> int:
    """Measure one part here; print its line; return the exit status."""
    aws = LocalAWS(engine=INSTANT, slots=200)
    asyncio.run(aws.__aenter__())
    try:
        measured = measure(aws, calls, each)
    finally:
        asyncio.run(aws.__aexit__(None, None, None))
    print(measured.line(), flush=True)
    for problem in measured.broken():
        print(f"BROKEN: {problem}", flush=True)
    return int(bool(measured.broken()))


def main() -> int:
    """Run the parts, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, help="run only one part, of this many calls")
    parser.add_argument("--each", type=int, default=1, help="calls in a container")
    options = parser.parse_args()
    if options.calls:
        return run_part(options.calls, options.each)
    parts = [("10000", "1"), ("100000", "100")]
    words = (sys.executable, "-m", "benchmarks.pool_scale")
    return max(
        subprocess.run([*words, "--calls", calls, "--each", each], check=False).returncode for calls, each in parts
    )


if __name__ == "__main__":
    sys.exit(main())
