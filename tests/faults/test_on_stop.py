# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task that is stopped says its last words, whoever stops it: a timeout, a Spot notice, a cancel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.tasks import RAN, SAVED, on_second_attempt
from tests.tasks.small_world import World, stdout_of

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.engine)])
def own_aws(request: pytest.FixtureRequest) -> Iterator[LocalAWS]:
    """Where a minute lasts ten seconds, and whoever is told to stop has the time that AWS gives."""
    aws = LocalAWS(engine=request.param, slots=2, minute_s=10)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def world(own_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(own_aws, tmp_path)
    own_aws.clear_faults()
    await close_shared()


def said(result: NodeResult) -> list[str]:
    return stdout_of(result).splitlines()


async def test_at_a_timeout(world: World) -> None:
    result = await world.run(world.settings(time_limit=60), on_second_attempt)
    assert isinstance(result.error, errors.TimedOut)
    assert said(result) == [RAN, SAVED]


async def test_at_a_spot_notice_and_the_next_attempt_goes_on(world: World) -> None:
    group = world.stage(on_second_attempt, dispatch_id="spot")
    world.aws.fault(faults.SPOT, of="covalent-spot-0", once_heard=True)
    result = await world.run_staged(world.settings(), group)
    assert value_of(result) == "attempt 2"
    assert said(result) == [RAN]
    (job,) = [job for job in map(world.job, world.sent().jobs) if job["jobName"] == "covalent-spot-0"]
    first, _ = job["attempts"]
    # an engine has stdout and stderr by two ways, so where the runner's own line comes among these is open
    printed = world.printed(first["container"]["logStreamName"])
    assert [line for line in printed if line in (RAN, SAVED)] == [RAN, SAVED]


async def test_at_a_cancel(world: World) -> None:
    settings, group = world.settings(), world.stage(on_second_attempt)
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        watching = asyncio.ensure_future(client.wait(settings, handle))
        await world.until_heard(handle.job_id)
        await client.cancel(handle.job_id)
        (result,) = await client.results(settings, await watching, group.node_ids, world.folder)
    assert isinstance(result.error, errors.Cancelled)
    assert said(result) == [RAN, SAVED]


# ---- the README's example --------------------------------------------------------------------------------------------
HELPERS = '''
def store(where):
    """The bucket of a URI through the runner's own S3 client, and the key: a task's packages are another question."""
    import sys
    from pathlib import Path

    sys.path.append(str(Path(sys.modules["covalent_awsbatch_runner"].__file__).parents[1]))
    from obstore.store import S3Store

    bucket, _, key = where.removeprefix("s3://").partition("/")
    return S3Store(bucket, client_options={"allow_http": True}), key


def save(state, where):
    bucket, key = store(where)
    bucket.put(key, str(state.steps).encode())


def load(where):
    bucket, key = store(where)
    return State(int(bytes(bucket.get(key).bytes())))


class State:
    """Steps are done once each: the first attempt is stopped in step 2, the second one meets an error of a network."""

    def __init__(self, steps=0):
        self.steps = steps

    def train_to_the_end(self):
        import os, time
        from covalent_awsbatch_plugin import attempt, state_prefix

        self.steps += 1  # before anything is printed: the first output brings the Spot notice
        print("began", attempt(), self.steps, flush=True)
        if attempt() == 1:
            print(RAN, flush=True)
            time.sleep(60)
        if attempt() == 2:
            save(self, f"{state_prefix()}/state")
            raise ConnectionError("the network")
        return attempt(), os.environ["AWS_BATCH_JOB_ATTEMPT"], self.steps
'''


def readme_example() -> Callable[[], object]:
    """The function of the README, as a script has it."""
    import covalent as ct

    (program,) = (each for each in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "on_stop" in each)
    namespace: dict[str, Any] = {"__name__": "__main__", "ct": ct, "RAN": RAN}
    exec(HELPERS + program, namespace)
    function: Callable[[], object] = namespace["train"].electron_object.function
    return function


async def test_the_readmes_example_goes_on_through_attempts_and_jobs(world: World) -> None:
    group = world.stage(readme_example(), dispatch_id="readme")
    world.aws.fault(faults.SPOT, of="covalent-readme-0", once_heard=True)
    settings, task = world.settings(retry_exceptions="ConnectionError", retry_attempts=3), Task.of(group)
    async with connect(settings) as client:
        ended = await client.wait(settings, await client.submit(settings, task), task)
        (result,) = await client.results(settings, ended, group.node_ids, world.folder)
    assert result.error is None, result.error
    assert value_of(result) == (3, "1", 3), "the third attempt, the first of its job, with the steps of both before"
