# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Every way a task can end, and what its caller is told."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import Any

import pytest

from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import Container, alive


@pytest.mark.parametrize("value", [None, 42, "größer €", {"a": [1, (2, 3)]}, b"\x00" * 10, float("inf")])
def test_a_value_comes_back_as_covalents_own_archive(container: Container, value: Any) -> None:
    container.add(lambda x: x, value)
    ran = container.run()
    assert ran.exit_code == 0
    assert ran.value() == value
    assert ran.archive().object_string == str(value)
    assert ran.archive().python_version.split(".")[:2] == list(map(str, sys.version_info[:2]))


def test_the_archive_is_byte_for_byte_what_covalent_writes(container: Container) -> None:
    from covalent._workflow.transportable_object import TransportableObject

    value = {"text": "ä" * 1000, "numbers": list(range(1000))}
    container.add(lambda: value)
    assert container.run().part(envelope.OUTPUT) == TransportableObject(value).serialize()


def test_raised_exception_is_recorded_with_its_traceback(container: Container) -> None:
    def fail() -> None:
        print("before")
        raise KeyError("the key that is missing")

    container.add(fail)
    ran = container.run()
    assert ran.exit_code == layout.RAISED.code
    assert ran.ended() == (envelope.RAISED, 1, None)
    assert ran.task().exception_type == "KeyError"
    error = ran.text(envelope.ERROR)
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith("KeyError: 'the key that is missing'\n")
    assert "in fail" in error
    assert "covalent_awsbatch_runner" not in error
    assert ran.text(envelope.STDERR) == error
    assert ran.text(envelope.STDOUT) == "before\n"
    exception = pickle.loads(ran.part(envelope.EXCEPTION))
    assert isinstance(exception, KeyError)
    assert exception.args == ("the key that is missing",)


def test_an_exception_that_cant_travel_leaves_its_text(container: Container) -> None:
    def fail() -> None:
        class Stuck(Exception):
            def __init__(self, one: object, two: object) -> None:
                super().__init__(f"{one} and {two}")

        raise Stuck(1, 2)

    container.add(fail)
    ran = container.run()
    assert ran.ended() == (envelope.RAISED, 1, None)
    assert str(ran.task().exception_type).endswith("Stuck")
    assert "1 and 2" in ran.text(envelope.ERROR)
    assert envelope.EXCEPTION not in ran.task().parts


@pytest.mark.parametrize(("code", "status"), [(3, 3), (0, 0), (None, 0), ("no more", 1), (True, 1), (256, 0)])
def test_sys_exit_is_no_value(container: Container, code: Any, status: int) -> None:
    container.add(lambda: sys.exit(code))
    ran = container.run()
    assert ran.exit_code == layout.RAISED.code
    assert ran.ended() == (envelope.EXITED, status, None)
    assert f"left by sys.exit with code {status}" in ran.text(envelope.ERROR)
    assert (f"and said: {code}" in ran.text(envelope.ERROR)) == isinstance(code, str)


def test_os_exit_leaves_code_and_output(container: Container) -> None:
    def leave() -> None:
        print("so far")
        os._exit(5)

    container.add(leave)
    ran = container.run()
    assert ran.ended() == (envelope.EXITED, 5, None)
    assert ran.text(envelope.STDOUT) == "so far\n"
    assert "os._exit with code 5" in ran.text(envelope.ERROR)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_signal_is_named(container: Container, number: signal.Signals) -> None:
    def die() -> None:
        print("so far")
        os.kill(os.getpid(), number)
        signal.pause()

    container.add(die)
    ran = container.run()
    assert ran.exit_code == layout.RAISED.code
    assert ran.ended() == (envelope.KILLED, 128 + number, number)
    assert ran.text(envelope.STDOUT) == "so far\n"
    assert number.name in ran.text(envelope.ERROR)


