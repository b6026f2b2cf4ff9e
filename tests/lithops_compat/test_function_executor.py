# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' verbs, arguments and futures on the offline AWS; where it was tried, lithops 3.8 answers the same."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import covalent_awsbatch_plugin.lithops_compat as lithops
from covalent_awsbatch_plugin.lithops_compat import ALWAYS, ANY_COMPLETED, FunctionExecutor, FuturesList
from tests.lithops_compat.conftest import Executors
from tests.tasks.tasks import when_there

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def add_seven(x: int) -> int:
    return x + 7


def add(x: int, y: int) -> int:
    return x + y


def defaulted(x: int, y: int = 3) -> tuple[int, int]:
    return x, y


def numbered(id: int, x: int) -> tuple[int, int]:
    return id, x


def divide(x: int) -> int:
    return 12 // x


def variable(name: str) -> str | None:
    return os.environ.get(name)


def where(x: int) -> tuple[str | None, int]:
    return os.environ.get("AWS_BATCH_JOB_ID"), os.getppid()


# ---- arguments and values -------------------------------------------------------------------------------------------
def test_a_single_call_gives_its_value_alone_and_a_map_a_list(executor: Executors) -> None:
    fexec = executor()
    fexec.call_async(add_seven, 3)
    assert fexec.get_result() == 10
    fexec.map(add_seven, [1])
    assert fexec.get_result() == [8]
    fexec.map(add_seven, range(2))
    fexec.map(add_seven, range(3))
    assert fexec.get_result() == [7, 8, 7, 8, 9]
    assert fexec.get_result() == [], "each value is given once"


ELEMENTS: list[tuple[Any, list[Any], Any, list[Any]]] = [
    (add, [(1, 2), (3, 4)], None, [3, 7]),
    (add, [{"x": 1, "y": 2}, {"x": 3, "y": 4}], None, [3, 7]),
    (sum, [([1, 2],), ([3, 4],)], None, [3, 7]),
    (add, [0, 1, 2], (10,), [10, 11, 12]),
    (add, [{"x": 1}, {"x": 3}], {"y": 3}, [4, 6]),
    (defaulted, [1, (2, 5), {"x": 4}], None, [(1, 3), (2, 5), (4, 3)]),
    (numbered, ["a", "b"], None, [(0, "a"), (1, "b")]),
    (lambda *rest, **named: (rest, named), [(1, 2), {"q": 3}], None, [((1, 2), {}), ((), {"q": 3})]),
]


def test_elements_are_arguments_as_lithops_takes_them(executor: Executors) -> None:
    fexec = executor()
    futures = [fexec.map(function, data, extra_args=extra) for function, data, extra, _ in ELEMENTS]
    assert [fexec.get_result(each) for each in futures] == [values for *_, values in ELEMENTS]


@pytest.mark.parametrize(
    ("function", "data", "words"),
    [
        (add, [(1, 2), (3,)], r"Element 1 of the data, \(3,\), does not fit add: missing a required argument: 'y'"),
        (add, [{"x": 1, "z": 2}], "Element 0 .* missing a required argument: 'y'"),
        ("text", [1], "'text' is no function"),
        (lambda rabbitmq: 0, [1], "`rabbitmq` can't be had on AWS Batch: connect in the function"),
        (lambda x, ibm_cos: 0, [1], "`ibm_cos` can't be had on AWS Batch: use the parameter `storage`"),
    ],
)
def test_arguments_that_do_not_fit_are_told_before_anything_is_sent(
    executor: Executors, function: Any, data: list[Any], words: str
) -> None:
    fexec = executor()
    with pytest.raises(TypeError, match=words):
        fexec.map(function, data)
    assert fexec.futures == []


def test_variables_are_set_for_these_calls_alone(executor: Executors) -> None:
    fexec = executor()
    fexec.map(variable, ["LITHOPS_TRIAL"], extra_env={"LITHOPS_TRIAL": 7})
    fexec.map(variable, ["LITHOPS_TRIAL"])
    assert fexec.get_result() == ["7", None]


def test_chunks_share_a_container(executor: Executors) -> None:
    fexec = executor()
    fexec.map(where, range(4), chunksize=2)
    jobs = [job for job, _ in fexec.get_result()]
    assert jobs[0] == jobs[1] != jobs[2] == jobs[3]


# ---- errors and waiting ---------------------------------------------------------------------------------------------
def test_a_failed_call_is_raised_or_none_where_asked_for(executor: Executors) -> None:
    fexec = executor()
    futures = fexec.map(divide, [3, 0, 4])
    assert fexec.get_result(fs=futures, throw_except=False) == [4, None, 3]
    assert [int(future.call_id) for future in futures if future.error] == [1]
    assert [future.success for future in futures] == [True, False, True]
    with pytest.raises(ZeroDivisionError):
        fexec.get_result(futures)


