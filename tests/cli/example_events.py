# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The record of a dispatch that never ran: some functions, a queue with few containers, a few failures."""

from __future__ import annotations

import heapq
import random

from covalent_awsbatch_plugin.tasks.events import Event, Figures, Kind

BEGAN = 1767225600.0
NAMES = ("simulate", "simulate", "simulate", "prepare")


def example_events(tasks: int, seed: int = 1, dispatch: str = "example") -> list[Event]:
    """Events of `tasks` nodes of one array, as many at a time as a twentieth of them; one of fifty failed."""
    chance, clock = random.Random(seed), BEGAN
    events = [
        Event(Kind.PACKED, clock, dispatch, (node,), {"name": NAMES[node % 4], "bytes": 9}) for node in range(tasks)
    ]
    request: Figures = {
        "job_id": "j", "members": tuple(range(tasks)), "image": f"sha256:{'ab' * 32}", "queue": "covalent-queue",
        "vcpu": 1.0, "memory_mib": 3840, "gpus": 0, "tasks_per_job": 1, "tries": 1,
    }  # fmt: skip
    events.append(Event(Kind.SUBMITTED, clock + 2, dispatch, tuple(range(tasks)), request))
    free = [clock + 30 + chance.random() * 20 for _ in range(max(1, tasks // 20))]
    heapq.heapify(free)
    for node in range(tasks):
        start = heapq.heappop(free) + chance.random()
        end = start + chance.lognormvariate(3, 0.5)
        heapq.heappush(free, end)
        events += _task(dispatch, node, start, end, chance.gauss(400, 60), failed=node % 50 == 49)
    return events


def _task(dispatch: str, node: int, start: float, end: float, peak_mib: float, *, failed: bool) -> list[Event]:
    origin: Figures = {"job_id": f"j:{node}", "attempt": 1}
    ended: Figures = {
        **origin, "outcome": "raised" if failed else "returned", "exit_code": int(failed), "started": start,
        "user_cpu_seconds": (end - start) * 0.8, "system_cpu_seconds": 0.1, "peak_rss_bytes": int(peak_mib * 2**20),
    }  # fmt: skip
    if failed:
        ended["error"], ended["reason"] = "ZeroDivisionError", "division by zero"
    read: Figures = {**origin, "error": "Raised"} if failed else origin
    return [
        Event(Kind.STARTED, start, dispatch, (node,), origin),
        Event(Kind.ATTEMPT_ENDED, end, dispatch, (node,), ended),
        Event(Kind.RESULT_READ, end + 2, dispatch, (node,), read),
    ]
