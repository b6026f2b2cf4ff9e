# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Bad input to a pool, and odd places to use one: a clear error, and no job that is lost in silence."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.errors import NotPicklable, SettingError
from tests.pool.test_batch_pool import live_jobs, until
from tests.tasks.small_world import World
from tests.tasks.tasks import shout, when_there

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LOCK = threading.Lock()
ROOT = Path(__file__).parents[2]


class Secretive:
    """An object that can't be pickled and can't be shown."""

    def __reduce__(self) -> Any:
        raise RuntimeError("I stay here")

    def __repr__(self) -> str:
        raise RuntimeError("I am not shown")


class Needy(Exception):
    """An exception that can't be unpickled: its class asks for two arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


# ---- arguments and functions ----------------------------------------------------------------------------------------
def test_arguments_that_cannot_be_pickled_are_named_and_shown_and_the_others_run(pool: BatchPool) -> None:
    values = list(pool.starmap(str.upper, [("a",), (LOCK,), ("c",), (Secretive(),)], return_exceptions=True))
    assert (values[0], values[2]) == ("A", "C")
    assert isinstance(values[1], NotPicklable) and isinstance(values[3], NotPicklable)
    assert f"Element 1 of the map. Argument 0 of the call, {LOCK!r}" in str(values[1])
    assert "Element 3 of the map. Argument 0 of the call, of type Secretive" in str(values[3])
    refused = pool.submit(dict, fine=1, odd=LOCK)
    assert "Argument odd of the call" in str(refused.exception(timeout=60))


def test_a_function_that_cannot_be_pickled_is_the_error_of_its_calls(pool: BatchPool) -> None:
    kept = LOCK
    with pytest.raises(NotPicklable, match="lock"):
        pool.submit(lambda: kept).result(timeout=60)


@pytest.mark.parametrize(
    ("use", "kind", "words"),
    [
        (lambda pool: pool.submit("text"), TypeError, "must be callable, and 'text' is not"),
        (lambda pool: pool.map(None, [1]), TypeError, "must be callable, and None is not"),
        (lambda pool: pool.map(str, 5), TypeError, "int"),
        (lambda pool: pool.map(str, [1], chunksize="4"), TypeError, "chunksize must be a whole number, not '4'"),
        (lambda pool: pool.map(str, [1], chunksize=True), TypeError, "chunksize must be a whole number, not True"),
        (lambda pool: pool.map(str, [1], buffersize=0), ValueError, "buffersize must be None or at least 1"),
        (lambda pool: pool.map(str, [1], buffersize=1.5), TypeError, "buffersize must be None or a whole number"),
        (lambda pool: pool.map(str, [1], timeout="soon"), TypeError, "timeout must be None or a number of seconds"),
    ],
)
def test_wrong_options_are_named_before_anything_is_sent(
    pool: BatchPool, use: Callable[[BatchPool], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        use(pool)


@pytest.mark.parametrize(
    ("arguments", "settings", "kind", "words"),
    [
        ((5,), {}, TypeError, "name must be a text, not 5; settings are keyword arguments"),
        (("",), {}, ValueError, "1 to 64 letters"),
        (("a" * 65,), {}, ValueError, "1 to 64 letters"),
        (("ü",), {}, ValueError, "1 to 64 letters"),
        (("a",), {"max_workers": 0}, ValueError, "max_workers must be None or at least 1"),
        (("a",), {"max_workers": "all"}, TypeError, "max_workers must be None or a whole number, not 'all'"),
        (("a",), {"vcpu": "many"}, SettingError, "vcpu"),
        (("a",), {"memory": -1}, SettingError, "memory"),
        (("a",), {"environment": 5}, SettingError, "environment"),
        (("a",), {"payload": "disk"}, SettingError, "payload"),
        (("a",), {"batch_que": "q"}, SettingError, r"no setting `batch_que`, given by BatchPool(.|\n)*`batch_queue`"),
    ],
)
def test_wrong_names_and_settings_are_named(
    arguments: tuple[Any, ...], settings: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        BatchPool(*arguments, **settings)


# ---- inputs ---------------------------------------------------------------------------------------------------------
def test_inputs_that_raise_late_leave_the_calls_before_them(pool: BatchPool) -> None:
    def inputs() -> Any:
        yield from "abc"
        raise LookupError("no more")

    values = pool.map(shout, inputs(), buffersize=2)
    with pytest.raises(LookupError, match="no more"):
        list(values)


def test_inputs_that_never_end_are_read_as_values_are_taken(pool: BatchPool, world: World) -> None:
    values = pool.map(lambda x: x + 1, itertools.count(), chunksize=5, buffersize=2, ordered=False)
    assert len({next(values) for _ in range(12)}) == 12
    values.close()
    until(lambda: not live_jobs(world))


# ---- many errors, big values ----------------------------------------------------------------------------------------
def test_ten_thousand_exceptions_come_as_ten_thousand(pool: BatchPool) -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    errors = list(pool.map(fail, range(10_000), chunksize=2500, return_exceptions=True))
    assert [error.args[0] for error in errors] == list(range(10_000))
    assert all(type(error) is ValueError for error in errors)


def test_an_exception_that_cannot_be_unpickled_here_is_ours_with_its_text(pool: BatchPool) -> None:
    def fail() -> None:
        raise Needy(1, 2)

    error = pool.submit(fail).exception(timeout=60)
    assert error is not None and "Needy" in f"{error} {error.__cause__}" and "1 2" in f"{error} {error.__cause__}"


def test_a_big_value_is_a_file_on_demand(pool: BatchPool) -> None:
    size = 48 * 1024 * 1024
    future = pool.submit(bytes, size)
    until(future.done)
    tracemalloc.start()
    path = future.path(timeout=60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > size and path.stat().st_mode & 0o077 == 0
    assert peak < size / 2, "it is streamed to the disk"
    assert future.path() == path
    with path.open("rb") as file:
        assert pickle.load(file) == bytes(size)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).path(timeout=60)


# ---- odd places -----------------------------------------------------------------------------------------------------
def test_threads_share_a_pool(pool: BatchPool) -> None:
    values: list[str] = []
    threads = [threading.Thread(target=lambda: values.extend(pool.map(shout, "ab"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == ["A"] * 4 + ["B"] * 4


def test_a_signal_handler_submits_a_call_while_the_program_waits_for_another(pool: BatchPool, tmp_path: Path) -> None:
    calls: list[Any] = []

    def handler(*_: object) -> None:
        calls.append(pool.submit(shout, "from the handler"))
        (tmp_path / "gate").touch()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        waiting = pool.submit(when_there, str(tmp_path / "gate"))
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert waiting.result(timeout=60) == "it is there"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls[0].result(timeout=60) == "FROM THE HANDLER"


SCRIPT = """
from covalent_awsbatch_plugin import BatchPool

