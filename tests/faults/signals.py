# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""SIGINT, SIGTERM and SIGKILL at random moments: of the executor's process, the offline AWS and Covalent's server.

    python -m tests.faults.signals executor --seed 1 --moments 50
    python -m tests.faults.signals aws --seed 1 --moments 50
    python -m tests.faults.signals server --seed 1 --moments 50

A moment passes if each task has its value after a second start (or one true sentence where AWS itself is gone), no
function ran to its end twice for one answer, and nothing is left. The seed decides the moments.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.core.user_dirs import data_dir
from covalent_awsbatch_plugin.local import LocalAWS, background
from covalent_awsbatch_plugin.settings import Settings
from tests.faults.client_process import (
    TASKS,
    active_jobs,
    clean_up,
    collect,
    jobs_of,
    last_words,
    outcomes_of,
    start_client,
    wait_for,
)
from tests.tasks.small_world import Sent, World

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
EARLIEST_S, LATEST_S = 0.1, 5.0  # after the client's first request may leave, and after its tasks should have ended


@dataclass
class Series:
    """The counts of a series of moments."""

    moments: int = 0
    values: int = 0
    told: int = 0
    lost: int = 0
    double: int = 0
    orphans: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def say(self, name: str) -> str:
        """Return one line."""
        return (
            f"{name}: {self.moments} moments, {self.values} values, {self.told} told, {self.lost} lost,"
            f" {self.double} double, {self.orphans.total()} orphans"
        )

    def add(self, count: str, text: str) -> None:
        """Count one thing that must not be."""
        setattr(self, count, getattr(self, count) + 1)
        self.wrong.append(f"{count}: {text}")

    def count_left(self, before: Sent, after: Sent) -> None:
        """Count what AWS holds after a series and did not hold before."""
        for kind in ("images", "definitions", "objects"):
            if left := getattr(after, kind) - getattr(before, kind):
                self.orphans[kind] += len(left)
                self.wrong.append(f"orphans: {len(left)} {kind}, such as {min(left)}")

    def ended(self, name: str) -> None:
        """Count a moment that was judged, and print the counts so far: a long series may be cut off."""
        self.moments += 1
        print(self.say(name), flush=True)


# ---- the process with the executor -----------------------------------------------------------------------------------
async def of_executor(world: World, seed: int, moments: int, at_once: int = 3) -> Series:
    """Signal the executor's process at random moments, and start it again."""
    dice, series = random.Random(seed), Series()
    settings = world.settings(poll_freq=0.3, array_linger=0.3)
    (world.folder / "settings.json").write_text(settings.model_dump_json())
    await world.value(settings, str, "the base image is copied into the repository once, and stays")
    await close_shared()
    before, slots = world.sent(), asyncio.Semaphore(at_once)

    async def one(number: int, which: signal.Signals, after_s: float) -> None:
        async with slots:
            await asyncio.to_thread(_executor_moment, world, series, f"signal-{seed}-{number}", which, after_s)

    plan = [(which, dice.uniform(EARLIEST_S, LATEST_S)) for which in SIGNALS for _ in range(moments)]
    await asyncio.gather(*(one(number, *each) for number, each in enumerate(plan)))
    # a signal between the last result and the process's end leaves a job's note, which `collect` takes away
    await asyncio.to_thread(collect, settings, world.folder / "collected")
    if notes := [str(path) for path in data_dir().rglob("*.json") if f"signal-{seed}-" in path.read_text()]:
        series.orphans["notes"] += len(notes)
        series.wrong.append(f"orphans: {notes}")
    await clean_up(settings)
    series.count_left(before, world.sent())
    return series


def _executor_moment(world: World, series: Series, dispatch: str, which: signal.Signals, after_s: float) -> None:
    folder, name = world.folder, f"{dispatch}, {which.name} after {after_s:.2f} s"
    process = start_client(folder, dispatch)
    wait_for(lambda: (folder / f"{dispatch}.began").exists(), process)
    time.sleep(after_s)
    process.send_signal(which)
    words = last_words(process)
    if which == signal.SIGINT:
        # Python says nothing where the signal comes in its last steps, after all outcomes
        over = len(outcomes_of(folder, dispatch)) == TASKS
        if process.returncode != 0 and not over and "KeyboardInterrupt" not in words.splitlines()[-1]:
            series.add("lost", f"{name}: ended with {words[-600:]}")
        if jobs := active_jobs(world, dispatch):
            series.add("lost", f"{name}: {len(jobs)} jobs run on after SIGINT")
    earlier = outcomes_of(folder, dispatch)
    words = last_words(start_client(folder, dispatch)) if len(earlier) < TASKS else ""
    outcomes = outcomes_of(folder, dispatch)
    for number in range(TASKS):
        judge(series, f"{name}, task {number}", outcomes.get(number, words[-600:]))
        ended = Path(folder, f"{dispatch}-{number}-ended")
        runs = len(ended.read_bytes()) if ended.exists() else 0
        # a result that was read just before the kill is noted nowhere, so its task is run again
        if runs > 1 and not (which != signal.SIGINT and _was_read(world, dispatch, number)):
            series.add("double", f"{name}, task {number} ran {runs} times")
    if jobs := active_jobs(world, dispatch):
        series.orphans["jobs"] += len(jobs)
        series.wrong.append(f"orphans: {name}: {len(jobs)} jobs")
    series.ended(name)


