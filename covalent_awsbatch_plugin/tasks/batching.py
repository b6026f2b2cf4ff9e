# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Group commit: tasks of one kind that arrive together leave together, as one array job; a lone task leaves at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import Cancelled
from ..settings import Settings
from .connection import Cloud
from .submit import STOP_REASON, JobHandle, Passenger, bounded, ship
from .terminate import Terminator

log = logging.getLogger(__name__)

# Company that has not come within this part of the linger is not waited for, nor within so many times the usual gap
# between arrivals. An idle server starts about 8 electrons a second, a busy one 2.
QUIET = 1 / 3
GAPS = 2.5
MIB = 1024 * 1024

# Settings that change nothing about the job: tasks that differ in these alone can share one.
_NOT_THE_JOBS = {
    "cache_dir", "poll_freq", "max_baked_mib",
    "environment", "bake_deps_pip", "max_cache_gib",  # what came of them is the passenger's luggage
}  # fmt: skip

LOADS_AT_ONCE = 8  # full ones that are on their way to AWS: of small arrays there may be thousands


@dataclass(eq=False)
class _Seat:
    passenger: Passenger
    handle: asyncio.Future[JobHandle]


class Fleet:
    """Every task of one connection on its way to SubmitJob, by kind: what may share a job."""

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud, self._clock = cloud, clock
        self._piers: dict[str, _Pier] = {}

    async def board(self, settings: Settings, passenger: Passenger) -> JobHandle:
        """Waits until the passenger's job is submitted. Raises Cancelled when its ticket was before that."""
        kind = f"{settings.model_dump_json(exclude=_NOT_THE_JOBS)} {passenger.package.python} {passenger.luggage.name}"
        pier = self._piers.setdefault(kind, _Pier(self._cloud, settings, self._clock))
        seat = _Seat(passenger, asyncio.get_running_loop().create_future())
        pier.join(seat)
        try:
            return await asyncio.shield(seat.handle)
        except asyncio.CancelledError:
            await self._abandon(seat)
            raise

    async def _abandon(self, seat: _Seat) -> None:
        """Nobody waits for this task any more: it does not leave, or is ended."""
        seat.passenger.ticket.cancelled = True
        if seat.handle.done() and not seat.handle.cancelled() and not seat.handle.exception():
            handle = seat.handle.result()
            await bounded(self._cloud.tenant(Terminator).end(handle.job_id, STOP_REASON, handle.member))


@dataclass
class Arrivals:
    """When tasks of one kind came, in seconds of a clock that only grows; `gap`: what usually lies between two."""

    last: float = float("-inf")
    gap: float = 0.0

    def note(self, now: float, linger: float) -> bool:
        """One comes now; whether it has company: another came within the linger."""
        gap, self.last = now - self.last, now
        company = gap < linger
        self.gap = (self.gap + gap) / 2 if company else 0.0
        return company

    def patience(self, linger: float) -> float:
        """How long nobody may come before those who wait leave."""
        return min(linger, max(linger * QUIET, self.gap * GAPS))


@dataclass(eq=False)
class _Pier:
    """Where tasks of one kind gather; who comes while a job is made is on the next."""

    cloud: Cloud
    settings: Settings
    clock: Callable[[], float]
    waiting: list[_Seat] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    arrivals: Arrivals = field(default_factory=Arrivals)
    departures: asyncio.Task[None] | None = None
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def join(self, seat: _Seat) -> None:
        company = self.arrivals.note(self.clock(), self.settings.array_linger)
        self.waiting.append(seat)
        self.came.set()
        if self.departures is None or self.departures.done():
            self.departures = asyncio.get_running_loop().create_task(self._depart_while_some_wait(company))

    async def _depart_while_some_wait(self, company: bool) -> None:
        while self.waiting:
            if company:
                await self._linger()
            company = True
            await self._send(self._next_load())

    async def _send(self, seats: Sequence[_Seat]) -> None:
        """One load is waited for, so that who comes meanwhile is on the next; when it was full, some wait already."""
        departure = asyncio.get_running_loop().create_task(self._depart(seats))
        self.under_way.add(departure)
        departure.add_done_callback(self.under_way.discard)
        if not self.waiting:
            await asyncio.wait([departure])
        elif len(self.under_way) >= LOADS_AT_ONCE:
            await asyncio.wait(self.under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _linger(self) -> None:
        """Until nobody has come for a while, the linger is over, or the array is full."""
        linger = self.settings.array_linger
        over = self.clock() + linger
        while len(self.waiting) < self.settings.max_array_size * self.settings.tasks_per_job:
            self.came.clear()
            patience = min(self.arrivals.patience(linger), over - self.clock())
            try:
                async with asyncio.timeout(patience):
                    await self.came.wait()
            except TimeoutError:
                return

    def _next_load(self) -> list[_Seat]:
        """As many as one array and one layer may carry, in the order in which they came."""
        room = self.settings.max_layer_mib * MIB
        load: list[_Seat] = []
        for seat in self.waiting[: self.settings.max_array_size * self.settings.tasks_per_job]:
            room -= seat.passenger.package.size
            if load and room < 0:
                break
            load.append(seat)
        del self.waiting[: len(load)]
        return load

    async def _depart(self, seats: Sequence[_Seat]) -> None:
        aboard = []
        for seat in seats:
            if seat.passenger.ticket.cancelled:
                _settle(seat, Cancelled("Cancelled before it was submitted."))
            else:
                aboard.append(seat)
        if not aboard:
            return
        try:
            handles = await ship(self.cloud, self.settings, [seat.passenger for seat in aboard])
        except asyncio.CancelledError:
            for seat in aboard:
                seat.handle.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is each passenger's, and none may wait for ever
            for seat in aboard:
                _settle(seat, error)
            return
        for seat, handle in zip(aboard, handles, strict=True):
            _settle(seat, handle)


def _settle(seat: _Seat, outcome: JobHandle | Exception) -> None:
    if seat.handle.done():
        return
    if isinstance(outcome, Exception):
        seat.handle.set_exception(outcome)
        seat.handle.exception()  # looked at: a passenger that was abandoned won't
    else:
        seat.handle.set_result(outcome)
