# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""BatchPool under CPython's own tests of executors and futures; LEFT_OUT names each test that is not run, and why.

Run with CPYTHON_TESTS=/usr/lib/python3.11/test for those of another Python.
"""

from __future__ import annotations

import concurrent.futures
import os
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.errors import Exited, JobFailed, NotPicklable, Unpicklable
from tests.pool import cpython_suite as suite

THREADS = "counts the threads of ThreadPoolExecutor; a pool has containers"
PROCESSES = "reads the processes of ProcessPoolExecutor; a pool has containers"
LOCKS = "sends locks, which threads share; a pool refuses what can't be pickled"
INITIALIZER = "a pool has no initializer: a module that the function imports does that work"
FUTURE = "makes a Future by hand, in a state that no executor gives it; CallFuture inherits the class that it tests"
NESTED = "the container would have to submit to the pool that runs it"

WORDS = (
    "asks for the words of CPython's own error: test_bad_input.py asks for the same ValueError in this package's words"
)
TIME = "asks that two containers have ended within 5 s: test_batch_pool.py has a test of the timeout without that"

LEFT_OUT = {
    "ExecutorTest.test_max_workers_negative": WORDS,
    "ExecutorTest.test_map_timeout": TIME,
    "AsCompletedTests.test_correct_timeout_exception_msg": "has no call of an executor",
    "AsCompletedTests.test_free_reference_yielded_future": "has no call of an executor",
    "ExecutorDeadlockTest.test_gh105829_should_not_deadlock_if_wakeup_pipe_full": PROCESSES,
    "ExecutorDeadlockTest.test_shutdown_deadlock_pickle": PROCESSES,
    "ExecutorShutdownTest.test_interpreter_shutdown": "a call's stdout is in its log, and not in the caller's: "
    "test_bad_input.py has a program that ends without waiting",
    "ExecutorShutdownTest.test_submit_after_interpreter_shutdown": "its script imports the executor from "
    "concurrent.futures: test_bad_input.py has a call at the interpreter's exit",
    "ExecutorShutdownTest.test_hang_gh83386": "as test_interpreter_shutdown",
    "ThreadPoolShutdownTest.test_cancel_futures_wait_false": "as test_interpreter_shutdown: test_contract.py cancels "
    "without waiting",
    "FailingInitializerMixin.test_initializer": INITIALIZER,
    "FailingInitializerResourcesTest.test_forkserver": INITIALIZER,
    "FailingInitializerResourcesTest.test_spawn": INITIALIZER,
    "InitializerMixin.test_initializer": INITIALIZER,
    "ProcessPoolExecutorTest.test_idle_process_reuse_multiple": PROCESSES,
    "ProcessPoolExecutorTest.test_idle_process_reuse_one": PROCESSES,
    "ProcessPoolExecutorTest.test_killed_child": PROCESSES,
    "ProcessPoolExecutorTest.test_max_tasks_early_shutdown": PROCESSES,
    "ProcessPoolExecutorTest.test_max_tasks_per_child": PROCESSES,
    "ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": PROCESSES,
    "ProcessPoolExecutorTest.test_max_workers_too_large": "is for Windows",
    "ProcessPoolExecutorTest.test_python_finalization_error": PROCESSES,
    "ProcessPoolExecutorTest.test_ressources_gced_in_workers": PROCESSES,
    "ProcessPoolExecutorTest.test_saturation": PROCESSES,
    "ProcessPoolExecutorTest.test_traceback": "asks for the class _RemoteTraceback of ProcessPoolExecutor: "
    "test_batch_pool.py has the same test with this package's class",
    "ProcessPoolShutdownTest.test_context_manager_shutdown": PROCESSES,
    "ProcessPoolShutdownTest.test_del_shutdown": PROCESSES,
    "ProcessPoolShutdownTest.test_processes_terminate": PROCESSES,
    "ProcessPoolShutdownTest.test_shutdown_no_wait": PROCESSES,
    "ThreadPoolExecutorTest.test_default_workers": THREADS,
    "ThreadPoolExecutorTest.test_executor_map_current_future_cancel": LOCKS,
    "ThreadPoolExecutorTest.test_hang_global_shutdown_lock": NESTED,
    "ThreadPoolExecutorTest.test_idle_thread_reuse": THREADS,
    "ThreadPoolExecutorTest.test_map_submits_without_iteration": "the calls append to a list of the caller's process: "
    "test_batch_pool.py has the same test with files",
    "ThreadPoolExecutorTest.test_saturation": THREADS,
    "ThreadPoolShutdownTest.test_context_manager_shutdown": THREADS,
    "ThreadPoolShutdownTest.test_del_shutdown": THREADS,
    "ThreadPoolShutdownTest.test_shutdown_no_wait": THREADS,
    "ThreadPoolShutdownTest.test_thread_names_assigned": THREADS,
    "ThreadPoolShutdownTest.test_thread_names_default": THREADS,
    "ThreadPoolShutdownTest.test_threads_terminate": THREADS,
    "ThreadPoolWaitTests.test_pending_calls_race": LOCKS,
}
# run in CI too; SOAK=1 runs all
SAMPLE = {
    "AsCompletedTests.test_duplicate_futures",
    "AsCompletedTests.test_future_times_out",
    "AsCompletedTests.test_no_timeout",
    "ExecutorTest.test_map",
    "ExecutorTest.test_map_exception",
    "ExecutorTest.test_no_stale_references",
    "ExecutorTest.test_shutdown_race_issue12456",
    "ExecutorTest.test_submit",
    "ExecutorTest.test_submit_keyword",
}
LEFT_OUT_CLASSES = {"FutureTests": FUTURE}
# ProcessPoolExecutor's words for what this package's errors say
REPLACED = {
    "BrokenProcessPool": JobFailed,
    "PicklingError": (NotPicklable, Unpicklable),
    "SystemExit": Exited,
}


def run_here() -> list[str]:
    if suite.folder() is None:
        return []
    return [name for name in suite.all_tests() if name not in LEFT_OUT and name.split(".")[0] not in LEFT_OUT_CLASSES]


def test_cpythons_tests_are_on_this_machine() -> None:
    if suite.folder() is None:
        pytest.skip(
            "CPython's tests of concurrent.futures are not on this machine, so BatchPool did not run under them: "
            "install Debian's libpython3.11-testsuite, or set CPYTHON_TESTS to the folder `test` of any Python"
        )
    assert len(run_here()) >= 30


@pytest.mark.parametrize("name", [name for name in run_here() if os.environ.get("SOAK") or name in SAMPLE])
def test_pool_passes_cpythons_test(name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool(BatchPool):
        def __init__(self, max_workers: int | None = None, mp_context: None = None) -> None:
            super().__init__(max_workers=max_workers, **settings)

    monkeypatch.setattr(concurrent.futures, "BatchPool", Pool, raising=False)
    replaced = REPLACED if name.startswith("ExecutorDeadlockTest") else {}
    result = suite.run(name, Pool, **replaced)
    assert not result.skipped, result.skipped
    assert result.wasSuccessful(), "\n".join(text for _, text in result.errors + result.failures)


def test_every_test_left_out_is_a_test_of_cpython() -> None:
    """CPython's tests of 3.13 are the ones that the names are taken from."""
    if (where := suite.folder()) is None or where.parent.name != "python3.13":
        pytest.skip("the tests of Python 3.13 are not on this machine, and others have other names")
    names = set(suite.all_tests())
    assert set(LEFT_OUT) <= names
    assert set(LEFT_OUT_CLASSES) <= {name.split(".")[0] for name in names}
