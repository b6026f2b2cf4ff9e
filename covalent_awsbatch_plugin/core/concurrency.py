# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Coroutines of an event loop that share work, an error, or a limit on the rate of requests."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiolimiter import AsyncLimiter

from ..errors import AWSBatchError

T = TypeVar("T")
V = TypeVar("V")
Work = Callable[[], Coroutine[Any, Any, V]]


# ---- work that several request at the same time is done once -------------------------------------------------------
@dataclass
class _Flight(Generic[V]):
    task: asyncio.Task[V]
    waiting: int = 0


class Once(Generic[V]):
    """A cache of running work: callers with the same key share its result or its error.

    A cancelled caller does not affect the others; when no caller waits any more, the work is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[V]] = {}

    async def __call__(self, key: Hashable, work: Work[V]) -> V:
        flight = self._flights.get(key) or self._start(key, work)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])

    def _start(self, key: Hashable, work: Work[V]) -> _Flight[V]:
        flight = self._flights[key] = _Flight(asyncio.create_task(work()))
        flight.task.add_done_callback(lambda task: self._landed(key, flight))
        return flight

    def _landed(self, key: Hashable, flight: _Flight[V]) -> None:
        self._forget(key, flight)
        if not flight.task.cancelled():
            flight.task.exception()  # read here: asyncio logs an exception that no caller reads

    def _forget(self, key: Hashable, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


@contextlib.asynccontextmanager
async def side_by_side() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a group of tasks whose first error is raised as it is, not in an ExceptionGroup."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Run all coroutines at once, and return their results in order.

    The first error cancels the others, waits for their ends, and is raised itself, not in a group. asyncio.gather would
    let the others go on, so that they open connections or send objects after whoever asked for them has cleaned up.
    """
    async with side_by_side() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


# ---- checks side by side ---------------------------------------------------------------------------------------------
class SideBySide:
    """A context manager that runs checks at once; its end waits for all of them.

    `at` starts a check. Leaving the block raises the error of the check that was started first, whichever failed first;
    the errors of the other checks are added to its advice.
    """

    def __init__(self) -> None:
        self._checks: list[asyncio.Task[Any]] = []

    def at(self, check: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a check; its result can be read after the block."""
        task = asyncio.get_running_loop().create_task(check)
        self._checks.append(task)
        return task

    async def __aenter__(self) -> SideBySide:
        return self

    async def __aexit__(self, *_: object) -> None:
        results = await asyncio.gather(*self._checks, return_exceptions=True)  # a cancelled gather cancels the checks
        wrong = [error for error in results if isinstance(error, BaseException)]
        if wrong:
            raise _all_in_one(wrong)


def _all_in_one(wrong: list[BaseException]) -> BaseException:
    unexpected = [error for error in wrong if not isinstance(error, AWSBatchError)]
    if unexpected:
        return unexpected[0]
    first, *others = [error for error in wrong if isinstance(error, AWSBatchError)]
    also = dict.fromkeys(f"Also: {error.happened}" for error in others if error.happened != first.happened)
    first.advice = "\n".join(filter(None, (first.advice, *also)))
    return first


# ---- rates -----------------------------------------------------------------------------------------------------------
# Requests stay below the account's published quotas, so that no task fails because of them. Other users of the account
# share a quota. Their use shows as throttling: then a lane halves its rate, and raises it again while calls succeed.
#
# Calls at once, and the seconds after which as many more may start. Batch's 50/s are shared by all its operations: 40
# are for submitting and describing, and 10 for TerminateJob, so that a cancel never waits behind thousands of requests.
# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html (GetLogEvents: 10/s,
# FilterLogEvents: 5/s)
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (PutImage, a manifest's PUT: 10/s)
_LANES = {
    "batch": (10, 0.25),
    "batch:TerminateJob": (5, 0.5),
    "logs": (4, 0.5),
    "logs:FilterLogEvents": (4, 2.0),
    "registry:PutManifest": (2, 0.25),
}
GROWTH = 0.01  # share of a lane's full rate that each call restores: fifty calls double a halved rate
REACTION_SECONDS = 1  # throttling of calls that were sent together counts once


class Lane:
    """A rate limit: `calls` at once and as many more every `seconds`, less while AWS throttles."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._limiter = AsyncLimiter(calls, seconds)
        self._least = 1 / calls
        self._throttled_at = -math.inf
        self.share = 1.0  # the current part of the full rate

    async def wait(self) -> None:
        """Wait until a call may start. With a smaller share each call uses more of the rate."""
        await self._limiter.acquire(1 / self.share)
        self.share = min(1.0, self.share + GROWTH)

    def throttled(self) -> None:
        """Halve the rate, because AWS throttled a call."""
        now = asyncio.get_running_loop().time()
        if now - self._throttled_at >= REACTION_SECONDS:
            self._throttled_at = now
            self.share = max(self._least, self.share / 2)


class Pace:
    """The rate limits of one account or registry; a service without a lane is not limited."""

    def __init__(self) -> None:
        self._lanes = {name: Lane(calls, seconds) for name, (calls, seconds) in _LANES.items()}

    def lane(self, service: str, operation: str) -> Lane | None:
        """Return the lane of an operation."""
        return self._lanes.get(f"{service}:{operation}") or self._lanes.get(service)

    async def wait(self, service: str, operation: str) -> None:
        """Wait until the call may start."""
        if lane := self.lane(service, operation):
            await lane.wait()

    def throttled(self, service: str, operation: str) -> None:
        """Halve the rate of the operation's lane, because AWS throttled a call."""
        if lane := self.lane(service, operation):
            lane.throttled()
