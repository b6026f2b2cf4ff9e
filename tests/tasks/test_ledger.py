# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Handles and ledger files of the last version are read; odd ones are refused or left out, and no task fails."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.errors import UnknownFormat
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.ledger import Entry, Ledger, unsent
from covalent_awsbatch_plugin.tasks.orphans import recover, unread
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.electron import Electron, until_ended
from tests.tasks.small_world import World
from tests.tasks.tasks import shout

OLD = Path(__file__).parent / "formats" / "ledger-1.json"  # written by the code of version 1
HANDLE = JobHandle("job-1", "shout", "c0ffee", "bucket", "prefix", "image", dispatch_id="d1")


def of_version_1(handle: JobHandle) -> dict[str, Any]:
    """Return a handle as version 1 wrote it."""
    return {name: value for name, value in handle.to_json().items() if name not in ("version", "dispatch_id")}


# ---- handles ---------------------------------------------------------------------------------------------------------
def test_handle_travels_as_json_with_its_version() -> None:
    body = json.loads(json.dumps(HANDLE.to_json()))
    assert body["version"] == 2
    assert JobHandle.from_json(body) == HANDLE


def test_handle_of_version_1_is_read_without_its_dispatch() -> None:
    handle = JobHandle.from_json(of_version_1(HANDLE))
    assert handle
    assert (handle.job_id, handle.content, handle.dispatch_id) == ("job-1", "c0ffee", "")


def test_handle_of_a_task_without_a_job_is_none() -> None:
    assert JobHandle.from_json(None) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({**HANDLE.to_json(), "version": 3}, "has format 3, .* reads handles of formats 1 and 2"),
        ({**HANDLE.to_json(), "version": None}, "has format None"),
        ({"job_id": "job-1", "name": "shout"}, r"has other fields \(content, bucket, prefix, image\)"),
        ({**HANDLE.to_json(), "member": "0"}, r"has other fields \(member\)"),
        ({**HANDLE.to_json(), "queue": "q"}, r"has other fields \(queue\)"),
        ({**HANDLE.to_json(), "names": {"1": None}}, r"has other fields \(names\)"),
        ("job-1", "is 'job-1', "),
    ],
)
def test_handle_of_another_version_is_refused_with_what_to_do(body: Any, reason: str) -> None:
    with pytest.raises(UnknownFormat, match=reason) as refusal:
        JobHandle.from_json(body)
    assert "aws batch terminate-job --job-id job-1 " in str(refusal.value)


# ---- ledger files ----------------------------------------------------------------------------------------------------
def test_ledger_file_of_version_1_is_read(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / "8a7c0f6e.json")
    (record,) = Ledger(tmp_path).jobs()
    assert [(entry.dispatch_id, entry.node_ids) for entry in record.entries] == [("d1", (0,)), ("d1", (2, 7))]
    assert record.entries[1].handle.names == {"7": "then"}
    ((_, entry),) = Ledger(tmp_path).of_task("d1", (2, 7))
    assert entry.handle.job_id.endswith(":1")


def test_ledger_file_keeps_what_was_noted(tmp_path: Path) -> None:
    entry = Entry("d1", (0, 1), HANDLE)
    Ledger(tmp_path).note("job-1", [entry])
    Ledger(tmp_path).note(unsent("name", "tag"), [entry])
    ledger = Ledger(tmp_path)
    assert [record.entries for record in ledger.jobs()] == [(entry,)]
    assert [record.unsent_name for record in ledger.unsettled()] == ["name"]
    assert json.loads((tmp_path / "job-1.json").read_text())["version"] == 2


ODD = {
    "empty": b"",
    "null": b"null",
    "object": b"{}",
    "number": b"[1]",
    "no-handle": b'[{"dispatch_id": "d1", "node_ids": [0], "handle": null}]',
    "nested-nodes": json.dumps([{"dispatch_id": "d1", "node_ids": [[0]], "handle": of_version_1(HANDLE)}]).encode(),
    "odd-field": json.dumps(
        [{"dispatch_id": "d1", "node_ids": [0], "handle": of_version_1(HANDLE) | {"definition": 5}}]
    ).encode(),
    "later-version": b'{"version": 3, "entries": []}',
    "later-handle": json.dumps(
        {"version": 2, "entries": [{"dispatch_id": "d1", "node_ids": [0], "handle": HANDLE.to_json() | {"version": 3}}]}
    ).encode(),
    "no-entries": b'{"version": 2, "entries": []}',
    "deep": b"[" * 100_000,
    "no-text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_odd_ledger_file_is_left_out_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    for name in ("odd", unsent("odd", "tag")):
        (tmp_path / f"{name}.json").write_bytes(content)
    Ledger(tmp_path).note("job-1", [Entry("d1", (0,), HANDLE)], ours=False)
    for ledger in (Ledger(tmp_path), Ledger(tmp_path)):
        assert [record.key for record in ledger.jobs()] == ["job-1"]
        assert list(ledger.unsettled()) == []
        assert [entry.handle for _, entry in ledger.of_task("d1", (0,))] == [HANDLE]
    texts = [record.getMessage() for record in caplog.records]
    assert sorted(text.split()[3] for text in texts) == [
        str(tmp_path / f"{name}.json") for name in ("odd", "unsent-odd.tag")
    ]
    assert all("Delete it if no job" in text or "Use the version of covalent-awsbatch-plugin" in text for text in texts)


def test_ledger_file_that_is_a_folder_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    assert list(Ledger(tmp_path).jobs()) == []
    assert Ledger(tmp_path).of_task("d1", (0,)) == []


def test_ledger_file_from_the_future_counts_as_of_now(tmp_path: Path) -> None:
    Ledger(tmp_path).note(unsent("name", "tag"), [Entry("d1", (0,), HANDLE)])
    os.utime(tmp_path / "unsent-name.tag.json", times=(2**33, 2**33))
    (record,) = Ledger(tmp_path).unsettled()
    assert record.since <= time.time()
    later = time.time()
    (again,) = Ledger(tmp_path).unsettled()
    assert again.since < later, "it ages from the first reading on"


def test_ledger_file_that_is_a_pipe_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert list(Ledger(tmp_path).jobs()) == []
    assert Ledger(tmp_path).of_task("d1", (0,)) == []


async def test_result_of_a_job_noted_by_version_1_is_collected_beside_odd_files(world: World, tmp_path: Path) -> None:
    settings = world.settings()
    electron = Electron(world, settings, shout, "old")
    await electron.send()
    await until_ended(world, electron.handle.job_id)
    group = electron.group
    body = [{"dispatch_id": group.dispatch_id, "node_ids": group.node_ids, "handle": of_version_1(electron.handle)}]
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / f"{electron.handle.job_id}.json").write_text(json.dumps(body))
    for name, content in ODD.items():
        (folder / f"{name}.json").write_bytes(content)
    async with connect(settings) as client:
        client.services.ledger = Ledger(folder)
        jobs = [tasks async for _, tasks in unread(client.services)]
        ((task,),) = jobs
        results = await recover(client.services, settings, task, electron.into)
        assert results
        assert value_of(results[0]) == "OLD"
        # and a new task is sent, which looks through the same folder
        assert await world.value(settings, shout, "new") == "NEW"
