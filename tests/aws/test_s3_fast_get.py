# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Small objects are read without most of botocore, and everything that is not plain is still botocore's."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from covalent_awsbatch_plugin.aws.s3 import Store
from covalent_awsbatch_plugin.aws.s3_fast_get import LeftToBotocore, QuickGet, TooLarge
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.errors import NotFound
from covalent_awsbatch_plugin.local import LocalAWS

ACCOUNT = "123456789012"
ODD_KEY = "a folder/ü+&%20=?#/result"


@pytest.fixture(scope="module")
def world() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process")
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@asynccontextmanager
async def bucket_of(world: LocalAWS, name: str = "", **objects: bytes) -> AsyncIterator[tuple[AWS, Store]]:
    """The bucket with these objects, of a connection of its own."""
    section = world.section()
    async with AWS(Connection(section["credentials"], section["profile"], section["region"])) as aws:
        client = await aws.client("s3")
        for key, body in objects.items():
            await client.put_object(Bucket=section["s3_bucket_name"], Key=key, Body=body)
        yield aws, Store(aws, name or section["s3_bucket_name"], ACCOUNT)


def refused(world: LocalAWS) -> Counter[str]:
    return Counter(
        {name: n for named in world.calls().values() for name, n in named.items() if name.startswith("refused ")}
    )


async def test_an_objects_bytes_come_as_they_are_whatever_its_key(world: LocalAWS) -> None:
    async with bucket_of(world, **{"plain": b"\x00" * 300_000, ODD_KEY: b"odd", "empty": b""}) as (aws, store):
        assert [await store.get(key) for key in ("plain", ODD_KEY, "empty")] == [b"\x00" * 300_000, b"odd", b""]
        assert aws.calls["s3:GetObject"] == 3  # botocore was not asked as well


async def test_what_is_not_there_is_none(world: LocalAWS) -> None:
    async with bucket_of(world) as (aws, store):
        assert await store.get("nothing/here") is None
        assert aws.calls["s3:GetObject"] == 1


async def test_a_bucket_that_is_not_there_is_an_error_of_botocores(world: LocalAWS) -> None:
    async with bucket_of(world, "no-such-bucket-anywhere") as (_, store):
        with pytest.raises(NotFound, match="NoSuchBucket"):
            await store.get("k")


async def test_a_refusal_is_left_to_botocore_which_tries_again(world: LocalAWS) -> None:
    async with bucket_of(world, k=b"at last") as (_, store):
        assert await store.get("k") == b"at last"
        before = refused(world)
        world.storm(1)
        assert [await store.get("k") for _ in range(6)] == [b"at last"] * 6
        assert (refused(world) - before)["refused s3:GetObject"] >= 1


HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: "841a2d689ad86bd1611447453c22c6fc"\r\n\r\n'
BROKEN = {
    "nothing": b"",
    "half a head": HEAD[:20],
    "half a body": HEAD + b"bo",
    "another protocol": b"SSH-2.0-x\r\n\r\n",
}


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[AWS]:
    """AWS at that port of 127.0.0.1, with the keys of a role."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_SESSION_TOKEN", "of-a-role")
        async with AWS(Connection(region="us-east-1")) as aws:
            yield aws


async def server_at(port: int, answer: bytes, requests: list[bytes]) -> asyncio.Server:
    """A server that reads a request, sends these bytes and closes the connection."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(respond, "127.0.0.1", port)


@asynccontextmanager
async def s3_that_answers(answer: bytes = b"") -> AsyncIterator[tuple[QuickGet, list[bytes]]]:
    """A client of a server that sends these bytes and hangs up, and the requests that the server has read."""
    requests: list[bytes] = []
    server = await server_at(0, answer, requests)
    async with server, connected(server.sockets[0].getsockname()[1]) as aws:
        yield QuickGet(aws), requests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_large_object_is_not_read() -> None:
    async with s3_that_answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n" + bytes(100)) as (quick, _):
        with pytest.raises(TooLarge, match=r"s3://bucket/key has more than 1,000 bytes"):
            await quick.get("bucket", "key", ACCOUNT, most=1000)


async def test_a_large_object_is_not_read_by_botocore_either(world: LocalAWS) -> None:
    async with bucket_of(world, k=bytes(3_000_000)) as (_, store):
        world.storm(1)  # some of these are left to botocore
        for _ in range(4):
            with pytest.raises(TooLarge):
                await store.get("k", 1000)


async def test_after_a_failed_connection_the_next_objects_do_not_wait_here_too() -> None:
    async with s3_that_answers() as (quick, requests):
        counts = []
        for _ in range(3):
            with pytest.raises(LeftToBotocore):
                await quick.get("bucket", "key", ACCOUNT)
            counts.append(len(requests))
        assert counts[0] == counts[1] == counts[2] > 0
        quick.reached("bucket")
        with pytest.raises(LeftToBotocore):
            await quick.get("bucket", "key", ACCOUNT)
        assert len(requests) > counts[0]


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_a_connection_that_breaks_is_left_to_botocore(answer: bytes) -> None:
    async with s3_that_answers(answer) as (quick, _):
        with pytest.raises(LeftToBotocore):
            await quick.get("bucket", "key", ACCOUNT)


async def test_a_refused_connection_is_left_to_botocore() -> None:
    async with connected(free_port()) as aws:
        with pytest.raises(LeftToBotocore):
            await QuickGet(aws).get("bucket", "key", ACCOUNT)


async def test_objects_read_while_connections_are_refused_for_two_seconds_arrive() -> None:
    port, requests = free_port(), list[bytes]()
    async with connected(port) as aws:
        store = Store(aws, "bucket", ACCOUNT)
        reads = asyncio.gather(*(store.get(f"result-{n}") for n in range(5)))
        await asyncio.sleep(2)  # nobody listens: the length of the refusal is what is tested
        assert not reads.done() and not requests
        async with await server_at(port, HEAD + b"body", requests):
            assert await reads == [b"body"] * 5


async def test_the_buckets_owner_and_a_roles_token_are_told() -> None:
    async with s3_that_answers() as (quick, asked):
        with pytest.raises(LeftToBotocore):
            await quick.get("bucket", "key", ACCOUNT)
    told = asked[0].decode().lower()
    assert f"x-amz-expected-bucket-owner: {ACCOUNT}" in told
    assert "x-amz-security-token: of-a-role" in told
