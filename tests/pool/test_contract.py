# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The documented rules of `concurrent.futures`, one test each, against BatchPool on the offline AWS.

The order is that of Python's library reference. Most tests look at the same five calls, so that the file needs few
containers: one that has returned, one that has raised, one that was cancelled, one that runs, and one that waits.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.errors import JobFailed
from covalent_awsbatch_plugin.local import LocalAWS
from tests.pool.test_batch_pool import until
from tests.tasks.tasks import fail, shout, when_there

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass
class Calls:
    """Futures of a pool that runs one call at a time, one in each state; `gate` is the file that lets the rest end."""

    pool: BatchPool
    gate: Path
    returned: Any
    raised: Any
    cancelled: Any
    running: Any
    waiting: Any

    @property
    def ended(self) -> list[Any]:
        return [self.returned, self.raised, self.cancelled]


@pytest.fixture(scope="module")
def settings_here(offline_aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**offline_aws.section(), "poll_freq": 0.2, "array_linger": 0.1, "cache_dir": cache}


@pytest.fixture(scope="module")
def calls(settings_here: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    gate = tmp_path_factory.mktemp("gate") / "gate"
    with BatchPool(**settings_here, max_workers=1) as pool:
        returned: Any = pool.submit(shout, "a")
        raised: Any = pool.submit(fail, "b")
        futures.wait([returned, raised], timeout=60)
        running = pool.submit(when_there, str(gate))
        until(running.running)
        cancelled, waiting = pool.submit(shout, "never"), pool.submit(shout, "later")
        assert cancelled.cancel()
        yield Calls(pool, gate, returned, raised, cancelled, running, waiting)
        pool.cancel()


# ---- Executor.submit ------------------------------------------------------------------------------------------------
def test_submit_returns_a_future_at_once(calls: Calls) -> None:
    assert isinstance(calls.running, futures.Future) and not calls.running.done()


def test_an_executor_is_an_executor(calls: Calls) -> None:
    assert isinstance(calls.pool, futures.Executor)


def test_submit_passes_positional_and_keyword_arguments_of_any_name(settings_here: dict[str, Any]) -> None:
    with BatchPool(**settings_here) as pool:
        future = pool.submit(lambda *args, **kwargs: (args, kwargs), 1, self=2, fn=3)
        assert future.result(timeout=60) == ((1,), {"self": 2, "fn": 3})


# ---- Executor.map ---------------------------------------------------------------------------------------------------
def test_map_stops_at_the_shortest_iterable_and_keeps_the_order(settings_here: dict[str, Any]) -> None:
    with BatchPool(**settings_here) as pool:
        assert list(pool.map(pow, [2, 3, 4], [5, 2], chunksize=2)) == [32, 9]


def test_map_collects_its_iterables_before_it_returns(calls: Calls) -> None:
    read: list[str] = []
    values = calls.pool.map(shout, (read.append(word) or word for word in "abc"))  # type: ignore[func-returns-value]
    assert read == ["a", "b", "c"]
    values.close()  # type: ignore[attr-defined]


def test_map_of_nothing_is_empty(calls: Calls) -> None:
    assert list(calls.pool.map(shout, [])) == []


def test_map_returns_an_iterator(calls: Calls) -> None:
    values = calls.pool.map(shout, [])
    assert iter(values) is values


def test_a_value_that_map_does_not_have_in_time_is_a_timeout(calls: Calls) -> None:
    with pytest.raises(TimeoutError):
        next(calls.pool.map(shout, ["behind the running call"], timeout=0))


def test_map_raises_a_calls_exception_where_its_value_is_due(settings_here: dict[str, Any]) -> None:
    with BatchPool(**settings_here) as pool:
        values = pool.map(divmod, [6, 6], [3, 0], chunksize=2)
        assert next(values) == (2, 0)
        with pytest.raises(ZeroDivisionError):
            next(values)


# ---- Executor.shutdown and the context manager ----------------------------------------------------------------------
def test_shutdown_waits_for_all_calls_and_may_be_repeated(settings_here: dict[str, Any]) -> None:
    pool = BatchPool(**settings_here)
    future = pool.submit(shout, "a")
    pool.shutdown(wait=True)
    assert future.done() and future.result() == "A"
    pool.shutdown()


def test_shutdown_without_wait_returns_and_the_calls_end(settings_here: dict[str, Any], tmp_path: Path) -> None:
    pool = BatchPool(**settings_here)
    future = pool.submit(when_there, str(tmp_path / "gate"))
    pool.shutdown(wait=False)
    assert not future.done()
    (tmp_path / "gate").touch()
    assert future.result(timeout=60) == "it is there"


def test_shutdown_cancels_calls_that_have_not_begun_where_asked_to(
    settings_here: dict[str, Any], tmp_path: Path
) -> None:
    pool = BatchPool(**settings_here, max_workers=1)
    began, late = pool.submit(when_there, str(tmp_path / "gate")), pool.submit(shout, "never")
    until(began.running)
    pool.shutdown(wait=False, cancel_futures=True)
    assert late.cancelled() and not began.cancelled()
    (tmp_path / "gate").touch()
    assert began.result(timeout=60) == "it is there"


@pytest.mark.parametrize(
    "use", [lambda pool: pool.submit(shout, "b"), lambda pool: pool.map(shout, ["b"])], ids=["submit", "map"]
)
def test_a_pool_that_was_shut_down_accepts_no_call(settings_here: dict[str, Any], use: Callable[[Any], Any]) -> None:
    pool = BatchPool(**settings_here)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        use(pool)


def test_the_with_statement_gives_the_pool_and_waits(settings_here: dict[str, Any]) -> None:
    pool = BatchPool(**settings_here)
    with pool as opened:
        future = opened.submit(shout, "a")
    assert opened is pool and future.done()


# ---- Future ---------------------------------------------------------------------------------------------------------
def test_cancel_is_false_for_a_call_that_runs_or_has_ended(calls: Calls) -> None:
    assert [each.cancel() for each in (calls.running, calls.returned, calls.raised)] == [False] * 3


def test_cancel_is_true_again_for_a_cancelled_call(calls: Calls) -> None:
    assert calls.cancelled.cancel()


def test_cancelled_tells_cancelled_calls_only(calls: Calls) -> None:
    others = (calls.returned, calls.raised, calls.running, calls.waiting)
    assert calls.cancelled.cancelled() and not any(each.cancelled() for each in others)


def test_running_tells_calls_that_run_and_can_not_be_cancelled(calls: Calls) -> None:
    others = (calls.returned, calls.raised, calls.cancelled, calls.waiting)
    assert calls.running.running() and not any(each.running() for each in others)


def test_done_tells_calls_that_have_ended_or_were_cancelled(calls: Calls) -> None:
    assert all(each.done() for each in calls.ended)
    assert not calls.running.done() and not calls.waiting.done()


def test_result_is_the_value_each_time(calls: Calls) -> None:
    assert calls.returned.result() == calls.returned.result() == "A"


def test_result_raises_the_calls_own_exception(calls: Calls) -> None:
    with pytest.raises(ValueError, match="b"):
        calls.raised.result()


@pytest.mark.parametrize("method", ["result", "exception"])
def test_a_call_that_has_not_ended_in_time_is_a_timeout(calls: Calls, method: str) -> None:
    assert futures.TimeoutError is TimeoutError
    for future in (calls.running, calls.waiting):
        with pytest.raises(TimeoutError):
            getattr(future, method)(timeout=0)


@pytest.mark.parametrize("method", ["result", "exception"])
def test_a_cancelled_call_raises_cancelled_error(calls: Calls, method: str) -> None:
    with pytest.raises(futures.CancelledError):
        getattr(calls.cancelled, method)()


def test_exception_is_none_for_a_value_and_the_same_object_each_time(calls: Calls) -> None:
    assert calls.returned.exception() is None
    assert isinstance(calls.raised.exception(), ValueError)
    assert calls.raised.exception() is calls.raised.exception()


# ---- Future.add_done_callback ---------------------------------------------------------------------------------------
def test_a_callback_of_an_ended_call_is_called_at_once_with_the_future(calls: Calls) -> None:
    told: list[Any] = []
    for future in calls.ended:
        future.add_done_callback(told.append)
    assert told == calls.ended


def test_callbacks_are_called_in_their_order_in_a_thread_of_this_process(settings_here: dict[str, Any]) -> None:
    told: list[Any] = []
    ended = threading.Event()
    with BatchPool(**settings_here) as pool:
        future = pool.submit(shout, "a")
        future.add_done_callback(lambda each: told.append((1, each)))
        future.add_done_callback(lambda each: told.append((2, each)))
        future.add_done_callback(lambda _: ended.set())
        assert ended.wait(60)
    assert told == [(1, future), (2, future)]


def test_a_callback_is_called_for_a_call_that_is_cancelled(calls: Calls) -> None:
    told: list[Any] = []
    late = calls.pool.submit(shout, "never")
    late.add_done_callback(told.append)
    assert late.cancel()
    until(lambda: told == [late])


def test_an_exception_of_a_callback_is_logged_and_the_others_are_called(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    late = calls.pool.submit(shout, "never")
    late.add_done_callback(lambda _: 1 // 0)
    late.add_done_callback(told.append)
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        assert late.cancel()
        until(lambda: told == [late])
    assert "ZeroDivisionError" in caplog.text


# ---- wait and as_completed ------------------------------------------------------------------------------------------
def test_wait_returns_two_named_sets_without_duplicates(calls: Calls) -> None:
    told = futures.wait([calls.returned, calls.running, calls.returned], timeout=0)
    assert (told.done, told.not_done) == ({calls.returned}, {calls.running})


def test_wait_for_the_first_returns_with_any_that_ended(calls: Calls) -> None:
    told = futures.wait([calls.cancelled, calls.running], return_when=futures.FIRST_COMPLETED)
    assert (told.done, told.not_done) == ({calls.cancelled}, {calls.running})


def test_wait_for_the_first_exception_returns_with_it(settings_here: dict[str, Any], tmp_path: Path) -> None:
    with BatchPool(**settings_here) as pool:
        waits: Any = pool.submit(when_there, str(tmp_path / "gate"))
        fails: Any = pool.submit(fail, "first")
        with futures.ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(futures.wait, [waits, fails], return_when=futures.FIRST_EXCEPTION)
            try:
                told = waiting.result(timeout=60)  # it returns before the gate opens, or never
            finally:
                (tmp_path / "gate").touch()
        assert (told.done, told.not_done) == ({fails}, {waits})


def test_wait_for_all_returns_when_all_have_ended_or_were_cancelled(calls: Calls) -> None:
    assert futures.wait(calls.ended, return_when=futures.ALL_COMPLETED).done == set(calls.ended)


def test_wait_takes_futures_of_several_executors(calls: Calls) -> None:
    with futures.ThreadPoolExecutor(1) as threads:
        other = threads.submit(str, 1)
        assert futures.wait([calls.returned, other]).done == {calls.returned, other}


def test_as_completed_yields_each_once_and_ended_ones_first(calls: Calls) -> None:
    told = futures.as_completed([calls.running, *calls.ended, calls.returned], timeout=0.1)
    assert {next(told) for _ in range(3)} == set(calls.ended)
    with pytest.raises(TimeoutError):
        next(told)


# ---- exceptions -----------------------------------------------------------------------------------------------------
def test_a_container_that_dies_is_an_error_of_its_call_and_leaves_the_pool_open(settings_here: dict[str, Any]) -> None:
    """Where ProcessPoolExecutor breaks for ever (BrokenProcessPool), the other calls of a pool have containers too."""
    import os

    with BatchPool(**settings_here) as pool:
        died = pool.submit(os._exit, 3)
        assert isinstance(died.exception(timeout=60), JobFailed)
        assert pool.submit(shout, "a").result(timeout=60) == "A"


def test_the_running_and_the_waiting_call_end_when_they_may(calls: Calls) -> None:
    calls.gate.touch()
    assert (calls.running.result(timeout=60), calls.waiting.result(timeout=60)) == ("it is there", "LATER")
