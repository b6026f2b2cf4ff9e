# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Functions that end in every way there is. They travel by value; each says RAN once for each time it began."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import cloudpickle

from covalent_awsbatch_plugin import on_stop

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RAN, SAVED = "the function began", "saved in time"
BIG = "x" * 400_000  # more than an envelope carries: an object of its own


def answer() -> int:
    print(RAN, flush=True)
    return 42


def slowly(seconds: float) -> int:
    print(RAN, flush=True)
    time.sleep(seconds)
    return 42


def fail() -> None:
    print(RAN, flush=True)
    raise ZeroDivisionError("a mistake of the user's")


def unpicklable() -> Iterator[int]:
    print(RAN, flush=True)
    return iter(x for x in (1, 2))


def leave(code: int) -> None:
    print(RAN, flush=True)
    sys.exit(code)


def leave_at_once(code: int) -> None:
    print(RAN, flush=True)
    os._exit(code)


def killed(number: int) -> None:
    print(RAN, flush=True)
    os.kill(os.getpid(), number)
    time.sleep(60)


def eat(mebibytes: int) -> int:
    print(RAN, flush=True)
    kept = []
    for _ in range(mebibytes):
        kept.append(os.urandom(1 << 20))
        time.sleep(0.002)
    time.sleep(5)
    return len(kept)


def take_the_runner_along() -> None:
    """So that no result is written. In a container of its own the first process is deaf to its children's SIGKILL."""
    print(RAN, flush=True)
    time.sleep(0.3)
    while os.getppid() != 1 and "covalent" in Path(f"/proc/{os.getppid()}/cmdline").read_text():
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.2)
    os._exit(9)


def count(path: str, then: str) -> str:
    """Leaves a byte for each time it ran, then ends as it is told."""
    with open(path, "ab") as file:
        file.write(b"1")
    return end_as(then)


def count_in_bucket(urls: Sequence[str], then: str) -> str:
    """Leave an object for each time it ran, at the first free of these presigned URLs; then end as it is told."""
    for url in urls:
        request = urllib.request.Request(url, b"ran", {"If-None-Match": "*"}, method="PUT")
        try:
            urllib.request.urlopen(request).close()
            break
        except urllib.error.HTTPError as error:
            if error.code != 412:  # an earlier run has this one
                raise
    else:
        raise OverflowError(f"ran more than {len(urls)} times")
    return end_as(then)


def end_as(then: str) -> str:
    print(RAN, flush=True)
    if then == "raise":
        raise ZeroDivisionError("a mistake of the user's")
    if then == "exit":
        sys.exit(7)
    if then == "abort":
        os.kill(os.getpid(), signal.SIGABRT)
    if then == "eat":
        eat(600)
    if then == "slow":
        time.sleep(1)
    if then in ("overtime", "wait"):
        time.sleep(100)
    return BIG if then == "big" else "done"


def wait_and_count(folder: str) -> str:
    """Leaves a byte in `ran` for each time it ran, waits until there is a file called `go`, and returns much."""
    with open(f"{folder}/ran", "ab") as file:
        file.write(b"1")
    print(RAN, flush=True)
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    return "x" * 400_000


def wait_and_do(folder: str) -> str:
    """As `wait_and_count`, in a folder of its own; then it does as the file `go` says: fail, or return that."""
    with open(f"{folder}/ran", "ab") as file:
        file.write(b"1")
    print(RAN, flush=True)
    while not (do := Path(folder, "go")).exists():
        time.sleep(0.02)
    if do.read_text() == "fail":
        raise ZeroDivisionError("a mistake of the user's")
    return do.read_text()


def on_second_attempt() -> str:
    """Waits to be stopped at its first attempt, and says what it does then."""
    attempt = os.environ["AWS_BATCH_JOB_ATTEMPT"]
    if attempt == "1":
        on_stop(lambda seconds: sys.exit(print(SAVED if 0 < seconds < 30 else seconds)))
    print(RAN, flush=True)  # whoever waits for this may stop it now
    if attempt == "1":
        time.sleep(60)
    return f"attempt {attempt}"


def raise_once(path: str) -> str:
    with open(path, "ab") as file:
        if not file.tell():
            file.write(b"1")
            raise ZeroDivisionError("a mistake of the user's")
    return "done"


def warned(seconds: float) -> int:
    time.sleep(seconds)
    print("mind the gap", file=sys.stderr)
    return 42


def fail_slowly(seconds: float) -> None:
    time.sleep(seconds)
    raise ZeroDivisionError("a mistake of the user's")
