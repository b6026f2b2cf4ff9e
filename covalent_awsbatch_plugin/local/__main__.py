# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`python -m covalent_awsbatch_plugin.local --state-dir DIR` runs the offline AWS until SIGTERM or Ctrl-C.

`DIR/state.json` is written when every service answers, and removed before the process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from .background import LOCK_FILE, READY
from .batch_alone import batch_alone
from .engines import choice as engines
from .server import STATE_FILE, Options, offline_aws, write_state


def main(argv: list[str] | None = None) -> int:
    """Run the offline AWS with the options of a command line. Return the exit code: 1 where another one runs."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    arguments.state_dir.mkdir(parents=True, exist_ok=True)
    options = Options(
        state_dir=arguments.state_dir,
        engine=arguments.engine,
        region=arguments.region,
        slots=arguments.slots,
        grace_s=arguments.grace_s,
        minute_s=arguments.minute_s,
        mounting=arguments.mounting == "True",
        enforce_iam=arguments.enforce_iam == "True",
        quotas=arguments.quotas,
        registry_name=arguments.registry_name,
        services=arguments.services,
    )
    lock = os.open(
        arguments.state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600
    )  # never closed: held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another offline AWS runs in {arguments.state_dir}", file=sys.stderr)
        return 1
    asyncio.run(_run(options, arguments.until_eof))
    return 0


async def _run(options: Options, until_eof: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=(loop, stop), daemon=True).start()
    async with (batch_alone if options.services else offline_aws)(options, report) as state:
        write_state(options.state_dir, state)
        gc.freeze()  # the loaded modules stay: the garbage collector need not scan them again
        report(READY)
        os.dup2(2, 1)  # the parent process stops to read standard output after READY
        await stop.wait()
        (options.state_dir / STATE_FILE).unlink()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def report(line: str) -> None:
    """Print one line of progress for the parent process."""
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="folder of its files; state.json holds its addresses"
    )
    parser.add_argument("--engine", type=_engine, default=engines.AUTO, help="docker, process, auto or module:Class")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--slots", type=int, help="jobs at a time (two a processor)")
    parser.add_argument("--grace-s", type=float, default=30.0, help="seconds between SIGTERM and SIGKILL (30, as AWS)")
    parser.add_argument(
        "--minute-s", type=float, default=60.0, help="seconds of real time for a minute of a job's timeout"
    )
    parser.add_argument("--mounting", choices=("True", "False"), default="True", help="cross-repository blob mounts")
    parser.add_argument(
        "--enforce-iam", choices=("True", "False"), default="False", help="enforce IAM policies, and log every check"
    )
    parser.add_argument("--quotas", type=_quotas, default={}, help="requests per second, like batch=50,ecr:PutImage=10")
    parser.add_argument("--registry-name", help="host:port of a proxy in front of the registry")
    parser.add_argument(
        "--services", type=Path, help="credentials file (profile `local`) of another emulator; only Batch is served"
    )
    parser.add_argument("--until-eof", action="store_true", help="end when standard input is closed")
    return parser


def _engine(text: str) -> str:
    try:
        return engines.choose(text) if text != engines.AUTO else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _quotas(text: str) -> dict[str, float]:
    return {name: float(rate) for name, _, rate in (each.rpartition("=") for each in text.split(","))}


if __name__ == "__main__":
    sys.exit(main())
