# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Results: only what the task itself wrote is taken, and where there is none, its log and AWS's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.s3_fast_get import MOST_BYTES
from covalent_awsbatch_plugin.aws.session import AWS_HOST
from covalent_awsbatch_plugin.runner.protocol import envelope, layout
from covalent_awsbatch_plugin.tasks import results
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.packing import result_key
from covalent_awsbatch_plugin.tasks.result_secret import result_secret
from covalent_awsbatch_plugin.tasks.results import NodeResult, _write_error
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.electron import Electron, until_ended
from tests.tasks.gate import Gate
from tests.tasks.small_world import World, stdout_of
from tests.tasks.tasks import shout, zeros

BIG = 1_000_000  # bytes: more than an envelope carries, so the value is an object of its own


class Bucket:
    """The bucket, as somebody sees it who may write to it."""

    def __init__(self, world: World) -> None:
        self._s3, self._bucket = world.client("s3"), world.settings().s3_bucket_name

    def get(self, key: str) -> bytes:
        data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return data

    def put(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=self._bucket, Key=key)

    def keys(self, prefix: str) -> list[str]:
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]


@pytest.fixture
def bucket(world: World) -> Bucket:
    return Bucket(world)


async def ran(world: World, function: Callable[..., Any], *args: Any) -> Electron:
    """A task that has ended and whose result nobody has looked at."""
    electron = Electron(world, world.settings(), function, *args)
    await electron.send()
    await until_ended(world, electron.handle.job_id)
    return electron


def envelope_key(electron: Electron, attempt: int = 1) -> str:
    return layout.result_key(electron.handle.prefix, electron.handle.result_id, attempt)


async def test_a_result_that_somebody_changed_is_refused(world: World, bucket: Bucket) -> None:
    electron = await ran(world, shout, "a")
    key = envelope_key(electron)
    data = bytearray(bucket.get(key))
    data[-1] ^= 1
    bucket.put(key, bytes(data))
    with pytest.raises(errors.Lost, match=r"not the one that the task wrote: .*key") as caught:
        await electron.end()
    assert key in str(caught.value) and "who may write to the bucket" in caught.value.advice


async def test_the_result_of_another_run_of_the_same_task_is_refused(world: World, bucket: Bucket) -> None:
    """Both have the same key, for they are the same task: the envelope also says whose it is."""
    one, other = [await ran(world, shout, "a") for _ in range(2)]
    assert one.handle.content == other.handle.content
    bucket.put(envelope_key(other), bucket.get(envelope_key(one)))
    with pytest.raises(errors.Lost, match=one.handle.job_id):
        await other.end()


@pytest.mark.parametrize("nodes", [[1], [0, 1], [0, 0], []])
async def test_a_result_that_a_task_sealed_for_other_nodes_is_refused(
    world: World, bucket: Bucket, nodes: list[int]
) -> None:
    """A task's own function can read its key."""
    electron = await ran(world, shout, "a")
    key = result_key(result_secret(), electron.handle.content)
    whole = envelope.unseal(bucket.get(envelope_key(electron)), key, job_id=electron.handle.job_id, attempt=1)
    tasks = tuple(replace(whole.tasks[0], node_id=node) for node in nodes)
    bucket.put(envelope_key(electron), envelope.seal(replace(whole, tasks=tasks), key))
    with pytest.raises(errors.Lost, match="and node 0 was submitted") as caught:
        await electron.end()
    assert electron.handle.job_id in str(caught.value)


async def test_the_result_of_another_attempt_is_refused(world: World, bucket: Bucket) -> None:
    electron = await ran(world, shout, "a")
    bucket.put(envelope_key(electron, 2), bucket.get(envelope_key(electron)))
    async with connect(world.settings()) as client:
        store = await results.results_store(client.services, world.settings(), electron.handle)
        with pytest.raises(errors.Lost, match=r"attempt 1; expected .*, 2"):
            await results.newest_envelope(client.services, store, electron.handle, attempts=2)
    assert value_of(await electron.end()) == "A"


async def test_a_result_that_is_larger_than_any_is_not_read(world: World, bucket: Bucket) -> None:
    electron = await ran(world, shout, "a")
    bucket.put(envelope_key(electron), bytes(MOST_BYTES + 1))
    with pytest.raises(errors.Lost, match=r"not the one that the task wrote: .* has more than 67,108,864 bytes"):
        await electron.end()


@pytest.mark.parametrize("deed", ["changed", "longer", "deleted"])
async def test_a_part_that_is_not_what_the_task_wrote_is_refused(world: World, bucket: Bucket, deed: str) -> None:
    electron = await ran(world, zeros, BIG)
    (part,) = bucket.keys(f"{layout.attempt_prefix(electron.handle.prefix, electron.handle.result_id, 1)}/parts/")
    whole = bucket.get(part)
    if deed == "changed":
        bucket.put(part, whole[:-1] + b"A")
    elif deed == "longer":
        bucket.put(part, whole + bytes(BIG))
    else:
        bucket.delete(part)
    with pytest.raises(errors.Lost, match="output of node 0 .* is gone or changed"):
        await electron.end()
    bucket.put(part, whole)
    assert value_of(await electron.end()) == bytes(BIG)