def judge(series: Series, name: str, outcome: str) -> None:
    """Count a value, or a lost task."""
    if outcome == "value":
        series.values += 1
    else:
        series.add("lost", f"{name}: {outcome}")


def judge_all(series: Series, world: World, name: str, dispatch: str, words: str) -> None:
    """Count the tasks of a dispatch that ended, their runs, and the jobs that are still active."""
    for number in range(TASKS):
        judge(series, f"{name}, task {number}", outcomes_of(world.folder, dispatch).get(number, words[-600:]))
        ended = world.folder / f"{dispatch}-{number}-ended"
        if (runs := ended.stat().st_size if ended.exists() else 0) > 1:
            series.add("double", f"{name}, task {number} ran {runs} times")
    if jobs := active_jobs(world, dispatch):
        series.orphans["jobs"] += len(jobs)
        series.wrong.append(f"orphans: {name}: {len(jobs)} jobs")
    series.ended(name)


def _was_read(world: World, dispatch: str, number: int) -> bool:
    """Return whether the task has more than one job that SUCCEEDED, each of which was read or superseded."""
    names = [job for job in jobs_of(world, dispatch) if job["status"] == "SUCCEEDED"]
    return len(names) > 1


# ---- the offline AWS -------------------------------------------------------------------------------------------------
async def of_offline_aws(
    folder: Path, seed: int, moments: int, at_once: int = 2, signals: Sequence[signal.Signals] = SIGNALS
) -> Series:
    """Signal the offline AWS (`local up`) at random moments of some tasks, and start it again.

    AWS's own state is in its memory: jobs, images and objects are lost with it, and the tasks are told so.
    """
    dice, series, slots = random.Random(seed + 1), Series(), asyncio.Semaphore(at_once)

    async def one(number: int, which: signal.Signals, after_s: float) -> None:
        own = folder / str(number)
        own.mkdir()
        async with slots:
            await asyncio.to_thread(_aws_moment, own, series, f"aws-{seed}-{number}", which, after_s)

    plan = [(which, dice.uniform(EARLIEST_S, LATEST_S)) for which in signals for _ in range(moments)]
    await asyncio.gather(*(one(number, *each) for number, each in enumerate(plan)))
    return series


def _aws_moment(folder: Path, series: Series, dispatch: str, which: signal.Signals, after_s: float) -> None:
    name = f"{dispatch}, {which.name} after {after_s:.2f} s"
    running = background.up(dispatch, "process", progress=lambda _line: None)
    settings = Settings.model_validate({**running.section, "outage_patience": 3, "poll_freq": 0.3})
    (folder / "settings.json").write_text(settings.model_dump_json())
    process = start_client(folder, dispatch)
    wait_for(lambda: (folder / f"{dispatch}.began").exists(), process)
    time.sleep(after_s)
    os.kill(running.pid, which)
    words = last_words(process)
    outcomes = outcomes_of(folder, dispatch)
    for task in range(TASKS):
        outcome = outcomes.get(task, "")
        if outcome == "value":
            series.values += 1
        elif outcome and "Traceback" not in outcome and ("AWS" in outcome or "registry" in outcome):
            series.told += 1
        else:
            series.add("lost", f"{name}, task {task}: {outcome or words[-600:]}")
    state = background.home() / dispatch
    if processes := _until_no_process_names(str(state)):
        series.orphans["processes"] += len(processes)
        series.wrong.append(f"orphans: {name}: {processes}")
    _again(series, name, dispatch, folder)
    series.ended(name)


def _again(series: Series, name: str, dispatch: str, folder: Path) -> None:
    """Start the offline AWS in the same folder, and run the tasks there."""
    running = background.up(dispatch, "process", progress=lambda _line: None)
    settings = Settings.model_validate({**running.section, "poll_freq": 0.3})
    (folder / "settings.json").write_text(settings.model_dump_json())
    again = f"{dispatch}-again"
    words = last_words(start_client(folder, again))
    outcomes = outcomes_of(folder, again)
    for task in range(TASKS):
        judge(series, f"{name}, started again, task {task}", outcomes.get(task, words[-600:]))
    background.down(dispatch, progress=lambda _line: None)


def _until_no_process_names(text: str) -> Sequence[str]:
    """Return the commands whose variables name a folder, once they had time to end."""
    ends = time.monotonic() + 10
    while (found := _processes(text)) and time.monotonic() < ends:
        time.sleep(0.2)
    return found


def _processes(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


async def main(told: argparse.Namespace) -> int:
    """Run one series, and print what was counted; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-signals-") as folder:
        names = dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME", "HOME"), folder)
        os.environ |= names | {"AWS_EC2_METADATA_DISABLED": "true"}
        if told.of == "server":
            from tests.faults.server_signals import of_server  # it needs this module

            series = await asyncio.to_thread(of_server, Path(folder), told.seed, told.moments)
        elif told.of == "aws":
            series = await of_offline_aws(Path(folder), told.seed, told.moments)
        else:
            async with LocalAWS(engine="process", slots=8, grace_s=1, minute_s=4) as aws:
                series = await of_executor(World(aws, Path(folder)), told.seed, told.moments)
    print("\n".join([*series.wrong, series.say(f"{told.of}, seed {told.seed}")]), flush=True)
    return 1 if series.wrong else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("of", choices=("executor", "aws", "server"))
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--moments", type=int, default=50, help="of each signal")
    sys.exit(asyncio.run(main(options.parse_args())))
