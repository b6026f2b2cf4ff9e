# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Steps of the client's clock by an hour, forward and back, at random moments of three tasks.

    python -m tests.faults.clock_steps --seed 1 --moments 10

Debian's libfaketime changes the process's wall clock and leaves its monotonic one. AWS refuses requests whose time is
a quarter of an hour off. So a moment passes if each task has its value, or a sentence that names the clock; a second
start with the right clock brings the missing values; no function ran twice; and nothing is left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from tests.faults.client_process import (
    CLIENT,
    TASKS,
    clean_up,
    last_words,
    outcomes_of,
    start_client,
    wait_for,
)
from tests.faults.signals import EARLIEST_S, LATEST_S, Series, judge_all
from tests.tasks.small_world import World

HOUR_S = 3600
# libfaketime's clock_nanosleep refuses the absolute times of a clock that it leaves alone, which time.sleep gives
LAUNCH = f"""
import runpy, select, time
time.sleep = lambda seconds: select.select((), (), (), seconds)
runpy.run_module({CLIENT!r}, run_name="__main__")
"""
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


async def of_clock(world: World, seed: int, moments: int, at_once: int = 3) -> Series:
    """Step the clock of the executor's process `moments` times in each direction."""
    dice, series, slots = random.Random(seed + 3), Series(), asyncio.Semaphore(at_once)
    settings = world.settings(poll_freq=0.3, array_linger=0.3, outage_patience=5)
    (world.folder / "settings.json").write_text(settings.model_dump_json())
    await world.value(settings, str, "the base image is copied into the repository once, and stays")
    await close_shared()
    before = world.sent()

    async def one(number: int, step_s: int, after_s: float) -> None:
        async with slots:
            await asyncio.to_thread(_moment, world, series, f"clock-{seed}-{number}", step_s, after_s)

    plan = [(step_s, dice.uniform(EARLIEST_S, LATEST_S)) for step_s in (HOUR_S, -HOUR_S) for _ in range(moments)]
    await asyncio.gather(*(one(number, *each) for number, each in enumerate(plan)))
    await clean_up(settings)
    series.count_left(before, world.sent())
    return series


def _moment(world: World, series: Series, dispatch: str, step_s: int, after_s: float) -> None:
    folder, name = world.folder, f"{dispatch}, {step_s:+d} s after {after_s:.2f} s"
    clock = folder / f"{dispatch}.clock"
    clock.write_text("+0\n")
    process = start_client(folder, dispatch, _stepping(clock), ("-c", LAUNCH))
    wait_for(lambda: (folder / f"{dispatch}.began").exists(), process)
    time.sleep(after_s)
    clock.write_text(f"{step_s:+d}\n")
    words = last_words(process)
    outcomes = outcomes_of(folder, dispatch)
    for number in range(TASKS):
        outcome = outcomes.get(number, "")
        if outcome != "value" and "clock" not in outcome:
            series.add("lost", f"{name}, task {number}: {outcome or words[-600:]}")
        series.told += "clock" in outcome
    if any(outcome != "value" for outcome in outcomes.values()) or len(outcomes) < TASKS:
        words = last_words(start_client(folder, dispatch))
    judge_all(series, world, name, dispatch, words)


def _stepping(clock: Path) -> dict[str, str]:
    """Return the variables with which libfaketime reads its offset from a file, at each call."""
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def main(seed: int, moments: int) -> int:
    """Run the series, and print what was counted; return the exit code."""
    if not LIBRARIES:
        sys.exit("libfaketime is missing: apt-get install libfaketime")
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-clock-") as folder:
        names = dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME", "HOME"), folder)
        os.environ |= names | {"AWS_EC2_METADATA_DISABLED": "true"}
        async with LocalAWS(engine="process", slots=8, grace_s=1, minute_s=4) as aws:
            series = await of_clock(World(aws, Path(folder)), seed, moments)
    print("\n".join([*series.wrong, series.say(f"clock, seed {seed}")]), flush=True)
    return 1 if series.wrong else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--moments", type=int, default=10, help="of each direction")
    told = options.parse_args()
    sys.exit(asyncio.run(main(told.seed, told.moments)))
