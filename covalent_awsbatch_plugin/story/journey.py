# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One task group's way: packed, checked, boarded with others of its kind, watched, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from ..hands.secret import result_key
from ..thought.errors import AWSBatchError, Cancelled, NeverStarted
from ..thought.job.again import again, may_go_again
from ..thought.job.job_detail import JobState
from ..thought.job.sizes import fitted
from ..thought.settings import Settings
from .base import Bases
from .cloud import Cloud, Site
from .collecting import Ended, failures, newest_envelope, results_store
from .ending import Terminator
from .environment import Packer, without_pip
from .fleet import MIB, Fleet
from .housekeeping import Housekeeper
from .inflight import Ticket
from .late_jobs import LateJobs
from .packing import StagedGroup, pack
from .reattach import left_behind, take_over
from .shipment import CANCEL_REASON, STOP_REASON, JobHandle, Passenger, bounded
from .stuck import never_started

log = logging.getLogger(__name__)

T = TypeVar("T")


async def send(cloud: Cloud, settings: Settings, group: StagedGroup, ticket: Ticket) -> JobHandle:
    """From staged files to a submitted job, or to the one of an earlier process that was asked for the same.

    Raises Cancelled when the ticket says so; nothing runs then.
    """
    wanted: list[str] = []
    if settings.bake_deps_pip:
        group, wanted = await cloud.in_thread(without_pip, group)
    site, package = await asyncio.gather(
        cloud.site(settings),
        cloud.in_thread(pack, group, round(settings.max_baked_mib * MIB), result_key, _covalent_version()),
    )
    settings, said = fitted(settings, fargate=site.place.fargate, platform=site.place.platform)
    if said:
        _say_once(said)
    housekeeper = cloud.tenant(Housekeeper)
    await asyncio.gather(*map(housekeeper.hold, package.uploads))
    try:
        left, unsettled = await left_behind(cloud, settings, group, package.content)
        if left and not may_go_again(settings):
            return await take_over(cloud, settings, left, package, ticket)
        packs = bool(settings.environment or wanted)
        base = await cloud.tenant(Bases).find(settings, site, group, package, packs=packs)
        _stop_if_cancelled(ticket)
        packing = cloud.tenant(Packer).pack(settings, group, wanted, base, package.python)
        luggage = await _unless_cancelled(ticket, packing)
        _stop_if_cancelled(ticket)
        passenger = Passenger(group, package, ticket, luggage=luggage)
        ticket.passenger = passenger if may_go_again(settings) else None
        if unsettled:  # packing took its time: a job may have come of them
            left, unsettled = await left_behind(cloud, settings, group, package.content)
        if left:
            return await take_over(cloud, settings, left, package, ticket)
        await asyncio.gather(*(_upload(cloud, site, key, path) for key, path in package.uploads.items()))
        _stop_if_cancelled(ticket)
        handle = await cloud.tenant(Fleet).board(settings, passenger)
        cloud.tenant(LateJobs).submitted_anew(settings, unsettled)
        return handle
    except BaseException:
        for key in package.uploads:
            housekeeper.release(key)
        raise


@functools.cache
def _say_once(text: str) -> None:
    log.warning(text)


@functools.cache
def _covalent_version() -> str:
    try:
        return metadata.version("covalent")
    except metadata.PackageNotFoundError:
        return ""


async def _upload(cloud: Cloud, site: Site, key: str, path: Path) -> None:
    """What many tasks were given is sent by the first of them."""

    async def send() -> None:
        if not await site.store.has(key):  # named by content: what is there is the same
            await site.store.put_file(key, path)

    await cloud.once(("upload", site.store.bucket, key), send)


async def _unless_cancelled(ticket: Ticket, work: Coroutine[Any, Any, T]) -> T:
    """What may take minutes: a cancel ends it at once. Raises Cancelled."""
    doing = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    with ticket.telling(lambda: loop.call_soon_threadsafe(doing.cancel)):
        try:
            return await doing
        except asyncio.CancelledError:
            _stop_if_cancelled(ticket)
            raise


def _stop_if_cancelled(ticket: Ticket) -> None:
    if ticket.cancelled:
        raise Cancelled("Cancelled before it was submitted.")


