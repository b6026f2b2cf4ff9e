# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in one container: each has its own outcome, output and time, whatever the others do."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from tests.runner.bench import JOB_ID, Container, Ran, alive


class Shared:
    """One container for several tasks, added one by one; the first is number `first` of its array."""

    def __init__(self, container: Container, *, at_once: int = 1, seconds: float = 60, first: int = 0) -> None:
        self._container, self._first = container, first
        self.members: list[Container] = []
        self._env = {layout.ENV_PARALLEL_TASKS: str(at_once), layout.ENV_TIME_LIMIT: str(seconds)}

    def add(self, function: Callable[..., Any], *args: Any) -> None:
        index = self._first + len(self.members)
        member = Container(self._container.root, self._container.bucket, index=index)
        member.add(function, *args)
        self.members.append(member)

    def start(self, attempt: int = 1, each: int | None = None) -> subprocess.Popen[bytes]:
        each = each or len(self.members)
        self._env |= {
            layout.ENV_TASKS_PER_JOB: str(each),
            layout.ENV_TASKS: str(self._first + len(self.members)),
            layout.ENV_ARRAY_INDEX: str(self._first // each),
            layout.ENV_JOB_ATTEMPT: str(attempt),
        }
        first = self.members[0]
        first.env = self._env
        first.write_payload(self.members, each)
        return first.launch(stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, attempt: int = 1, each: int | None = None) -> list[Ran]:
        with self.start(attempt, each) as process:
            stdout, stderr = process.communicate(timeout=60)
        return self.left(process.returncode, attempt, stdout, stderr)

    def left(self, code: int, attempt: int = 1, stdout: bytes = b"", stderr: bytes = b"") -> list[Ran]:
        return [self._ran(member, code, attempt, stdout, stderr) for member in self.members]

    def _ran(self, member: Container, code: int, attempt: int, stdout: bytes, stderr: bytes) -> Ran:
        job_id = layout.member_id(JOB_ID, member.index)
        where = layout.attempt_prefix(member.prefix, job_id, attempt)
        return replace(member.ran(code, stdout, stderr), attempt=where, job_id=job_id)


def committed(ran: Ran) -> bool:
    return f"{ran.attempt}/result" in ran.bucket.listed()


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_has_its_own_value_and_output(container: Container, at_once: int) -> None:
    shared = Shared(container, at_once=at_once, first=4)
    for word in ("a", "b", "c"):
        shared.add(lambda word: (print(word), word.upper())[1], word)
    left = shared.run(each=4)
    assert [ran.exit_code for ran in left] == [0, 0, 0]
    assert [ran.value() for ran in left] == ["A", "B", "C"]
    assert [ran.text(envelope.STDOUT) for ran in left] == ["a\n", "b\n", "c\n"]
    assert sorted(left[0].stdout.decode().split()) == ["a", "b", "c"]


def test_one_after_the_other_means_so_and_at_once_too(container: Container) -> None:
    def when() -> tuple[float, float]:
        began = time.monotonic()
        time.sleep(0.2)
        return began, time.monotonic()

    for at_once in (1, 2):
        shared = Shared(container, at_once=at_once)
        shared.add(when)
        shared.add(when)
        (first, second) = sorted(ran.value() for ran in shared.run())
        assert (second[0] < first[1]) is (at_once == 2)


def test_one_that_fails_is_nothing_to_the_others(container: Container) -> None:
    shared = Shared(container, at_once=2)
    shared.add(lambda: 1 / 0)
    shared.add(lambda: os.killpg(0, signal.SIGKILL))
    shared.add(lambda: os._exit(3))
    shared.add(lambda: "alive")
    left = shared.run()
    assert left[0].exit_code == layout.RAISED.code
    assert [ran.ended() for ran in left] == [
        (envelope.RAISED, 1, None),
        (envelope.KILLED, 137, signal.SIGKILL),
        (envelope.EXITED, 3, None),
        (envelope.RETURNED, 0, None),
    ]


def test_one_whose_supervisor_is_killed_is_told_of_all_the_same(container: Container) -> None:
    def kill_it() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    shared = Shared(container)
    shared.add(kill_it)
    shared.add(lambda: "alive")
    left = shared.run()
    assert left[0].exit_code == layout.RAISED.code
    assert left[0].ended() == (envelope.KILLED, 137, signal.SIGKILL)
    assert left[1].value() == "alive"


def test_one_that_takes_too_long_is_ended_and_the_others_are_not(container: Container) -> None:
    def too_long() -> None:
        child = subprocess.Popen(["sleep", "600"])
        print(child.pid, flush=True)
        time.sleep(600)

    shared = Shared(container, at_once=2, seconds=2)
    shared.add(too_long)
    shared.add(lambda: "quick")
    shared.add(lambda: "later")
    left = shared.run()
    assert left[0].exit_code == layout.RAISED.code
    assert left[0].ended() == (envelope.TIMED_OUT, 143, signal.SIGTERM)
    assert "ran longer than its time limit" in left[0].text(envelope.ERROR)
    assert not alive(int(left[0].text(envelope.STDOUT)))
    assert [ran.value() for ran in left[1:]] == ["quick", "later"]


def test_told_to_stop_each_leaves_what_it_had_and_the_next_attempt_runs_what_was_not_done(container: Container) -> None:
    def once(path: str) -> str:
        if os.path.exists(path):
            return "second time"
        open(path, "w").close()
        print("started", flush=True)
        time.sleep(600)
        return "never"

    here = container.root / "here"
    shared = Shared(container)
    shared.add(lambda: str(time.time_ns()))
    shared.add(lambda: 1 / 0)
    shared.add(once, str(here))
    shared.add(lambda: "not begun at first")
    with shared.start() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    first = shared.left(process.returncode, 1, stdout, stderr)
    assert first[0].exit_code == layout.TERMINATED.code
    assert [committed(ran) for ran in first] == [True, True, True, False]
    assert first[2].ended() == (envelope.TERMINATED, 143, signal.SIGTERM)

    second = shared.run(attempt=2)
    assert second[0].exit_code == layout.RAISED.code  # the second task's exception stands
    assert [committed(ran) for ran in second] == [False, False, True, True]
    assert [ran.value() for ran in second[2:]] == ["second time", "not begun at first"]


def test_a_result_that_another_wrote_is_not_taken_for_done(container: Container) -> None:
    shared = Shared(container)
    shared.add(lambda: "mine")
    (first,) = shared.run()
    key = f"{first.attempt}/result"
    forged = envelope.seal(envelope.Envelope(first.job_id, 1, "3.11.0", ()), b"another key")
    container.bucket.client.put_object(Bucket=container.bucket.name, Key=key, Body=forged)
    (second,) = shared.run(attempt=2)
    assert (second.exit_code, second.value()) == (0, "mine")


def test_an_environment_that_does_not_say_whose_tasks_these_are(container: Container) -> None:
    container.env |= {layout.ENV_TASKS_PER_JOB: "2", layout.ENV_TASKS: "two"}
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == layout.NO_INPUT.code
    assert b"does not say which tasks" in ran.stderr
