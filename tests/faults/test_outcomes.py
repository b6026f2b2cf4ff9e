# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The table of ends: what a user reads of each, how many attempts were made, how often the function ran."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool, errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults import tasks
from tests.tasks.electron import until_ended
from tests.tasks.small_world import World, stdout_of

Fault = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class End:
    """A function, what goes wrong with its job, and what must come of it. `ran` is how often the function began."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    faults: tuple[Fault, ...] = ()
    error: type[errors.AWSBatchError] | None = None
    words: tuple[str, ...] = ()
    remote: str = ""
    attempts: int = 1
    ran: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False  # once it was heard

    @property
    def dispatch_id(self) -> str:
        return f"end-{self.name.replace(' ', '-')}"


def always(kind: str, **told: Any) -> tuple[Fault, ...]:
    return ((kind, {"times": None, **told}),)


def once(kind: str, **told: Any) -> tuple[Fault, ...]:
    return ((kind, told),)


HOST, SPOT = faults.HOST_TERMINATED, faults.SPOT_INTERRUPTED
PATIENT = {"start_patience": 2}
ENDS = [
    End("a value", tasks.answer),
    End("an exception", tasks.fail, error=errors.Raised, words=("raised ZeroDivisionError",), remote="line "),
    End("no pickle", tasks.unpicklable, error=errors.Unpicklable, words=("can't be pickled",), remote="generator"),
    End("sys exit", tasks.leave, (3,), error=errors.Exited, words=("exited with code 3",)),
    End("os exit", tasks.leave_at_once, (5,), error=errors.Exited, words=("exited with code 5",)),
    End("sys exit 0", tasks.leave, (0,), error=errors.Exited, words=("exited with code 0", "returned no value")),
    End("SIGKILL", tasks.killed, (9,), error=errors.Killed, words=("SIGKILL", "memory")),
    End("SIGSEGV", tasks.killed, (11,), error=errors.Killed, words=("SIGSEGV", "native code")),
    End("SIGBUS", tasks.killed, (7,), error=errors.Killed, words=("SIGBUS", "shared memory")),
    End("SIGALRM", tasks.killed, (14,), error=errors.Killed, words=("SIGALRM", "timer")),
    End(
        "out of memory", tasks.eat, (600,), error=errors.OutOfMemory,
        words=("more memory than it was given", "Raise memory (now 0.25 GiB)"), settings={"memory": 0.25},
    ),
    End(
        "out of time", tasks.slowly, (60,), error=errors.TimedOut,
        words=("Job attempt duration exceeded timeout", "Raise time_limit (now 60 s)"), settings={"time_limit": 60},
    ),
    End("one host lost", tasks.slowly, (4,), once(faults.HOST_LOST, once_heard=True), attempts=2, ran=2),
    End(
        "every host lost", tasks.slowly, (30,), always(faults.HOST_LOST, once_heard=True), errors.HostLost,
        (
            "failed because its instance was terminated or failed", f"AWS says: {HOST}", "Attempt 3: no exit code",
            "retry_attempts",
        ), attempts=3, ran=3,
    ),
    End("one Spot notice", tasks.slowly, (2,), once(faults.SPOT, once_heard=True), attempts=2, ran=2),
    End(
        "every Spot notice", tasks.slowly, (30,), always(faults.SPOT, once_heard=True), errors.SpotInterrupted,
        ("Fargate Spot", f"AWS says: {SPOT}", "Attempt 3: exit code 143"), attempts=3, ran=3,
    ),
    End(
        "never again", tasks.slowly, (30,), once(faults.HOST_LOST, once_heard=True), errors.HostLost, (HOST,),
        settings={"retry_attempts": 1},
    ),
    End("one pull hiccup", tasks.answer, (), once(faults.NOT_STARTED, text=faults.PULLS["network"]), attempts=2),
    *(
        End(
            f"pull {detail}", tasks.answer, (), always(faults.NOT_STARTED, text=text), errors.ImagePullFailed,
            ("its image could not be pulled", text[27:80]), attempts=3, ran=0,
        )
        for detail, text in faults.PULLS.items()
    ),
    End(
        "no role", tasks.answer, (), always(faults.NOT_STARTED, text=faults.ROLE), errors.RoleNotAssumable,
        ("a role could not be assumed", "unable to assume the role", "ecs-tasks.amazonaws.com"), attempts=3, ran=0,
    ),
    *(
        End(
            f"stuck {name}", tasks.answer, (), always(faults.STUCK, text=text), errors.NeverStarted,
            ("did not start within 2 s", "It is RUNNABLE", f"AWS says: {text[:60]}"), attempts=0, ran=0,
            settings=PATIENT,
        )
        for name, text in faults.STUCK_REASONS.items()
    ),
    End("stuck for a while", tasks.answer, (), always(faults.STUCK, text="CAPACITY:X", seconds=1)),
    End("a success told as a failure", tasks.answer, (), once(faults.AGENT)),
    End("an exception told as another", tasks.fail, (), once(faults.AGENT), errors.Raised, ("ZeroDivisionError",)),
    End(
        "no agent and no result", tasks.take_the_runner_along, (), once(faults.AGENT), errors.AgentFailed,
        ("CannotInspectContainerError", "no exit code"),
    ),
    End("no result", tasks.take_the_runner_along, error=errors.Killed, words=("SIGKILL", "exit code 137")),
    End(
        "no result and a late log", tasks.take_the_runner_along, (), once(faults.LATE_LOG, delay_s=2), errors.Killed,
        ("SIGKILL",),
    ),
    End("not known at first", tasks.answer, (), once(faults.UNSEEN, times=4)),
    End("cancelled", tasks.slowly, (60,), error=errors.Cancelled, words=("was cancelled",), cancelled=True),
]  # fmt: skip


@dataclass(frozen=True)
class Ended:
    value: Any
    error: Any
    stdout: str
    error_text: str
    job: dict[str, Any]
    ran: int


Table = dict[str, Ended]
# Ends for which the job's memory tells nothing.
NOT_OF_MEMORY = {
    "an exception", "no pickle", "sys exit", "os exit", "sys exit 0", "SIGSEGV", "SIGBUS", "SIGALRM", "cancelled",
    "an exception told as another",
}  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[("process", "tasks"), ("process", "pool"), pytest.param(("docker", "tasks"), marks=pytest.mark.engine)],
    ids="-".join,
)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """All of them at once, in a world where a minute lasts four seconds: as tasks of electrons, or a pool's calls."""
    engine, door = request.param
    folder = tmp_path_factory.mktemp("ends")
    return asyncio.run(_all(engine, _end_of_call if door == "pool" else _end, folder))


