# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Event files: what is recorded is read, whatever crashes, fills up or writes beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.tasks.event_log import EventLog
from covalent_awsbatch_plugin.tasks.events import Event, Figures, Kind, event_files, expanded, read_events, runs

DAY = 24 * 3600
ROOT = Path(__file__).parents[2]


def nodes_of(events: Sequence[Event]) -> list[int]:
    return [node for event in events for node in event.node_ids]


def python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that has an EventLog `log` in the folder of the first argument."""
    head = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from covalent_awsbatch_plugin.tasks.event_log import EventLog\n"
        "from covalent_awsbatch_plugin.tasks.events import Kind\n"
        "log = EventLog(Path(sys.argv[1]), max_file_bytes=int(sys.argv[2]))\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments], cwd=ROOT)


# ---- what is written is read -----------------------------------------------------------------------------------------
@given(st.lists(st.integers(-(10**6), 10**6)) | st.builds(range, st.integers(0, 9), st.integers(0, 99), st.just(2)))
def test_runs_of_any_numbers_are_read_as_they_were(numbers: Sequence[int]) -> None:
    assert expanded(runs(numbers)) == tuple(numbers)


def test_runs_of_a_fan_out_are_one() -> None:
    assert runs(range(0, 20_000, 2)) == [[0, 2, 10_000]]


@pytest.mark.parametrize("odd", [[[0, 1]], [[0, 1, -1]], [[0, 1, 10**9]], [["0", 1, 1]], 5, None, [[0, 1, True]]])
def test_runs_that_are_none_are_refused(odd: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        expanded(odd)


def test_event_is_read_with_its_figures(tmp_path: Path) -> None:
    log = EventLog(tmp_path, clock=lambda: 1000.25)
    log.record(Kind.SUBMITTED, "d1", (0, 2), job_id="j", members=(0, 1), vcpu=0.5, gpus=0)
    log.record(Kind.ATTEMPT_ENDED, "d1", (2,), at=999.5, job_id="j:1", attempt=1, exit_code=None, peak_rss_bytes=7)
    log.close()
    submitted, ended = read_events("d1", tmp_path)
    figures: Figures = {"job_id": "j", "members": (0, 1), "vcpu": 0.5, "gpus": 0}
    assert submitted == Event(Kind.SUBMITTED, 1000.25, "d1", (0, 2), figures)
    assert (ended.kind, ended.time, ended.node_ids) == (Kind.ATTEMPT_ENDED, 999.5, (2,))
    assert ended.figures == {"job_id": "j:1", "attempt": 1, "peak_rss_bytes": 7}
    assert list(read_events("another", tmp_path)) == []


def test_events_that_wait_are_written_by_one_write_as_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: (writes.append(len(data)), write(file, data))[1])
    log, gate = EventLog(tmp_path), threading.Event()
    log._thread.submit(gate.wait)
    for node in range(0, 10_000, 2):
        log.record(Kind.PACKED, "d1", (node,), at=5.0, name="f", bytes=3)
    gate.set()
    log.close()
    assert len(writes) == 1
    assert writes[0] < 200
    (event,) = read_events("d1", tmp_path)
    assert event.node_ids == tuple(range(0, 10_000, 2))
    assert event.figures == {"name": "f", "bytes": 15_000}


def test_events_of_another_time_or_figure_stay_apart(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    for node, (at, name) in enumerate([(5.0, "f"), (5.9, "f"), (6.1, "f"), (6.1, "g")]):
        log.record(Kind.PACKED, "d1", (node,), at=at, name=name)
        if node != 1:
            log.flush()
    log.close()
    events = [(event.node_ids, event.time, event.until) for event in read_events("d1", tmp_path)]
    assert sum((nodes for nodes, _, _ in events), ()) == (0, 1, 2, 3)
    assert all((until or time) - time <= 1.0 for _, time, until in events)
    assert len(events) == 3


def test_result_that_is_read_twice_is_told_once(tmp_path: Path) -> None:
    for nodes in ((0, 1), (1, 2)):
        log = EventLog(tmp_path)
        log.record(Kind.RESULT_READ, "d1", nodes, at=1.0, job_id="j", attempt=1)
        log.record(Kind.RESULT_READ, "d1", nodes, at=3.0, job_id="j", attempt=2)
        log.close()
    by_attempt = {event.figures["attempt"]: nodes_of([event]) for event in read_events("d1", tmp_path)}
    assert sorted(nodes_of(list(read_events("d1", tmp_path)))) == [0, 0, 1, 1, 2, 2]
    assert by_attempt.keys() == {1, 2}


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "events"
    before = os.umask(0)
    try:
        log = EventLog(folder)
        log.record(Kind.PACKED, "d1", (0,))
        log.close()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "d1.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("dispatch_id", ["../../escape", "/etc/passwd", "", "a" * 5000, "\udc80", "x.before"])
def test_dispatch_id_that_is_no_file_name_stays_in_the_folder(tmp_path: Path, dispatch_id: str) -> None:
    folder = tmp_path / "events"
    log = EventLog(folder)
    log.record(Kind.PACKED, dispatch_id, (0,))
    log.close()
    assert [event.dispatch_id for event in read_events(dispatch_id, folder)] == [dispatch_id]
    assert [path.name for path in tmp_path.iterdir()] == ["events"]


# ---- crashes and several writers -------------------------------------------------------------------------------------
def test_writer_that_is_killed_in_mid_line_loses_that_line_alone(tmp_path: Path) -> None:
    code = """
