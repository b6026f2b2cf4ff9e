# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The events of real tasks on the offline AWS: a fan-out with failures, a cancel, a full disk."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.core.user_dirs import state_dir
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.events import Event, Kind, event_files, events_folder, read_events
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.small_world import World
from tests.tasks.tasks import die, fail, shout

WHOLE_LIFE = [Kind.PACKED, Kind.PUSHED, Kind.SUBMITTED, Kind.STARTED, Kind.ATTEMPT_ENDED, Kind.RESULT_READ]


async def fan_out(world: World, settings: Settings, dispatch_id: str) -> dict[int, NodeResult]:
    """Run six tasks of one dispatch: node 4 raises, node 8 dies without a result, the others return."""
    functions = {4: (fail, "no"), 8: (lambda _: die(), "")}
    groups = [
        world.stage(*functions.get(node, (shout, f"task-{node}")), dispatch_id=dispatch_id, node_id=node)
        for node in range(0, 12, 2)
    ]

    async def run(number: int) -> tuple[int, NodeResult]:
        task, folder = Task.of(groups[number]), world.folder / f"events-{number}"
        folder.mkdir()
        async with connect(settings) as client:
            handle = await client.submit(settings, task)
            ended = await client.wait(settings, handle, task)
            (result,) = await client.results(settings, ended, task.staged.node_ids, folder)
            client.services.events.flush()
        return result.node_id, result

    return dict(await asyncio.gather(*map(run, range(len(groups)))))


def by_node(dispatch_id: str) -> dict[int, list[Event]]:
    """Return the events of each node in the order of a task's life."""
    events: dict[int, list[Event]] = {}
    for event in read_events(dispatch_id):
        for node in event.node_ids:
            events.setdefault(node, []).append(event)
    order = list(Kind)
    return {node: sorted(of_node, key=lambda event: order.index(event.kind)) for node, of_node in events.items()}


async def test_fan_out_with_failures_leaves_the_whole_life_of_each_task(world: World) -> None:
    dispatch_id, before = f"test-{uuid.uuid4()}", time.time()
    settings = world.settings(array_linger=2, retry_attempts=1)
    results = await fan_out(world, settings, dispatch_id)
    events = by_node(dispatch_id)
    assert {node: [event.kind for event in each] for node, each in events.items()} == dict.fromkeys(results, WHOLE_LIFE)
    for node, (packed, pushed, submitted, started, ended, read) in events.items():
        assert before <= packed.time <= (pushed.until or pushed.time) <= (submitted.until or submitted.time)
        assert started.time <= ended.time <= time.time()
        position = submitted.node_ids.index(node)
        assert len(submitted.figures["members"]) == len(submitted.node_ids)
        parent, _, child = ended.figures["job_id"].partition(":")
        assert (parent, int(child or 0)) == (submitted.figures["job_id"], submitted.figures["members"][position])
        assert submitted.figures["image"] == pushed.figures["image"]
        assert (submitted.figures["vcpu"], submitted.figures["queue"]) == (settings.vcpu, settings.batch_queue)
        error = results[node].error
        assert read.figures.get("error") == (type(error).__name__ if error else None)
        assert ended.figures.get("outcome") == {4: envelope.RAISED, 8: None}.get(node, envelope.RETURNED)
        assert node == 8 or (ended.figures["peak_rss_bytes"] or 0) > 2**20
    assert events[4][4].figures["error"] == "ValueError"
    assert events[8][4].figures["exit_code"] == 137
    lines = [event for event in read_events(dispatch_id) if event.kind == Kind.SUBMITTED]
    assert len(lines) < len(results)  # an array's tasks in one record


async def test_task_that_is_cancelled_or_refused_before_its_job_says_so(world: World) -> None:
    settings = world.settings()
    cancelled = Task.of(world.stage(shout, "never"))
    refused = Task.of(world.stage(shout, "never"))
    refused.staged.tasks[0].function.write_bytes(b"no pickle")
    cancelled.cancel()
    async with connect(settings) as client:
        with pytest.raises(errors.Cancelled):
            await client.submit(settings, cancelled)
        with pytest.raises(errors.NotPicklable):
            await client.submit(settings, refused)
        client.services.events.flush()
    *_, event = read_events(cancelled.staged.dispatch_id)
    assert (event.kind, event.node_ids, event.figures["error"]) == (Kind.CANCELLED, (0,), "Cancelled")
    (event,) = read_events(refused.staged.dispatch_id)
    assert (event.kind, event.figures["error"]) == (Kind.FAILED, "NotPicklable")
    assert "is not in Covalent's format" in event.figures["reason"]


async def test_disk_that_is_full_loses_events_and_no_task(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "full"))
    dispatch_id = f"test-{uuid.uuid4()}"
    path, _ = event_files(events_folder(), dispatch_id)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")  # a file of which every write ends with ENOSPC
    group = world.stage(shout, "well", dispatch_id=dispatch_id)
    assert value_of(await world.run_staged(world.settings(), group)) == "WELL"
    assert state_dir() == tmp_path / "full" / "covalent-awsbatch"
    assert "No space left on device" in caplog.text
