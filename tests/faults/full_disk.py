# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A disk that fills at each file that the client opens to write, one after the other. Root: it mounts a tmpfs.

    python -m tests.faults.full_disk --first 1 --last 80

The user's folders (cache, data, state, results) are on the tmpfs. When the client opens its Nth file there, another
file takes all free bytes, so the kernel refuses what comes next. A place passes if each task has its value, or a
sentence that names the full disk or the file; with room again a second start brings the missing values; no function
ran twice; nothing is left at AWS. The series ends where the client opens no Nth file.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from tests.faults.client_process import CLIENT, TASKS, clean_up, last_words, outcomes_of, start_client
from tests.faults.signals import Series, judge_all
from tests.tasks.small_world import World

DISK_MIB = 64
BALLOON = "balloon"
TRUE_WORDS = ("No space left", "disk is full", "full disk", "can't be written", "can't be read or made")
LAUNCH = f"""
import os, runpy, sys
disk, place, opened, busy = os.environ["DISK"], int(os.environ["PLACE"]), 0, False

def fill(event, arguments):
    global opened, busy
    if busy or not (event == "os.mkdir" or event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    if not isinstance(arguments[0], (str, os.PathLike)) or not os.fspath(arguments[0]).startswith(disk):
        return
    opened += 1
    if opened != place:
        return
    busy = True
    balloon = os.open(os.path.join(disk, {BALLOON!r}), os.O_CREAT | os.O_WRONLY)
    size = 1 << 20
    while size:
        try:
            os.write(balloon, bytes(size))
        except OSError:
            size //= 2
    os.close(balloon)
    busy = False

sys.addaudithook(fill)
runpy.run_module({CLIENT!r}, run_name="__main__")
"""


async def of_disk(world: World, disk: Path, first: int, last: int) -> Series:
    """Fill the disk at the client's places `first` to `last`."""
    series = Series()
    settings = world.settings(poll_freq=0.3, array_linger=0.3, outage_patience=5, cache_dir=str(disk / "cache"))
    (world.folder / "settings.json").write_text(settings.model_dump_json())
    await world.value(settings, str, "the base image is copied into the repository once, and stays")
    await close_shared()
    before = world.sent()
    for place in range(first, last + 1):
        if not await asyncio.to_thread(_one, world, series, disk, place):
            break
    await clean_up(settings)
    series.count_left(before, world.sent())
    return series


def _one(world: World, series: Series, disk: Path, place: int) -> bool:
    """Run three tasks whose disk fills at one place; return whether the client came to it."""
    folder, dispatch = world.folder, f"disk-{place}"
    variables = {f"XDG_{kind}_HOME": str(disk / kind.lower()) for kind in ("CACHE", "DATA", "STATE")}
    variables |= {"DISK": str(disk), "PLACE": str(place), "RESULTS_DIR": str(disk / "results")}
    words = last_words(start_client(folder, dispatch, variables, ("-c", LAUNCH)))
    balloon = disk / BALLOON
    reached = balloon.exists()
    balloon.unlink(missing_ok=True)
    outcomes = outcomes_of(folder, dispatch)
    for number in range(TASKS):
        outcome = outcomes.get(number) or words[-600:]
        if outcome != "value" and not any(true in outcome for true in TRUE_WORDS):
            series.add("lost", f"{dispatch}, task {number}: {outcome}")
        series.told += outcome != "value"
    if any(outcomes.get(number) != "value" for number in range(TASKS)):
        words = last_words(start_client(folder, dispatch, variables | {"PLACE": "0"}, ("-c", LAUNCH)))
    judge_all(series, world, dispatch, dispatch, words)
    return reached


async def main(first: int, last: int) -> int:
    """Run the series, and print what was counted; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-disk-") as folder:
        names = dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME", "HOME"), folder)
        os.environ |= names | {"AWS_EC2_METADATA_DISABLED": "true"}
        disk = Path(folder, "disk")
        disk.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", str(disk)], check=True)
        try:
            async with LocalAWS(engine="process", slots=8, grace_s=1, minute_s=4) as aws:
                series = await of_disk(World(aws, Path(folder)), disk, first, last)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    print("\n".join([*series.wrong, series.say("full disk")]), flush=True)
    return 1 if series.wrong else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--first", type=int, default=1)
    options.add_argument("--last", type=int, default=1000)
    told = options.parse_args()
    sys.exit(asyncio.run(main(told.first, told.last)))
