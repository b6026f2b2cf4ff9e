# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The functions that run in the jobs. Each is made inside another one, so that it is pickled by value."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import attempt, on_stop, state_prefix

STATE = b"saved before the end"
SAVED_TO = "state"  # the object's name below `state_prefix()`
WAIT_S = 280


def platform_call() -> Callable[[], str]:
    """Return a function that says which Python and machine runs it."""

    def version() -> str:
        import platform

        return f"Python {platform.python_version()} on {platform.machine()}"

    return version


def ending() -> Callable[[str, str, int], str]:
    """Return a function that prints a line and then ends in one of three ways."""

    def end(way: str, line: str, memory_mib: int) -> str:
        print(line, flush=True)
        if way == "exception":
            raise ValueError(line)
        if way == "value":
            return line
        time.sleep(0.5)
        parent = os.getppid()
        for _ in range(5):  # the first process of a container is deaf to this signal from within
            os.kill(parent, signal.SIGKILL)
            time.sleep(0.2)
        Path(f"/proc/{parent}/oom_score_adj").write_text("1000")  # so the kernel ends the first process
        blocks = []
        for _ in range(2 * memory_mib):
            blocks.append(b"x" * (1 << 20))
            time.sleep(0.001)
        os._exit(9)

    return end


def reversal() -> Callable[[bytes], tuple[str, bytes]]:
    """Return a function that returns the digest of its argument, and the argument backwards."""

    def turn(data: bytes) -> tuple[str, bytes]:
        return hashlib.sha256(data).hexdigest(), data[::-1]

    return turn


def waiting() -> Callable[[int], None]:
    """Return a function that waits to be cancelled."""

    def wait(seconds: int) -> None:
        print("waiting", flush=True)
        time.sleep(seconds)

    return wait


def failing_once() -> Callable[[], int]:
    """Return a function that raises ConnectionError at its first attempt, and returns the number of the second."""

    def fail() -> int:
        number = attempt()
        if number == 1:
            raise ConnectionError("a trial")
        return number

    return fail


def saving() -> Callable[[str, bytes, int], None]:
    """Return a function that waits, and saves its state when it is told to stop."""

    def save(name: str, state: bytes, seconds: int) -> None:
        def store(left: float) -> None:
            place = str(state_prefix()).removeprefix("s3://")
            bucket, _, key = place.partition("/")
            runner = str(sys.modules["covalent_awsbatch_runner"].__file__)
            sys.path.append(str(Path(runner).parents[1]))  # where the runner's S3 client is
            client = importlib.import_module("covalent_awsbatch_runner.client_settings").ClientSettings.of(os.environ)
            s3: Any = importlib.import_module("covalent_awsbatch_runner.bucket").S3
            s3(bucket, client, give_up_s=10).put(f"{key}/{name}", state)
            print(f"saved with {left:.0f} s left", flush=True)
            sys.exit(3)

        with on_stop(store):
            print("waiting", flush=True)
            time.sleep(seconds)

    return save


def eating() -> Callable[[int], int]:
    """Return a function that fills memory, in MiB, until it is killed."""

    def eat(mebibytes: int) -> int:
        blocks = []
        for _ in range(mebibytes):
            blocks.append(b"x" * (1 << 20))
            time.sleep(0.002)
        time.sleep(5)
        return len(blocks)

    return eat
