# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`clean` takes away what tasks left and nothing else, and says first what that would be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.tasks.clean import find
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from tests.tasks.small_world import World
from tests.tasks.tasks import shout, when_there

KEEP = {"delete_images": False, "delete_objects": False, "delete_definitions": False, "max_baked_mib": 0}


@pytest.fixture(scope="module")
def own_aws() -> Iterator[LocalAWS]:
    """Others' tasks leave nothing here."""
    aws = LocalAWS(engine="process", slots=4, grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def world(own_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    world = World(own_aws, tmp_path)
    yield world
    await close_shared()
    empty(world)


def empty(world: World) -> None:
    """Delete what a test left, so that the next one begins as the first did."""
    section, sent = world.aws.section(), world.sent()
    s3, ecr, batch = world.client("s3"), world.client("ecr"), world.client("batch")
    for key in sent.objects:
        s3.delete_object(Bucket=section["s3_bucket_name"], Key=key)
    if sent.images:
        digests = [{"imageDigest": digest} for digest in sent.images]
        ecr.batch_delete_image(repositoryName=section["ecr_repo_name"], imageIds=digests)
    for definition in sent.definitions:
        batch.deregister_job_definition(jobDefinition=definition)
    left = world.sent()
    assert (left.objects, left.images, left.definitions) == (frozenset(), frozenset(), frozenset())


def clean(world: World, *words: str) -> str:
    told = [w for name, value in world.aws.section().items() for w in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "clean", *told, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_it_says_first_and_deletes_only_ours(world: World) -> None:
    await world.value(world.settings(**KEEP), shout, "a")
    s3, bucket = world.client("s3"), world.settings().s3_bucket_name
    s3.put_object(Bucket=bucket, Key="theirs", Body=b"")
    before = world.sent()

    assert "Nothing was deleted." in clean(world, "--older-than", "0")
    assert world.sent() == before
    assert "There is nothing to delete." not in clean(world), "definitions have no age"

    told = clean(world, "--older-than", "0", "--yes")
    assert "1 images" in told
    assert "1 job definitions" in told
    left = world.sent()
    assert left.objects == {"theirs"}
    assert left.definitions == frozenset()
    assert len(left.images) == len(before.images) - 1, "the base stays"


async def test_images_of_environments_and_tasks_sent_by_s3_are_ours_too(world: World) -> None:
    await world.value(world.settings(**KEEP, payload="s3"), shout, "a")
    before = world.sent()
    assert [key for key in before.objects if key.startswith(layout.payload_key(""))]
    clean(world, "--older-than", "0", "--yes")
    left = world.sent()
    assert (left.objects, left.definitions) == (frozenset(), frozenset())
    assert len(left.images) == len(before.images) - 1, "the base stays"


@pytest.mark.parametrize("payload", ["image", "s3"])
async def test_what_a_living_job_needs_stays(world: World, tmp_path: Path, payload: str) -> None:
    gate = tmp_path / "there"
    settings = world.settings(**KEEP, payload=payload)
    group = world.stage(when_there, str(gate))
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        clean(world, "--older-than", "0", "--yes")
        sent = world.sent()
        assert handle.image.rpartition("@")[2] in sent.images
        assert any(key.startswith(layout.object_key("")) for key in sent.objects)
        assert payload == "image" or any(key.startswith(layout.payload_key("")) for key in sent.objects)
        assert sent.definitions
        gate.touch()
        ended = await client.wait(settings, handle)
    assert ended.envelope is not None
    assert ended.envelope.returned


async def test_a_living_job_of_another_bucket_keeps_no_objects(world: World, tmp_path: Path) -> None:
    gate, other = tmp_path / "there", "another-bucket-of-mine"
    world.client("s3").create_bucket(Bucket=other)
    settings = world.settings(**KEEP)
    async with connect(settings) as client:
        task = Task.of(world.stage(when_there, str(gate)))
        handle = await client.submit(settings, task)
        elsewhere = settings.model_copy(update={"s3_bucket_name": other})
        store = client.services.store(other, (await client.services.identity()).account)
        await store.put(layout.object_key("of-nobody"), b"1", settings.encryption)
        found = await find(client.services, elsewhere, datetime.now(UTC) + timedelta(hours=1))
        gate.touch()
        await client.wait(settings, handle, task)
    assert [each.name for each in found.objects] == [layout.object_key("of-nobody")]
