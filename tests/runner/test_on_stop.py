# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a function wants to do in its last seconds is done; on an image with this package and on one without."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

import covalent_awsbatch_plugin
from covalent_awsbatch_plugin import on_stop
from covalent_awsbatch_plugin.dependencies.references import of_source
from covalent_awsbatch_plugin.runner.on_stop import ENV_STOP_FILE
from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import Container
from tests.runner.test_stop import faster, stopped

BARE = str(getattr(sys, "_base_executable", sys.executable))
TOLD = signal.SIGTERM


@pytest.mark.parametrize("python", [sys.executable, BARE], ids=["with the package", "without"])
def test_it_is_told_the_seconds_left_and_what_it_prints_is_the_tasks(container: Container, python: str) -> None:
    def task() -> None:
        def goodbye(seconds: float) -> None:
            print(f"{seconds:.3f} s left")
            print("saved", file=sys.stderr)
            sys.exit(5)

        on_stop(goodbye)
        print(f"by {covalent_awsbatch_plugin.__name__}")
        time.sleep(600)

    container.python = python
    container.add(task)
    ran = stopped(container, TOLD)
    assert ran.ended() == (envelope.TERMINATED, 5, None)
    first, second = ran.text(envelope.STDOUT).splitlines()
    assert first == "by covalent_awsbatch_plugin"
    assert 0 < float(second.removesuffix(" s left")) <= layout.STOP_GRACE_S
    assert ran.text(envelope.STDERR).startswith("saved\n")


def test_the_function_goes_on_and_what_it_returns_in_time_is_its_value(container: Container) -> None:
    def task() -> str:
        enough = threading.Event()
        on_stop(lambda seconds: enough.set())
        print("started")
        while not enough.is_set():
            time.sleep(0.01)
        return "as far as I came"

    container.add(task)
    ran = stopped(container, TOLD)
    assert (ran.exit_code, ran.value()) == (0, "as far as I came")


def test_one_that_goes_on_for_too_long_is_killed(container: Container) -> None:
    faster((container.root / layout.RUNNER_DIR / layout.RUNNER_PACKAGE / "protocol" / "layout.py").resolve())

    def task() -> None:
        on_stop(lambda seconds: print(seconds <= 0.5))
        print("started")
        time.sleep(600)

    container.add(task)
    ran = stopped(container, TOLD)
    assert ran.ended() == (envelope.TERMINATED, 137, signal.SIGKILL)
    assert ran.text(envelope.STDOUT) == "started\nTrue\n"


def test_of_several_the_last_comes_first_and_one_that_fails_is_told_of(container: Container) -> None:
    def task() -> None:
        def fails(seconds: float) -> None:
            raise ZeroDivisionError("in the last moment")

        on_stop(lambda seconds: sys.exit(print("first")))
        on_stop(fails)
        on_stop(lambda seconds: sys.exit(print("last")))
        print("started")
        time.sleep(600)

    container.add(task)
    ran = stopped(container, TOLD)
    assert ran.text(envelope.STDOUT) == "started\nlast\nfirst\n"
    assert "ZeroDivisionError: in the last moment" in ran.text(envelope.STDERR)
    assert ran.ended()[0] == envelope.TERMINATED


def test_after_its_block_it_does_not_count(container: Container) -> None:
    def task() -> None:
        with on_stop(lambda seconds: print("never")):
            pass
        print("started")
        time.sleep(600)

    container.add(task)
    ran = stopped(container, TOLD)
    assert ran.text(envelope.STDOUT) == "started\n"
    assert ran.ended() == (envelope.TERMINATED, 143, signal.SIGTERM)


def test_the_users_own_handler_comes_after(container: Container) -> None:
    def task() -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(4) if os.write(1, b"handler\n") else None)
        on_stop(lambda seconds: print("callback"))
        print("started")
        time.sleep(600)

    container.add(task)
    ran = stopped(container, TOLD)
    assert ran.text(envelope.STDOUT) == "started\ncallback\nhandler\n"
    assert ran.ended() == (envelope.TERMINATED, 4, None)


def test_copies_of_the_process_say_nothing(container: Container) -> None:
    def task() -> None:
        on_stop(lambda seconds: sys.exit(print("once")))
        for _ in range(3):
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True).start()
        print("started")
        time.sleep(600)

    container.add(task)
    assert stopped(container, TOLD).text(envelope.STDOUT) == "started\nonce\n"


def test_a_signal_of_somebody_else_ends_the_task_as_without_it(container: Container) -> None:
    def task() -> None:
        on_stop(lambda seconds: print(seconds))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)

    container.add(task)
    ran = container.run()
    assert ran.ended() == (envelope.KILLED, 143, signal.SIGTERM)
    assert ran.text(envelope.STDOUT) == "0.0\n"


def test_one_that_comes_too_late_is_called_at_once(container: Container) -> None:
    def task() -> str:
        told: list[Any] = []
        with on_stop(told.append):
            print("started")
            while not told:
                time.sleep(0.01)
        on_stop(told.append)
        return f"{len(told)} calls, in order: {told == sorted(told, reverse=True)}"

    container.add(task)
    assert stopped(container, TOLD).value() == "2 calls, in order: True"


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_STOP_FILE, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    with on_stop(lambda seconds: None) as registration:
        assert signal.getsignal(signal.SIGTERM) is before
    registration.cancel()


def test_it_asks_for_no_package_and_its_neighbours_do() -> None:
    assert of_source("from covalent_awsbatch_plugin import on_stop").modules == set()
    assert of_source("import covalent_awsbatch_plugin.awsbatch").modules == {"covalent_awsbatch_plugin"}