def test_a_segmentation_fault_says_where(container: Container) -> None:
    def crash() -> None:
        import ctypes

        ctypes.string_at(0)

    container.add(crash)
    ran = container.run()
    assert ran.ended() == (envelope.KILLED, 128 + signal.SIGSEGV, signal.SIGSEGV)
    assert "in string_at" in ran.text(envelope.STDERR)


def test_a_value_that_cant_be_pickled_is_named(container: Container) -> None:
    def lock() -> object:
        import threading

        return {"deep": [threading.Lock()]}

    container.add(lock, name="lock")
    ran = container.run()
    assert ran.ended() == (envelope.UNPICKLABLE, 1, None)
    assert "lock returned a value of type dict, which can't be pickled: TypeError" in ran.text(envelope.ERROR)
    assert envelope.OUTPUT not in ran.task().parts


def test_an_error_is_told_when_the_streams_are_gone(container: Container) -> None:
    def fail() -> None:
        sys.stderr.close()
        raise ValueError("still told")

    container.add(fail)
    ran = container.run()
    assert ran.ended() == (envelope.RAISED, 1, None)
    assert "still told" in ran.text(envelope.ERROR)


def test_a_keyboard_interrupt_is_an_exception_like_others(container: Container) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    container.add(interrupt)
    assert container.run().task().exception_type == "KeyboardInterrupt"


def test_a_value_with_a_broken_str_is_not_lost(container: Container) -> None:
    def odd() -> object:
        class Odd:
            def __str__(self) -> str:
                raise RuntimeError("no")

        return Odd()

    container.add(odd)
    ran = container.run()
    assert type(ran.value()).__name__ == "Odd"
    assert ran.archive().object_string.endswith(".Odd, whose str() raised RuntimeError>")


def test_what_runs_at_exit_runs_and_its_crash_does_not_lose_the_value(container: Container) -> None:
    def crash_late() -> str:
        import atexit

        def late() -> None:
            print("late")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

        atexit.register(late)
        return "value"

    container.add(crash_late)
    ran = container.run()
    assert (ran.exit_code, ran.value()) == (0, "value")
    assert ran.text(envelope.STDOUT) == "late\n"


def test_a_fork_that_comes_back_too_does_not_report_twice(container: Container) -> None:
    def forks() -> str:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return "parent" if child else "child"

    container.add(forks)
    assert container.run().value() == "parent"


def test_output_of_children_and_c_code_is_caught_by_stream(container: Container) -> None:
    def speak() -> None:
        print("python")
        os.write(1, b"descriptor\n")
        subprocess.run(["/bin/sh", "-c", "echo shell; echo problem >&2"], check=True)

    container.add(speak)
    ran = container.run()
    assert ran.text(envelope.STDOUT) == ran.stdout.decode() == "python\ndescriptor\nshell\n"
    assert ran.text(envelope.STDERR) == ran.tasks_stderr == "problem\n"


def test_fifty_megabytes_of_output_arrive_whole(container: Container) -> None:
    container.add(lambda: [print("0123456789" * 99 + "äöü€") for _ in range(50_000)][:0])
    ran = container.run()
    line = "0123456789" * 99 + "äöü€\n"
    assert ran.exit_code == 0
    assert ran.part(envelope.STDOUT).decode() == ran.stdout.decode() == line * 50_000


def test_a_process_left_behind_does_not_hold_the_job(container: Container) -> None:
    def leave_behind() -> int:
        return subprocess.Popen(["sleep", "600"]).pid

    container.add(leave_behind)
    ran = container.run(timeout=30)
    assert ran.exit_code == 0
    assert not alive(ran.value())


def test_a_big_value_is_an_object_of_its_own(container: Container) -> None:
    container.add(lambda size: os.urandom(size), 300_000)
    ran = container.run()
    part = ran.task().parts[envelope.OUTPUT]
    assert part.offset is None
    assert f"{ran.attempt}/parts/{part.sha256}" in ran.bucket.listed()
    assert len(ran.value()) == 300_000
