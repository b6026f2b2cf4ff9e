# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The same through a real Covalent server, beside Covalent's own `local` executor, which is the floor."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from covalent_awsbatch_plugin.local import LocalAWS
from examples.covalent_server import CovalentServer

from .fan_out import INSTANT, SLOTS
from .peers import CLIENTS
from .section import Reach, Say, Section
from .stats import counted, figure, median, spread, table

LOCAL, OURS = "local", "awsbatch"
TIMEOUT_S = 400
OF_THE_FLOOR = 120  # % of the wall with Covalent's own executor
MOST_MADE = {"ecr:PutImage": "images", "batch:RegisterJobDefinition": "definitions", "batch:SubmitJob": "submits"}
MOST = 40


@dataclass
class Through:
    """Seconds of each dispatch by executor, and the calls of one of ours."""

    n: int
    walls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    calls: Counter[str] = field(default_factory=Counter)

    def share(self) -> float:
        """Our wall in percent of the floor's."""
        return 100 * median(self.walls[OURS]) / median(self.walls[LOCAL])


async def section(quick: bool, say: Say) -> Section:
    found = await measure(40 if quick else 200, 1, say)
    what = f"{found.n} electrons through Covalent's server"
    wall = Reach(f"{what}: wall, of its `local` executor's", found.share(), OF_THE_FLOOR, "%")
    made = [Reach(f"{what}: {name}", found.calls[call], MOST) for call, name in MOST_MADE.items()]
    return Section(text(found), (wall, *made))


async def measure(n: int, rounds: int, say: Say) -> Through:
    """In turn, on one server and one offline AWS whose jobs finish at once."""
    found = Through(n)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
            settings = aws.section() | {"cache_dir": str(Path(folder, "staging")), "poll_freq": 1}
            with CovalentServer(Path(folder), settings) as server:
                for executor in (LOCAL, OURS):
                    await _dispatch(server, executor, 2)  # what comes first pays for imports
                for each in range(rounds):
                    say(f"Covalent's server, {n} electrons, round {each + 1} of {rounds}")
                    found.walls[LOCAL].append(await _dispatch(server, LOCAL, n))
                    before = _asked(aws)
                    found.walls[OURS].append(await _dispatch(server, OURS, n))
                    found.calls = _asked(aws) - before
    return found


def _asked(aws: LocalAWS) -> Counter[str]:
    total: Counter[str] = Counter()
    for named in aws.calls().values():
        total.update({name: count for name, count in named.items() if " " not in name})
    return total


async def _dispatch(server: CovalentServer, executor: str, n: int) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CLIENTS / "lattice.py"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=server.environment,
    )
    told = json.dumps({"executor": executor, "n": n, "address": server.address}).encode()
    printed, _ = await asyncio.wait_for(process.communicate(told), TIMEOUT_S)
    if process.returncode:
        raise RuntimeError(f"{executor}, {n} electrons:\n{server.last_words()}")
    wall: float = json.loads(printed.splitlines()[-1])["wall_s"]
    return wall


def text(found: Through) -> str:
    """The section of docs/numbers.md."""
    floor = median(found.walls[LOCAL])
    rows = [
        [
            f"{found.n} electrons, executor `{name}`",
            figure(median(walls)),
            spread(walls) if len(walls) > 1 else "one run",
            f"{median(walls) / floor:.0%}",
        ]
        for name, walls in found.walls.items()
    ]
    head = ["through Covalent's server", "wall s", "noise", "of the floor"]
    floor_is = (
        "The floor is Covalent's own `local` executor, which runs each electron in a process of the server's machine. "
        "Our jobs finish at once: the containers' own time is in neither.\n"
    )
    return f"{floor_is}\n{table(head, rows)}\nCalls of one such dispatch: {counted(found.calls)}.\n"