async def test_what_was_collected_can_be_collected_again(world: World) -> None:
    settings, electron = world.settings(delete_objects=False), await ran(world, zeros, BIG)
    async with connect(settings) as client:
        ended = await client.wait(settings, electron.handle)
        for into in (electron.into, electron.into, world.folder / "elsewhere"):
            into.mkdir(exist_ok=True)
            (result,) = await client.results(settings, ended, (0,), into)
            assert value_of(result) == bytes(BIG)


async def test_a_job_without_a_result_is_told_with_its_log_and_where_that_is(world: World, bucket: Bucket) -> None:
    electron = await ran(world, shout, "loud")
    bucket.delete(envelope_key(electron))
    result = await electron.end()
    assert isinstance(result.error, errors.Lost)
    assert "succeeded according to AWS Batch, but there is no result" in result.error.happened
    assert "shouting loud" in stdout_of(result)
    assert "console.aws.amazon.com" not in told(result), "an offline AWS has no console"
    assert told(result).startswith("`shout` (Batch job ")


def test_the_link_to_the_log_stands_below_the_traceback(tmp_path: Path) -> None:
    error = errors.Raised("`shout` (Batch job 1) raised ValueError.")
    error.log_link = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home"
    remote = tmp_path / "remote"
    remote.write_text("Traceback (most recent call last):\nValueError: no\n")
    files = {envelope.ERROR: remote}
    _write_error(error, files, tmp_path, 0)
    assert files[envelope.ERROR].read_text() == "\n\n".join(
        (error.happened, remote.read_text().rstrip(), error.log_link)
    )
    assert str(error).splitlines() == [error.happened, error.log_link]


@pytest.mark.parametrize(
    ("host", "aws"),
    [
        ("logs.eu-west-1.amazonaws.com", True),
        ("logs.cn-north-1.amazonaws.com.cn", True),
        ("logs.eu-west-1.api.aws", True),
        ("vpce-1-2.logs.eu-west-1.vpce.amazonaws.com", True),
        ("127.0.0.1", False),
        ("amazonaws.com.example.org", False),
    ],
)
def test_only_endpoints_of_aws_have_a_console(host: str, aws: bool) -> None:
    assert (AWS_HOST.search(host) is not None) == aws


async def test_a_log_that_cannot_be_read_does_not_hide_the_jobs_own_error(
    world: World, bucket: Bucket, gate: Gate
) -> None:
    electron = await ran(world, shout, "a")
    bucket.delete(envelope_key(electron))
    gate.refuse("logs:GetLogEvents", 400, "AccessDeniedException", "not yours")
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    async with connect(settings) as client:
        ended = await client.wait(settings, electron.handle)
        (result,) = await client.results(settings, ended, (0,), electron.into)
    assert isinstance(result.error, errors.Lost)
    assert "the log can't be read: AWS does not allow logs:GetLogEvents" in stdout_of(result)


async def test_settings_that_have_gone_wrong_since_do_not_lose_a_result(world: World) -> None:
    electron = await ran(world, shout, "a")
    wrong = world.settings(s3_bucket_name="gone-since", batch_queue="gone-since", ecr_repo_name="gone/since")
    async with connect(wrong) as client:
        ended = await client.wait(wrong, electron.handle)
        (result,) = await client.results(wrong, ended, (0,), electron.into)
    assert value_of(result) == "A"


def told(result: NodeResult) -> str:
    path: Path = result.files[envelope.ERROR]
    return path.read_text()


async def test_a_result_that_comes_in_pieces_is_whole(world: World, gate: Gate) -> None:
    """The connection breaks in the middle of a big value, again and again."""
    electron = await ran(world, zeros, BIG)
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    broken = break_bodies(gate, times=3)
    async with connect(settings) as client:
        ended = await client.wait(settings, electron.handle)
        (result,) = await client.results(settings, ended, (0,), electron.into)
    assert value_of(result) == bytes(BIG) and broken == [0]


def break_bodies(gate: Gate, times: int) -> list[int]:
    left = [times]

    async def rule(request: web.Request, body: bytes) -> web.StreamResponse | None:
        if "/parts/" not in request.path or not left[0]:
            return None
        left[0] -= 1
        answer = web.StreamResponse(headers={"Content-Length": str(BIG)})
        await answer.prepare(request)
        await answer.write(b"A" * 1000)
        await asyncio.sleep(0)
        assert request.transport is not None
        request.transport.abort()
        return answer

    gate.rules["s3:GetObject"] = rule
    return left