def twice(x):
    return x * 2

print("the script runs")
pool = BatchPool("script", **{settings!r})
print(sorted(pool.map(twice, [1, 2, 3])))
{end}
"""


def run_script(path: Path, settings: dict[str, Any], end: str) -> subprocess.CompletedProcess[str]:
    path.write_text(SCRIPT.format(settings=settings, end=end))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(path.parent)}
    return subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, check=False)


def test_a_script_without_a_guard_runs_once(settings: dict[str, Any], tmp_path: Path) -> None:
    done = run_script(tmp_path / "script.py", settings, "pool.shutdown()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the script runs\n[2, 4, 6]\n", "")


def test_calls_of_a_program_that_ends_without_waiting_run_on(
    settings: dict[str, Any], world: World, tmp_path: Path
) -> None:
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    wait = (
        "import os, time\n"
        "def wait(gate, ran):\n"
        "    while not os.path.exists(gate): time.sleep(0.1)\n"
        "    open(ran, 'w').close()\n"
        f"call = pool.submit(wait, {str(gate)!r}, {str(ran)!r})\n"
        "while not call.job_id: time.sleep(0.1)"
    )
    done = run_script(tmp_path / "script.py", settings, wait)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert len(live_jobs(world)) == 1
    gate.touch()
    until(ran.exists)
    until(lambda: not live_jobs(world))


AT_EXIT = """
import atexit

def late():
    try:
        pool.submit(twice, 21).result(timeout=60)
    except RuntimeError as error:
        print(type(error).__name__, error)
    pool.shutdown()

atexit.register(late)
"""


def test_a_call_at_the_interpreters_exit_is_refused_as_pythons_executors_refuse_it(
    settings: dict[str, Any], world: World, tmp_path: Path
) -> None:
    done = run_script(tmp_path / "script.py", settings, AT_EXIT)
    *before, told = done.stdout.splitlines()
    assert (done.returncode, before, done.stderr) == (0, ["the script runs", "[2, 4, 6]"], "")
    assert told.startswith("RuntimeError cannot schedule new futures after "), "of the interpreter or of its threads"
    assert not live_jobs(world)
