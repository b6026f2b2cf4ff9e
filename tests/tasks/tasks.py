# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Functions that tests send away. They travel by value, as those of a user's script do."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def shout(word: str) -> str:
    print("shouting", word)
    return word.upper()


def tick(seconds: float) -> None:
    """Prints a numbered line four times a second."""
    for number in range(int(seconds * 4)):
        print("tick", number, flush=True)
        time.sleep(0.25)


def double(data: bytes) -> bytes:
    return data + data


def zeros(size: int) -> bytes:
    return bytes(size)


def when_there(path: str) -> str:
    """Waits until the file is there: tasks are processes of this machine."""
    print("waiting", flush=True)
    while not Path(path).exists():
        time.sleep(0.01)
    return "it is there"


def leave(code: int) -> None:
    print("leaving")
    sys.exit(code)


def die() -> None:
    """Takes the runner along, so that no result is written."""
    print("dying", flush=True)
    time.sleep(0.3)
    os.kill(os.getppid(), 9)
    os.kill(os.getpid(), 9)


def fail(word: str) -> None:
    raise ValueError(word)


def fail_loudly(word: str) -> None:
    print(word, flush=True)
    raise ValueError(word)


def which_dispatch() -> str:
    """As `ct.get_context` finds it in the container."""
    import covalent as ct

    return str(ct.get_context().dispatch_id)


def say_three_and_kill_the_runner() -> None:
    """Three lines, the last ones in a later batch of the log driver, and no result."""
    print("one", flush=True)
    time.sleep(0.6)
    print("two", flush=True)
    print("three", flush=True)
    time.sleep(0.1)
    os.kill(os.getppid(), 9)
    time.sleep(60)


def divide(number: int) -> float:
    print(f"divide({number})")
    return number / 0