def test_wait_ends_at_the_first_call_or_a_percentage(executor: Executors, tmp_path: Path) -> None:
    fexec = executor()
    gates = [tmp_path / name for name in "abcd"]
    futures = fexec.map(when_there, [str(gate) for gate in gates])
    assert [len(part) for part in fexec.wait(futures, return_when=ALWAYS)] == [0, 4]
    gates[2].touch()
    done, others = fexec.wait(futures, return_when=ANY_COMPLETED)
    assert (done, len(others)) == ([futures[2]], 3)
    with pytest.raises(TimeoutError, match="fewer than 2 have ended"):
        fexec.wait(futures, return_when=50, timeout=0.3)
    gates[0].touch()
    assert len(fexec.wait(futures, return_when=50)[0]) == 2
    for gate in gates:
        gate.touch()
    assert lithops.get_result(futures) == ["it is there"] * 4
    with pytest.raises(ValueError, match="return_when must be"):
        lithops.wait(futures, return_when=101)


def test_a_future_has_lithops_states_and_figures(executor: Executors, tmp_path: Path) -> None:
    fexec = executor()
    future = fexec.call_async(when_there, str(tmp_path / "gate"))
    assert not future.done and future.status(check_only=True) is None
    (tmp_path / "gate").touch()
    assert future.result() == "it is there"
    assert (future.done, future.success, future.ready, future.error, future.running) == (True, True, True, False, False)
    assert (future.executor_id, future.job_id, future.call_id) == (fexec.executor_id, "A000", "00000")
    assert future.stats["worker_func_exec_time"] >= 0
    assert future.activation_id


def test_cancel_ends_a_call(executor: Executors, tmp_path: Path) -> None:
    fexec = executor()
    future = fexec.call_async(when_there, str(tmp_path / "gate"))
    future.cancel()
    fexec.wait([future], throw_except=False, timeout=60)
    assert future.error


# ---- maps of maps ---------------------------------------------------------------------------------------------------
def test_maps_are_chained_without_the_values_between(executor: Executors) -> None:
    fexec = executor()
    chained = fexec.map(lambda x: (x + 2, 5), [1, 2, 3]).map(lambda x, y: (x + y, 5, 2)).map(lambda x, y, z: x + y + z)
    assert isinstance(chained, FuturesList)
    assert chained.get_result() == [15, 16, 17]
    assert fexec.get_result() == [15, 16, 17]


def test_a_failure_ends_the_chain_behind_it(executor: Executors) -> None:
    fexec = executor()
    last = fexec.map(divide, [0, 4]).map(add_seven)
    assert fexec.get_result(last, throw_except=False) == [None, 10]


def test_map_reduce_gives_one_value(executor: Executors) -> None:
    fexec = executor()
    fexec.map_reduce(add_seven, [1, 2, 3], sum)
    assert fexec.get_result() == 27
    fexec.map_reduce(add_seven, [1], lambda results, more: (results, more), extra_args_reduce=(5,), spawn_reducer=0)
    assert fexec.get_result() == ([8], 5)


def test_a_map_within_a_call_runs_in_its_container(executor: Executors) -> None:
    def inner(total: int) -> Any:
        fexec = lithops.FunctionExecutor()
        return fexec.map(where, range(total))

    fexec = executor()
    fexec.call_async(inner, 3)
    values = fexec.get_result()
    assert len(values) == 3 and len(set(values)) == 1


# ---- leaving, figures, retries --------------------------------------------------------------------------------------
def test_leaving_by_an_exception_ends_the_calls(settings: dict[str, Any], tmp_path: Path) -> None:
    futures: list[lithops.ResponseFuture] = []

    def interrupted() -> None:
        with FunctionExecutor(**settings) as fexec:
            futures.append(fexec.call_async(when_there, str(tmp_path / "gate")))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert futures[0].error


def test_plot_and_summary_show_the_calls(
    executor: Executors, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fexec = executor()
    fexec.map(time.sleep, [0.1, 0.2, 0.0])
    fexec.map(divide, [0])
    fexec.get_result(throw_except=False)
    fexec.plot(dst=str(tmp_path / "trial"))
    assert (tmp_path / "trial_timeline.svg").read_text().count("<rect") == 3
    assert "3 calls of 0." in (tmp_path / "trial_histogram.svg").read_text()
    monkeypatch.chdir(tmp_path)
    fexec.plot()
    assert len(list((tmp_path / "plots").iterdir())) == 2
    fexec.job_summary()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in lines[1:3]] == [["M000", "sleep", "3", "0"], ["M001", "divide", "1", "1"]]


def test_failed_calls_are_sent_again(executor: Executors, tmp_path: Path) -> None:
    def counted(name: str, failures: int) -> str:
        path = Path(name)
        path.write_text(path.read_text() + "x" if path.exists() else "x")
        if len(path.read_text()) <= failures:
            raise RuntimeError("not yet")
        return path.read_text()

    retrying = lithops.RetryingFunctionExecutor(executor())
    futures = retrying.map(counted, [(str(tmp_path / "a"), 1), (str(tmp_path / "b"), 0)], retries=1)
    assert retrying.get_result(futures) == ["xx", "x"]
    futures = retrying.map(counted, [(str(tmp_path / "c"), 9)])
    with pytest.raises(RuntimeError, match="not yet"):
        retrying.wait(futures)
