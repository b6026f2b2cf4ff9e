# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`payload = "s3"`: tasks come as one object of their job's, on one image for each environment; all else is as ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.packing import result_key
from covalent_awsbatch_plugin.tasks.result_secret import result_secret
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.electron import Electron, together, until_ended
from tests.tasks.gate import Gate
from tests.tasks.small_world import World, stdout_of
from tests.tasks.tasks import double, fail, shout, when_there

PAYLOADS = layout.payload_key("")


@pytest.fixture
async def world(offline_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(offline_aws, tmp_path, {"payload": "s3"})
    await close_shared()


async def test_value_output_and_error_come_back(world: World) -> None:
    result = await world.run(world.settings(), shout, "a")
    assert (value_of(result), stdout_of(result)) == ("A", "shouting a\n")
    failed = await world.run(world.settings(), fail, "no such thing")
    assert isinstance(failed.error, errors.Raised)
    assert "ValueError: no such thing" in failed.files["error"].read_text()


async def test_two_functions_with_one_environment_have_one_image_and_one_definition(world: World) -> None:
    before = world.sent()
    settings = world.settings(time_limit=901)  # a definition that no other test has
    first, second = Electron(world, settings, shout, "a"), Electron(world, settings, double, b"b")
    for each in (first, second):
        await each.send()
    assert [value_of(await each.end()) for each in (first, second)] == ["A", b"bb"]
    await close_shared()
    after = world.sent()
    assert first.handle.image == second.handle.image
    assert after.images - before.images <= {first.handle.image.rpartition("@")[2]}
    assert len(after.definitions - before.definitions) == 1
    assert len(after.jobs - before.jobs) == 2


async def test_an_array_of_fifty_is_one_object_and_nothing_grows_with_it(world: World, gate: Gate) -> None:
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    words = [f"word {number}" for number in range(50)]
    electrons = await together(world, settings, [(shout, word) for word in words])
    assert gate.calls["s3:PutObject"] == 2, "the first, lone one and the fifty"
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [value_of(result) for result in results] == [word.upper() for word in words]
    assert [stdout_of(result) for result in results] == [f"shouting {word}\n" for word in words]
    parent = world.job(electrons[0].handle.job_id.partition(":")[0])
    told = parent["container"]["environment"]
    assert len(json.dumps(told)) < 1000
    keys = [result_key(result_secret(), each.handle.content).hex() for each in electrons]
    assert not [key for key in keys if key in json.dumps(parent, default=str)], "a secret, and no place for one"


async def test_they_share_containers_as_any(world: World) -> None:
    settings = world.settings(tasks_per_job=3, parallel_tasks=2)
    electrons = await together(world, settings, [(shout, "a"), (fail, "no"), (shout, "c"), (shout, "d")])
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [type(result.error) for result in results] == [type(None), errors.Raised, type(None), type(None)]
    assert [value_of(results[index]) for index in (0, 2, 3)] == ["A", "C", "D"]


async def test_nothing_is_left_in_the_bucket(world: World) -> None:
    before = world.sent().objects
    settings = world.settings(max_baked_mib=0.0001)  # some objects of their own, too
    electrons = await together(world, settings, [(shout, "a" * 200), (shout, "b" * 200)])
    assert [key for key in world.sent().objects - before if key.startswith(PAYLOADS)]
    await electrons[0].end()
    await asyncio.gather(*(each.end() for each in electrons[1:]))
    await close_shared()
    assert sorted(world.sent().objects - before) == []


async def test_with_delete_objects_off_it_stays(world: World) -> None:
    before = world.sent().objects
    await world.value(world.settings(delete_objects=False), shout, "to stay")
    await close_shared()
    assert len([key for key in world.sent().objects - before if key.startswith(PAYLOADS)]) == 1


@pytest.mark.parametrize("by", ["another", "nothing"])
async def test_what_somebody_changed_or_deleted_is_not_run_and_the_error_says_so(
    world: World, gate: Gate, by: str
) -> None:
    before, bucket, s3 = world.sent().objects, world.settings().s3_bucket_name, world.client("s3")
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    held = gate.hold("batch:submitjob")
    running = asyncio.create_task(world.run(settings, when_there, str(world.folder)))
    await held.reached.wait()
    (key,) = (key for key in world.sent().objects - before if key.startswith(PAYLOADS))
    if by == "another":
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.put_object(Bucket=bucket, Key=key, Body=data.replace(b"when_there", b"whence_her"))
    else:
        s3.delete_object(Bucket=bucket, Key=key)
    held.go.set()
    result = await running
    assert isinstance(result.error, errors.InputLost)
    assert "could not read its function or an argument" in result.error.happened
    assert {"another": "is not what was sent with this job", "nothing": "NoSuchKey"}[by] in stdout_of(result)


async def test_one_whose_host_is_lost_finds_it_again(world: World, tmp_path: Path) -> None:
    there = tmp_path / "there"
    electrons = await together(world, world.settings(), [(when_there, str(there))] * 2)
    unlucky = electrons[1].handle.job_id
    await until_running(world, [each.handle.job_id for each in electrons])
    await asyncio.to_thread(world.aws.fault, "host_lost", f"*:{unlucky.partition(':')[2]}")
    asyncio.get_running_loop().call_later(1, there.touch)
    assert [value_of(await each.end()) for each in electrons] == ["it is there"] * 2


async def until_running(world: World, job_ids: list[str]) -> None:
    async with asyncio.timeout(60):
        while {job["status"] for job in world.client("batch").describe_jobs(jobs=job_ids)["jobs"]} != {"RUNNING"}:
            await asyncio.sleep(0.05)


async def test_one_that_is_submitted_again_is_sent_again_and_nothing_stays(world: World, tmp_path: Path) -> None:
    before = world.sent().objects
    tries = tmp_path / "tries"
    tries.mkdir()

    def twice(folder: str) -> int:
        import os
        import tempfile

        tempfile.mkdtemp(dir=folder)
        if len(os.listdir(folder)) < 2:
            raise TimeoutError("not yet")
        return len(os.listdir(folder))

    electron = Electron(world, world.settings(retry_exceptions="TimeoutError"), twice, str(tries))
    await electron.send()
    assert value_of(await electron.end()) == 2
    await close_shared()
    assert sorted(world.sent().objects - before) == []


async def test_one_is_cancelled_and_the_others_are_not(world: World, tmp_path: Path) -> None:
    there = tmp_path / "there"
    tasks: list[tuple[Any, Any]] = [(when_there, str(tmp_path / "never")), (when_there, str(there))]
    cancelled, well = await together(world, world.settings(), tasks)
    ends = [asyncio.ensure_future(each.end()) for each in (cancelled, well)]
    await asyncio.sleep(0)
    await cancelled.cancel()
    assert isinstance((await ends[0]).error, errors.Cancelled)
    there.touch()
    assert value_of(await ends[1]) == "it is there"
    await until_ended(world, cancelled.handle.job_id)


async def test_a_definition_that_somebody_deregistered_is_registered_anew(world: World) -> None:
    settings = world.settings(time_limit=902)
    before = world.sent().definitions
    async with connect(settings):  # so that what is known of AWS is not forgotten
        assert await world.value(settings, shout, "a") == "A"
        (known,) = world.sent().definitions - before
        world.client("batch").deregister_job_definition(jobDefinition=known)
        assert await world.value(settings, shout, "b") == "B"
    assert known not in world.sent().definitions


@pytest.fixture
async def containers(tmp_path: Path) -> AsyncIterator[World]:
    async with LocalAWS(engine="docker", slots=2, grace_s=1) as aws:
        yield World(aws, tmp_path, {"payload": "s3"})
        await close_shared()


@pytest.mark.engine
@pytest.mark.parametrize("builder", ["registry", "docker"])
async def test_in_containers_and_with_either_builder(containers: World, builder: str) -> None:
    settings = containers.settings(builder=builder, tasks_per_job=2)
    electrons = await together(containers, settings, [(shout, word) for word in "abc"])
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [value_of(result) for result in results] == ["A", "B", "C"]
    assert [stdout_of(result) for result in results] == [f"shouting {word}\n" for word in "abc"]
    await close_shared()
    sent = containers.sent()
    assert sent.objects == frozenset()
    assert len(sent.definitions) == 1, "of the environment: it stays for the next"