async def watch(cloud: Cloud, settings: Settings, handle: JobHandle, ticket: Ticket | None = None) -> Ended:
    """Waits for the task's end, through the submissions that the settings allow after a failure.

    A server that is stopped meanwhile ends the job first.
    """
    tries, before = 1, list[str]()
    while True:
        ended = await _watch_or_end(cloud, settings, handle, ticket)
        passenger = ticket.passenger if ticket and not ticket.cancelled else None
        changed = again(settings, failures(settings, ended), tries) if isinstance(passenger, Passenger) else None
        if changed is None or not isinstance(passenger, Passenger):
            return replace(ended, before=tuple(before))
        before.append(f"submitted again, for {failures(settings, ended)[0].error.happened}")
        log.warning("`%s` is %s", handle.name, before[-1])
        settings, tries = changed, tries + 1
        handle = await _board_again(cloud, settings, replace(passenger, tries=tries), handle)


async def _board_again(cloud: Cloud, settings: Settings, passenger: Passenger, last: JobHandle) -> JobHandle:
    """A new job for the same package; what the last one left is not needed any more."""
    housekeeper = cloud.tenant(Housekeeper)
    await asyncio.gather(*map(housekeeper.hold, passenger.package.uploads))
    handle = await cloud.tenant(Fleet).board(settings, passenger)
    housekeeper.read(last.result_id)
    return handle


@contextlib.asynccontextmanager
async def ended_if_stopped(cloud: Cloud, handle: JobHandle) -> AsyncIterator[None]:
    """A server that is stopped in here ends the job first: nothing of ours runs on for nobody."""
    try:
        yield
    except asyncio.CancelledError:
        await bounded(cloud.tenant(Terminator).end(handle.job_id, STOP_REASON, handle.member))
        raise


async def _watch_or_end(cloud: Cloud, settings: Settings, handle: JobHandle, ticket: Ticket | None) -> Ended:
    """Raises Cancelled for a task that shares a container, which goes on for the others."""
    try:
        if handle.member is not None and ticket and ticket.cancelled:
            raise Cancelled(CANCEL_REASON + ".")
        async with ended_if_stopped(cloud, handle):
            ended = await _patiently(cloud, settings, handle)
    except AWSBatchError as error:
        if isinstance(error, (Cancelled, NeverStarted)):  # its job was ended, and nobody will ask for a result
            cloud.tenant(Housekeeper).read(handle.result_id)
        await cloud.tenant(Terminator).ended(handle.job_id, CANCEL_REASON, handle.member)
        raise
    await cloud.tenant(Terminator).ended(handle.job_id, CANCEL_REASON, handle.member)
    return ended


async def _patiently(cloud: Cloud, settings: Settings, handle: JobHandle) -> Ended:
    """As `_watch`, but a job that has not left the queue after `start_patience` is ended. Raises NeverStarted then."""
    watching = asyncio.ensure_future(_watch(cloud, settings, handle))
    try:
        done, _ = await asyncio.wait({watching}, timeout=settings.start_patience or None)
        if not done and not cloud.watcher.has_begun(handle.job_id):
            error = await never_started(cloud, settings, handle)
            await cloud.batch.terminate(handle.job_id, f"It did not start within {settings.start_patience:g} s")
            raise error
        return await watching
    finally:
        watching.cancel()


async def _watch(cloud: Cloud, settings: Settings, handle: JobHandle) -> Ended:
    store = await results_store(cloud, settings, handle)
    if ":" in handle.result_id:
        seen = await cloud.watcher.committed_or_ended(
            handle.job_id, settings.poll_freq, handle.prefix, store.keys, handle.member
        )
        if isinstance(seen, JobState):
            return Ended(handle, seen, await newest_envelope(store, handle, len(seen.attempts)))
        envelope = await newest_envelope(store, handle, seen.attempt)
        if envelope and (envelope.returned or (handle.member is not None and not envelope.cut_short)):
            return Ended(handle, None, envelope)  # else Batch may run another attempt, and its words are needed
    state = await cloud.watcher.ended(handle.job_id, settings.poll_freq)
    return Ended(handle, state, await newest_envelope(store, handle, len(state.attempts)))


async def cancel(cloud: Cloud, job_id: str, member: int | None = None) -> None:
    """Ends the job, whatever its state; also when the server is being stopped at this very moment.

    A job that tasks share goes on for the others; of `member`, whoever watches is told at once.
    """
    ending = asyncio.ensure_future(cloud.tenant(Terminator).end(job_id, CANCEL_REASON, member))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await bounded(ending)
        raise
