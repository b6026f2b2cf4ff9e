# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The options of BatchPool that other executors lack, on the offline AWS."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.errors import Cancelled, SettingError
from covalent_awsbatch_plugin.pool.fuse import Fuse
from covalent_awsbatch_plugin.pool.progress import CallCounts, PlainDisplay, Progress, line
from tests.tasks.small_world import World
from tests.tasks.tasks import fail, shout, when_there


# ---- per-call settings ----------------------------------------------------------------------------------------------
def test_calls_with_other_settings_run_in_an_array_of_their_own(pool: BatchPool, world: World) -> None:
    wide = pool.with_settings(memory=3)
    futures = [pool.submit(shout, "a"), wide.submit(shout, "b")]
    assert [future.result(timeout=60) for future in futures] == ["A", "B"]
    assert list(wide.map(shout, ["c", "d"])) == ["C", "D"]
    (need,) = (
        each["value"]
        for each in world.job(str(futures[1].job_id))["container"]["resourceRequirements"]
        if each["type"] == "MEMORY"
    )
    assert need == str(3 * 1024)
    wide.shutdown()
    assert pool.submit(shout, "e").result(timeout=60) == "E", "the pool itself is open"


def test_wrong_other_settings_are_refused_at_once(pool: BatchPool) -> None:
    with pytest.raises(SettingError, match="memry"):
        pool.with_settings(memry=3)


# ---- limits ---------------------------------------------------------------------------------------------------------
def test_a_canary_that_fails_is_the_only_call_that_runs(settings: dict[str, Any], world: World) -> None:
    with BatchPool(**settings, canary=True) as pool:
        before = world.sent().jobs
        read = []
        values = pool.map(fail, (read.append(n) or str(n) for n in range(50)), return_exceptions=True)  # type: ignore[func-returns-value]
        with pytest.raises(ValueError, match="0"):
            next(values)
        assert list(values) == []
        assert (len(read), len(world.sent().jobs - before)) == (1, 1)


def test_after_a_canary_that_returns_the_others_follow(settings: dict[str, Any]) -> None:
    with BatchPool(**settings, canary=True) as pool:
        assert list(pool.map(shout, "abc", buffersize=2)) == ["A", "B", "C"]


def test_equal_failures_halt_the_pool_and_the_rest_is_run_again(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "there"

    def divide_when_there(number: int, path: str) -> float:
        if not Path(path).exists():
            raise ZeroDivisionError(f"no file for {number}")
        return 12 / number

    with BatchPool(**settings, halt_after=2, max_workers=2) as pool:
        values = list(pool.map(divide_when_there, [1, 2, 3, 4, 6], itertools.repeat(str(path)), return_exceptions=True))
        assert sum(isinstance(value, ZeroDivisionError) for value in values) == 2
        halted = [value for value in values if isinstance(value, Cancelled)]
        assert len(halted) == 3
        assert "2 of 5 calls ended with ZeroDivisionError" in str(halted[0])
        assert isinstance(pool.submit(shout, "late").exception(timeout=60), Cancelled)
        path.touch()
        again = [future.result(timeout=60) for future in pool.retry_failed()]
        assert sorted(map(str, again)) == sorted(["12.0", "6.0", "4.0", "3.0", "2.0", "LATE"])
        assert pool.retry_failed() == []


def test_a_share_of_failures_and_the_hours_are_counted() -> None:
    fuse = Fuse("50%", 1)
    from covalent_awsbatch_plugin.errors import OutOfMemory, Raised
    from covalent_awsbatch_plugin.pool.call import CallEnd

    raised = CallEnd(failed=Raised("`f` (Batch job 1) raised my.module.Wrong."))
    assert fuse.failed(raised, 4) == ""
    assert fuse.failed(CallEnd(failed=OutOfMemory("")), 4) == "", "another cause"
    assert fuse.failed(raised, 4) == "2 of 4 calls ended with Wrong, which is the limit halt_after"
    assert fuse.ran(2, 900) == ""
    assert fuse.ran(4, 900).startswith("The containers ran for 1.5 vCPU-hours")


def test_hours_of_running_containers_halt_the_pool(settings: dict[str, Any], tmp_path: Path) -> None:
    with BatchPool(**settings, max_vcpu_hours=0.1 / 3600) as pool:
        error = pool.submit(when_there, str(tmp_path / "never")).exception(timeout=60)
    assert isinstance(error, Cancelled) and "max_vcpu_hours" in str(error)


@pytest.mark.parametrize(
    "wrong", [{"halt_after": "5"}, {"halt_after": "0%"}, {"halt_after": 0}, {"max_vcpu_hours": 0}], ids=str
)
def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BatchPool(**wrong)


# ---- what users see -------------------------------------------------------------------------------------------------
def test_a_future_tells_its_log_and_its_end(pool: BatchPool) -> None:
    future = pool.submit(lambda: print("a line of the call", flush=True))
    future.result(timeout=60)
    assert "a line of the call" in future.logs()
    failed = pool.submit(os._exit, 3)
    assert failed.exception(timeout=60) is not None
    assert "3" in failed.why()


def test_pool_and_future_are_tables_in_a_notebook(pool: BatchPool) -> None:
    future = pool.submit(shout, "a")
    future.result(timeout=60)
    assert f"<td>{future.job_id}</td>" in future._repr_html_()
    assert "<tr><th>done</th><td>1</td></tr>" in pool._repr_html_()


def test_where_no_terminal_is_progress_is_a_line_at_the_end(
    settings: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with BatchPool("lines", **settings, progress=True) as pool:
        list(pool.map(shout, ["a", "b", "c"]))
    told = [text for text in capfd.readouterr().err.splitlines() if text.startswith("lines:")]
    assert len(told) == 1 and told[0].startswith("lines: 3 of 3 · running 0 · done 3 · ")


def test_a_live_line_tells_states_rate_and_rest() -> None:
    counts = CallCounts(queued=1000, starting=2, running=30, done=60, failed=8)
    assert line("sweep", counts, 34) == (
        "sweep: 68 of 1,100 · queued 1,000 · starting 2 · running 30 · done 60 · failed 8 · 2.0/s · 8 min 36 s left"
    )


def test_a_progress_shows_the_last_counts_when_it_ends() -> None:
    shown: list[str] = []

    class Kept(PlainDisplay):
        def show(self, text: str, counts: CallCounts) -> None:
            shown.append(text)

        def close(self) -> None:
            shown.append("closed")

    counts = CallCounts(running=1)
    progress = Progress("p", lambda: counts, Kept)
    progress.start()
    counts = CallCounts(done=1)
    progress.finish()
    assert shown[-1] == "closed" and "done" in shown[-2]