async def _all(engine: str, take: Callable[[World, End], Awaitable[Ended]], folder: Path) -> Table:
    ends = [end for end in ENDS if engine == "process" or end.function is not tasks.take_the_runner_along]
    async with LocalAWS(engine=engine, slots=6, grace_s=2, minute_s=4) as aws:
        world = World(aws, folder, {"max_array_size": 1})
        found = await asyncio.gather(*(take(world, end) for end in ends))
        await close_shared()
    return dict(zip((end.name for end in ends), found, strict=True))


def _set_faults(world: World, end: End, dispatch_id: str) -> None:
    for kind, told in end.faults:
        world.aws.fault(kind, of=f"covalent-{dispatch_id}-0", **told)


async def _end_of_call(world: World, end: End) -> Ended:
    """The same through a pool: its error is the user's own exception where there is one."""
    settings = world.settings(**end.settings)
    pool = BatchPool(**settings.model_dump())
    _set_faults(world, end, pool.engine.dispatch_id)
    future = pool.submit(end.function, *end.args)
    if end.cancelled:
        while not future.job_id:
            await asyncio.sleep(0.1)
        await world.until_heard(future.job_id)
        await asyncio.to_thread(pool.cancel, future)
    error = await asyncio.to_thread(future.exception)
    value = None if error else future.result()
    assert future.job_id
    await asyncio.to_thread(pool.shutdown)
    ended = await _told(world, future.job_id, value, error, "", f"{error}\n{error and error.__cause__}")
    streams = [attempt["container"].get("logStreamName") for attempt in ended.job["attempts"]]
    return replace(ended, stdout="\n".join(line for stream in streams for line in world.printed(stream)))


async def _end(world: World, end: End) -> Ended:
    settings = world.settings(**end.settings)
    _set_faults(world, end, end.dispatch_id)
    group = world.stage(end.function, *end.args, dispatch_id=end.dispatch_id)
    into = world.folder / f"out-{end.dispatch_id}"
    into.mkdir()
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        watching = asyncio.ensure_future(client.wait(settings, handle))
        if end.cancelled:
            await world.until_heard(handle.job_id)
            await client.cancel(handle.job_id)
        try:
            seen = await watching
        except errors.AWSBatchError as error:
            return await _told(world, handle.job_id, None, error, "", str(error))
        (result,) = await client.results(settings, seen, group.node_ids, into)
    text = result.files[envelope.ERROR].read_text() if envelope.ERROR in result.files else ""
    value = value_of(result) if result.error is None else None
    return await _told(world, handle.job_id, value, result.error, stdout_of(result), text)


async def _told(world: World, job_id: str, value: Any, error: Any, stdout: str, text: str) -> Ended:
    await until_ended(world, job_id)  # it may have been terminated a moment ago
    job = world.job(job_id)
    streams = [attempt["container"].get("logStreamName") for attempt in job["attempts"]]
    ran = sum(world.printed(stream).count(tasks.RAN) for stream in streams)
    return Ended(value, error, stdout, text, job, ran)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_what_a_user_reads(table: Table, end: End) -> None:
    if end.name not in table:
        return  # its function can't end so in a container
    seen = table[end.name]
    if isinstance(seen.error, ZeroDivisionError) and end.error is errors.Raised:  # as BatchPool raises it
        assert end.remote in seen.error_text and seen.ran == end.ran
        return
    assert type(seen.error) is (end.error or type(None)), seen.error
    assert len(seen.job["attempts"]) == end.attempts, seen.job
    assert seen.ran == end.ran, seen.job
    if end.ran:
        assert tasks.RAN in seen.stdout
    if seen.error is None:
        assert seen.value == 42
        return
    text = seen.error.text()
    (mib,) = (each["value"] for each in seen.job["container"]["resourceRequirements"] if each["type"] == "MEMORY")
    for word in (*end.words, seen.job["jobId"]):
        assert word in text, text
    told = f"Memory: {int(mib) / 1024:g} GiB" in text
    assert told == (end.name not in NOT_OF_MEMORY), text
    assert end.error in (errors.Raised, errors.Cancelled) or seen.error.advice, text
    assert seen.error_text.startswith(text) or isinstance(seen.error, errors.NeverStarted), seen.error_text
    assert end.remote in seen.error_text


async def test_a_job_that_has_begun_is_not_ended_for_its_start_though_its_last_look_is_old(
    world: World, tmp_path: Path
) -> None:
    settings = world.settings(poll_freq=200, start_patience=4)  # the watcher looks after ten seconds
    assert await world.value(settings, tasks.slowly, 7) == 42
