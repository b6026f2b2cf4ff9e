# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS sessions: one for an event loop and its connection, closed when nobody needs it, and never one that failed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from aiohttp import web

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws import session as aws_module
from covalent_awsbatch_plugin.aws.session import AWS, Connection, close_shared, shared
from covalent_awsbatch_plugin.core.concurrency import Lane, Pace
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.tasks.client import connect
from tests.tasks.gate import Gate, Rule
from tests.tasks.small_world import World
from tests.tasks.tasks import shout


@pytest.fixture
def connection(world: World) -> Connection:
    settings = world.settings()
    return Connection(settings.credentials, settings.profile, settings.region)


def sockets() -> int:
    """Open sockets of this process."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.lexists(link))


async def who(aws: AWS) -> str:
    return str((await aws.call("sts", "GetCallerIdentity", of="the AWS account"))["Account"])


async def test_all_tasks_of_a_loop_share_one(connection: Connection) -> None:
    async with shared(connection) as one, shared(Connection(**vars(connection))) as other:
        assert one is other
        assert await asyncio.gather(*(who(each) for each in (one, other) * 5)) == ["123456789012"] * 10


async def test_another_profile_or_region_is_another_session(connection: Connection) -> None:
    async with (
        shared(connection) as one,
        shared(Connection(connection.credentials, connection.profile, "eu-west-1")) as other,
    ):
        assert one is not other
        assert (await one.region(), await other.region()) == ("us-east-1", "eu-west-1")


def test_each_loop_has_its_own(connection: Connection) -> None:
    async def use() -> AWS:
        async with shared(connection) as aws:
            await who(aws)
        await close_shared()
        return aws

    assert asyncio.run(use()) is not asyncio.run(use())


async def test_one_that_nobody_uses_is_closed_and_leaves_no_socket(connection: Connection) -> None:
    before = sockets()
    closed = asyncio.Event()
    async with shared(connection, idle_seconds=0.05) as aws:

        async def close() -> None:
            closed.set()

        aws.on_close(close)
        await who(aws)
        assert sockets() > before
    await asyncio.wait_for(closed.wait(), 5)
    while aws_module._closers:
        await asyncio.sleep(0.01)
    assert sockets() == before
    async with shared(connection) as fresh:
        assert fresh is not aws


async def test_one_that_is_used_again_in_time_stays_open(connection: Connection) -> None:
    async with shared(connection, idle_seconds=0.1) as one:
        pass
    async with shared(connection, idle_seconds=0.1) as other:
        await asyncio.sleep(0.3)
        assert other is one
        assert await who(other)


async def test_closing_it_while_somebody_uses_it_leaves_the_next_one_alone(connection: Connection) -> None:
    async with shared(connection, idle_seconds=0.01):
        await close_shared()
    async with shared(connection) as fresh:
        await asyncio.sleep(0.1)
        assert await who(fresh)


async def test_one_that_could_not_be_opened_is_tried_again(world: World) -> None:
    path = world.folder / "credentials"
    wrong = Connection(str(path), "local", "")
    for _ in range(2):
        with pytest.raises(errors.SettingError, match="No such file"):
            async with shared(wrong):
                pass
    path.write_text(Path(world.profile()).read_text())
    async with shared(wrong) as aws:
        assert await who(aws) == "123456789012"


async def test_who_opens_much_closes_all(world: World) -> None:
    """Clients, builder, watcher, threads: after a task and a close, nothing is left for the garbage collector."""
    before = sockets()
    assert await world.value(world.settings(), shout, "a") == "A"
    await close_shared()
    gc.collect()  # a warning of something left open would be an error
    assert sockets() == before


async def test_no_secret_is_in_what_is_shown(world: World) -> None:
    settings = world.settings()
    async with connect(settings) as client:
        site = await client.services.resources(settings)
        secrets = [
            line.split("=")[1].strip()
            for line in Path(settings.credentials).read_text().splitlines()
            if "secret" in line
        ]
        assert secrets and site.repository.login and site.repository.login.password
        for shown in (
            repr(client.services),
            repr(client.services.aws),
            repr(site),
            repr(settings),
            repr(client.services.aws.connection),
        ):
            assert not any(secret in shown for secret in (*secrets, site.repository.login.password))


async def test_another_offline_aws_behind_the_same_settings_is_asked(tmp_path: Path) -> None:
    """`local down` and `local up` while a server runs: the credentials file has the same name and another content."""
    for number in range(2):
        async with LocalAWS(engine="process", state_dir=tmp_path / "local", slots=2) as aws:
            folder = tmp_path / f"world-{number}"
            folder.mkdir()
            world = World(aws, folder)
            assert await world.value(world.settings(), shout, "a") == "A"
    await close_shared()


async def test_keys_of_another_account_are_not_used_with_the_old_ones_bucket(world: World, gate: Gate) -> None:
    credentials = Path(world.profile(endpoint_url=gate.url))
    async with connect(world.settings(credentials=str(credentials))) as client:
        assert (await client.services.identity()).account == "123456789012"
        role = world.client("iam").get_role(RoleName="CovalentBatchJobRole")["Role"]["Arn"]
        keys = world.client("sts").assume_role(RoleArn=role, RoleSessionName="other")["Credentials"]
        fresh = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"]}
        fresh |= {"aws_session_token": keys["SessionToken"], "endpoint_url": gate.url}
        credentials.write_text(Path(world.profile(**fresh)).read_text())
        gate.refuse("batch:describejobs", 403, "ExpiredTokenException", "expired", times=1)
        asked = gate.calls["sts:GetCallerIdentity"]
        await client.services.backend.describe(["none"])
        await client.services.identity()
        assert gate.calls["sts:GetCallerIdentity"] == asked + 1


# ---- pace ------------------------------------------------------------------------------------------------------------
async def seconds_for(wait: Callable[[], object]) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await wait()  # type: ignore[misc]
    return loop.time() - began


def starts_at_once(wait: Coroutine[object, None, None]) -> bool:
    """Return whether the coroutine ends without giving way to the loop, which takes no clock to find out."""
    try:
        wait.send(None)
    except StopIteration:
        return True
    wait.close()
    return False


async def test_calls_to_batch_are_slowed_below_its_quota() -> None:
    pace = Pace()

    async def fifty() -> None:
        await asyncio.gather(*(pace.wait("batch", "DescribeJobs") for _ in range(30)))

    assert await seconds_for(fifty) > 0.4  # ten at once, then forty a second


async def test_ending_a_job_never_waits_behind_questions() -> None:
    pace = Pace()
    questions = asyncio.gather(*(pace.wait("batch", "DescribeJobs") for _ in range(100)))
    await asyncio.sleep(0)
    assert starts_at_once(pace.wait("batch", "TerminateJob"))
    assert not questions.done()
    questions.cancel()
    await asyncio.gather(questions, return_exceptions=True)


async def test_a_lane_gives_way_to_half_when_aws_throttles_it_and_grows_back() -> None:
    lane = Lane(1000, 0.001)
    for _ in range(3):  # of calls that left together
        lane.throttled()
    assert lane.share == 0.5
    for _ in range(25):
        await lane.wait()
    assert lane.share == pytest.approx(0.75)
    for _ in range(30):
        await lane.wait()
    assert lane.share == 1


async def test_half_a_lane_lets_half_as_many_go() -> None:
    lane = Lane(10, 0.1)
    lane.throttled()

    async def forty() -> None:
        await asyncio.gather(*(lane.wait() for _ in range(40)))

    assert await seconds_for(forty) > 0.35  # five at once, then from fifty to ninety a second; a whole lane takes 0.3


@pytest.mark.parametrize(("operation", "once"), [("DescribeJobs", False), ("SubmitJob", True)])
async def test_a_throttle_slows_every_call_to_batch_also_one_that_botocore_rides_out_by_itself(
    world: World, gate: Gate, operation: str, once: bool
) -> None:
    gate.refuse(f"batch:{operation.lower()}", 429, "TooManyRequestsException", "Too Many Requests", times=1)
    async with connect(world.settings(credentials=world.profile(endpoint_url=gate.url))) as client:
        lane = client.services.aws.pace.lane("batch", "ListJobs")
        assert lane and lane.share == 1
        submission = {"jobName": "a", "jobQueue": "no", "jobDefinition": "no"}
        told = {"jobs": ["none"]} if operation == "DescribeJobs" else submission
        with contextlib.suppress(errors.Throttled):
            await client.services.aws.call("batch", operation, of="the queue", once=once, **told)
        assert 0.5 <= lane.share < 0.6


async def test_what_has_no_quota_of_ours_goes_at_once() -> None:
    pace = Pace()
    assert all(starts_at_once(pace.wait("s3", "GetObject")) for _ in range(1000))
    assert not all(starts_at_once(pace.wait("batch", "TerminateJob")) for _ in range(1000))


async def test_an_expected_refusal_makes_no_new_session(
    connection: Connection, gate: Gate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = aws_module.open_session
    monkeypatch.setattr(aws_module, "open_session", lambda *args: made.append(args) or make(*args))
    path = Path(world.profile(endpoint_url=gate.url))
    gate.refuse("iam:GetRole", 403, "AccessDenied", "not authorized to perform: iam:GetRole")
    async with AWS(Connection(str(path), connection.profile, connection.region)) as aws:
        for _ in range(5):
            with pytest.raises(errors.NotAllowed):
                await aws.call("iam", "GetRole", of="the role", RoleName="any")
        assert len(made) == 1, "only the first one"
        path.write_text(path.read_text() + "\n# signed in again, with the same keys\n")
        for _ in range(5):
            with pytest.raises(errors.NotAllowed):
                await aws.call("iam", "GetRole", of="the role", RoleName="any")
        assert len(made) == 2, "one more for the file that has changed"


async def test_the_account_follows_the_keys(world: World, gate: Gate) -> None:
    """Keys of another account: what was known of the first one does not count any more."""
    accounts = iter(["123456789012", "210987654321"])
    credentials = Path(world.profile(endpoint_url=gate.url))
    async with connect(world.settings(credentials=str(credentials))) as client:
        gate.rules["sts:GetCallerIdentity"] = identity_of(next(accounts))
        assert (await client.services.identity()).account == "123456789012"
        gate.refuse("batch:describejobs", 403, "ExpiredTokenException", "expired", times=1)
        other = Path(world.another_profile()[0]).read_text()
        credentials.write_text(other.replace(world.aws.endpoint_url, gate.url))
        await client.services.backend.describe(["any"])
        gate.rules["sts:GetCallerIdentity"] = identity_of(next(accounts))
        assert (await client.services.identity()).account == "210987654321"


def identity_of(account: str) -> Rule:
    arn = f"arn:aws:iam::{account}:user/somebody"
    fields = f"<Arn>{arn}</Arn><UserId>somebody</UserId><Account>{account}</Account>"
    result = f"<GetCallerIdentityResult>{fields}</GetCallerIdentityResult>"
    body = f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"

    async def rule(request: web.Request, _: bytes) -> web.Response:
        return web.Response(text=body, content_type="text/xml")

    return rule