log.record(Kind.PACKED, "d1", (0,), name="before")
log.flush()
write = os.write
def torn(file, data):
    write(file, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = torn
log.record(Kind.PACKED, "d1", (1,), name="torn")
log.flush()
"""
    assert python(code, str(tmp_path), "1000000").wait(timeout=60) == -9
    assert not (tmp_path / "d1.jsonl").read_bytes().endswith(b"\n")
    assert nodes_of(list(read_events("d1", tmp_path))) == [0]
    log = EventLog(tmp_path)
    log.record(Kind.PACKED, "d1", (2,), name="after")
    log.close()
    assert nodes_of(list(read_events("d1", tmp_path))) == [0, 2]


@pytest.mark.parametrize("max_file_bytes", [10**9, 60_000])
def test_two_processes_that_write_at_once_tear_no_line(tmp_path: Path, max_file_bytes: int) -> None:
    code = """
for node in range(int(sys.argv[3]), int(sys.argv[3]) + 600):
    log.record(Kind.PACKED, "d1", (node,), name=f"{node}" * 20)
    log.flush()
"""
    firsts = (0, 10_000)
    writers = [python(code, str(tmp_path), str(max_file_bytes), str(first)) for first in firsts]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    lines = [line for path in tmp_path.iterdir() for line in path.read_bytes().splitlines() if line]
    assert all(Event.from_line(line) for line in lines)
    nodes = sorted(nodes_of(list(read_events("d1", tmp_path))))
    if max_file_bytes == 10**9:
        assert nodes == [*range(600), *range(10_000, 10_600)]
    else:  # the oldest are gone, and not the newest
        assert len(nodes) == len(set(nodes)) < 1200
        assert {599, 10_599} & set(nodes)


@pytest.mark.parametrize(
    "line",
    [b"{", b"null", b"[1]", b'{"v":2,"kind":"packed"}', b"\xff", b"[" * 100_000,
     b'{"v":1,"kind":"unknown","time":1,"dispatch":"d1","nodes":[[0,0,1]]}',
     b'{"v":1,"kind":"packed","time":1,"dispatch":"d1","nodes":[[0,0,1]],"bytes":"9"}'],
)  # fmt: skip
def test_line_that_is_no_event_is_left_out(tmp_path: Path, line: bytes) -> None:
    log = EventLog(tmp_path)
    log.record(Kind.PACKED, "d1", (0,))
    log.flush()
    with (tmp_path / "d1.jsonl").open("ab") as file:
        file.write(line + b"\n")
    log.record(Kind.PUSHED, "d1", (0,))
    log.close()
    assert [event.kind for event in read_events("d1", tmp_path)] == [Kind.PACKED, Kind.PUSHED]


# ---- bounds ----------------------------------------------------------------------------------------------------------
def test_file_that_is_full_keeps_the_newest_events(tmp_path: Path) -> None:
    log = EventLog(tmp_path, max_file_bytes=2000)
    for node in range(200):
        log.record(Kind.PACKED, "d1", (node,), name=str(node))
        log.flush()
    log.close()
    current, before = event_files(tmp_path, "d1")
    assert {path.name for path in tmp_path.iterdir()} == {current.name, before.name}
    assert max(path.stat().st_size for path in (current, before)) <= 2000
    nodes = nodes_of(list(read_events("d1", tmp_path)))
    assert nodes == list(range(nodes[0], 200))
    assert len(nodes) > 10


def test_old_files_are_removed(tmp_path: Path) -> None:
    for name, days in (("old", 91), ("young", 89)):
        (tmp_path / f"{name}.jsonl").write_text("")
        os.utime(tmp_path / f"{name}.jsonl", times=(0, 1000 * DAY - days * DAY))
    log = EventLog(tmp_path, clock=lambda: 1000.0 * DAY)
    log.record(Kind.PACKED, "d1", (0,))
    log.close()
    assert {path.stem for path in tmp_path.iterdir()} == {"young", "d1"}


def test_oldest_files_are_removed_where_all_are_too_big(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(b" " * 100)
        os.utime(tmp_path / f"{number}.jsonl", times=(number, 1000 * DAY + number))
    log = EventLog(tmp_path, clock=lambda: 1000.0 * DAY, max_folder_bytes=250)
    log.record(Kind.PACKED, "d1", (0,))
    log.close()
    assert {path.stem for path in tmp_path.iterdir()} == {"3", "4", "d1"}


# ---- nothing fails ---------------------------------------------------------------------------------------------------
def test_folder_that_cannot_be_made_is_logged_and_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    log = EventLog(tmp_path / "file" / "events")
    for node in range(3):
        log.record(Kind.PACKED, "d1", (node,))
        log.flush()
    log.close()
    assert list(read_events("d1", tmp_path)) == []
    assert len(caplog.records) == 1
    assert "Events of tasks can't be recorded in" in caplog.text


def test_event_after_the_end_is_still_written(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.close()
    log.record(Kind.PACKED, "d1", (0,))
    log.flush()
    assert nodes_of(list(read_events("d1", tmp_path))) == [0]


def test_docs_name_every_kind_and_figure() -> None:
    text = (ROOT / "docs" / "events.md").read_text()
    assert [name for name in (*Kind, *Figures.__annotations__) if f"`{name}`" not in text] == []
