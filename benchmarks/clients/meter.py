# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What every client that is measured does the same way. Standard library only: it runs in environments of others.

A client reads what to do from standard input (JSON), runs `warm` tasks unmeasured, then `n` tasks at once, checks every
value, and prints its figures as JSON on the last line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from urllib.request import Request, urlopen

PAYLOAD_BYTES = 2048


def task(x: int, payload: bytes) -> int:
    """What is run: as little as can be checked."""
    return x * x + len(payload)


task.__module__ = "__main__"  # so that it travels by value, as a function of a notebook does


def arguments(n: int) -> list[tuple[int, bytes]]:
    return [(x, os.urandom(PAYLOAD_BYTES)) for x in range(n)]


def right(n: int) -> list[int]:
    return [x * x + PAYLOAD_BYTES for x in range(n)]


def told() -> dict:
    """What to do. From here on botocore finds the offline AWS, in whatever way a library asks for it."""
    body = json.load(sys.stdin)
    section = body["section"]
    os.environ |= {
        "AWS_SHARED_CREDENTIALS_FILE": section["credentials"],
        "AWS_PROFILE": section["profile"],
        "AWS_DEFAULT_REGION": section["region"],
        "AWS_ENDPOINT_URL": body["endpoint_url"],
    }
    return body


class Meter:
    """`with Meter(told) as meter`: measures the block, then `report()` prints it. `told` is what `told()` gave."""

    def __init__(self, told: dict) -> None:
        login = {"Authorization": f"Bearer {told['control_token']}"}
        self._request = Request(f"{told['endpoint_url']}/_local/calls", headers=login)

    def __enter__(self) -> Meter:
        self._calls = self._counts()
        self._cpu, self._wall = _cpu(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        wall, cpu = time.perf_counter() - self._wall, _cpu() - self._cpu
        now = self._counts()
        calls = {name: now[name] - self._calls.get(name, 0) for name in now}
        self.figures = {
            "wall_s": wall,
            "cpu_s": cpu,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "calls": {name: count for name, count in calls.items() if count},
        }

    def report(self, **more: object) -> None:
        print(json.dumps(self.figures | more))

    def _counts(self) -> dict[str, int]:
        """Of everybody but the jobs, whose credentials are their role's, and the one who filled the AWS."""
        with urlopen(self._request) as answer:
            counts: dict[str, int] = {}
            for who, named in json.load(answer).items():
                if not who.startswith("ASIA") and who != "provisioner":
                    for name, count in named.items():
                        counts[name] = counts.get(name, 0) + count
        return counts


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
