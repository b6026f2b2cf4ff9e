# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One array job of a pool's calls, from its submission to the end of its last call: one coroutine for all of them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.concurrency import side_by_side
from ..errors import AWSBatchError, Cancelled, Lost, NeverStarted, Raised
from ..jobs.definition import job_name
from ..jobs.description import JobState
from ..jobs.resubmit import Failure, again
from ..jobs.watched import FORGOTTEN_SECONDS, has_begun
from ..runner.calls import outcomes_in, packed_calls
from ..runner.protocol import envelope as env
from ..settings import Settings
from ..tasks.array_package import ArrayPackage, Member
from ..tasks.array_results import ArrayResults, array_key
from ..tasks.array_submission import submit_array
from ..tasks.cleanup import leaves_no_job
from ..tasks.client import Client, connect
from ..tasks.inflight import Task
from ..tasks.job_handle import JobHandle
from ..tasks.reattach import artifacts_of
from ..tasks.results import Ended, collect, failures, results_store
from ..tasks.staging import exception_of
from ..tasks.stuck import never_started
from .call import Call, CallEnd
from .earlier_array import NoEarlierJob, settle
from .record import ArrayRecord, OpenRecord
from .stored_value import StoredValue

CANCEL_REASON = "Cancelled by the user of this BatchPool"
OF_JOBS = ("tasks_per_job", "parallel_tasks", "memory", "time_limit")  # settings of a job that its results need
ENDS_AT_ONCE = 16  # calls without a value whose logs are fetched at the same time
_ENDS_WITHIN_SECONDS = 60  # of a terminated job, before its artifacts are cleaned up


@dataclass(eq=False)
class ArrayUnderWay:
    """An array of `calls`, `chunksize` of which run one after another in one member of the array.

    `on_end` is called for each call that has ended, and `again` with calls that shall be submitted again and their
    settings. `handle` is known once the job is submitted, and from the beginning for a job of an earlier process.
    `folder` is for files of this user.
    """

    settings: Settings
    dispatch_id: str
    calls: list[Call]
    chunksize: int
    folder: Path
    on_end: Callable[[Call, CallEnd], None]
    again: Callable[[Settings, Call, int], None]
    record: OpenRecord | None = None
    array_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    handle: JobHandle | None = None
    key: bytes = field(default=b"", repr=False)
    ended_by_us: bool = False
    is_detached: bool = False
    earlier: ArrayRecord | None = None
    _task: Task | None = None
    _client: Client | None = None
    _results: ArrayResults | None = None
    _group: asyncio.TaskGroup | None = None
    _failed: list[tuple[int, Ended]] = field(default_factory=list)
    _enders: int = 0
    submitted: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        for index, call in enumerate(self.calls):
            call.array, call.index = self, index

    @property
    def members(self) -> int:
        """The number of tasks of the array."""
        return -(-len(self.calls) // self.chunksize)

    @property
    def open_calls(self) -> list[Call]:
        """The calls that have not ended."""
        return [call for call in self.calls if call.end is None and call.array is self]

    def member_of(self, call: Call) -> int:
        """Return the number of the member that runs a call."""
        return call.index // self.chunksize

    def container_of(self, call: Call) -> int:
        """Return the number of the container that runs a call."""
        return self.member_of(call) // self.settings.tasks_per_job

    def job_id_of(self, call: Call) -> str | None:
        """Return the id of a call's job, None before the submission."""
        if self.handle is None:
            return None
        one = self.members <= self.settings.tasks_per_job
        return self.handle.job_id if one else f"{self.handle.job_id}:{self.container_of(call)}"

    @property
    def job_state(self) -> JobState | None:
        """The state of the job as of the last look at it; None before the first."""
        if self._client is None or self.handle is None:
            return None
        return self._client.services.watcher.state_of(self.handle.job_id)

    def has_begun(self, call: Call) -> bool:
        """Return whether the container of a call was surely seen to start: for an array, when all of them have."""
        watched = self.job_state
        if not watched or not has_begun(watched):
            return False
        waiting = {"SUBMITTED", "PENDING", "RUNNABLE"} if watched.children else set()
        return not any(watched.children.get(status) for status in waiting)

    # ---- its life ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Submit the array, wait for its calls and end each; every call has an end afterwards."""
        try:
            async with connect(self.settings) as client:
                self._client = client
                await self._run(client)
        except NoEarlierJob:
            for call in self.open_calls:
                call.array = None
                self.again(self.settings, call, self.chunksize)
        except Exception as error:  # noqa: BLE001 - every open call gets it, and none may wait for ever
            self._end_all(error)
        except BaseException as error:
            self._end_all(error)
            raise
        finally:
            self.submitted.set()

    async def _run(self, client: Client) -> None:
        if self.earlier:
            await self._find_earlier(client, self.earlier)
        else:
            await self._submit(client)
        assert self.handle
        self.submitted.set()
        members = {self.member_of(call) for call in self.open_calls}
        self._results = ArrayResults(client, self.settings, self.handle, self.members, self.key, members, self._ended)
        if self.earlier and await self._is_forgotten(client):
            await self._results.read()
            raise NoEarlierJob
        try:
            async with side_by_side() as self._group:
                patience = self._group.create_task(self._give_up_after_patience(client))
                await self._results.follow()
                patience.cancel()
        except NeverStarted:
            await self._clean_up(client)
            raise
        except Lost:
            if not (self.earlier and await self._is_forgotten(client)):
                raise
            await self._results.read()  # a young job of another AWS at this address: an offline one that was restarted
            raise NoEarlierJob from None
        await self._clean_up(client)

    async def _submit(self, client: Client) -> None:
        self.key = array_key(await client.services.result_secret(), self.array_id)
        package = await client.services.in_thread(self._packed)
        nodes = tuple((self.dispatch_id, call.number) for call in self.calls)
        self._task = Task(nodes, package=package, shares_jobs=False, tries=max(call.tries for call in self.calls))
        self._task.earlier_attempts = self.calls[0].earlier_attempts  # the same for all: `Engine._again`
        since = time.time()
        self._task.note = lambda handle: self._note(handle, since)
        self._task.keeps_results = self.record is not None
        if not self.open_calls:
            self._task.cancel()
        try:
            self.settings, self.handle = await submit_array(client, self.settings, self._task)
        except BaseException as error:
            if self.record and self._task.handle is None and (leaves_no_job(error) or isinstance(error, Cancelled)):
                self.record.note_gone(self.array_id)
            raise
        finally:
            self._task = None

    def _note(self, handle: JobHandle, since: float) -> None:
        """Note the array in a named pool's record: before its submission, and when its job is known."""
        if self.record is None:
            return
        keys, numbers = b"".join(call.key for call in self.calls), tuple(call.number for call in self.calls)
        job: dict[str, Any] = {name: getattr(self.settings, name) for name in OF_JOBS}
        job["name"] = job_name([(self.dispatch_id, numbers[0])], max(call.tries for call in self.calls))
        self.record.note_array(ArrayRecord(self.array_id, handle, keys, self.chunksize, numbers, job, since))

    async def _find_earlier(self, client: Client, earlier: ArrayRecord) -> None:
        """Find the job of an array that an earlier process submitted. Raises NoEarlierJob where none came of it."""
        self.key = earlier.key or array_key(await client.services.result_secret(), self.array_id)
        if not earlier.handle.is_at(await client.services.here()):
            raise NoEarlierJob
        if not earlier.settled and not earlier.gone:
            await settle(client, self.settings, earlier, self.record)
        if earlier.gone:
            raise NoEarlierJob
        self.handle = earlier.handle

    async def _is_forgotten(self, client: Client) -> bool:
        """Return whether AWS Batch has forgotten the job, as it does a week after its end: only the bucket is left."""
        assert self.handle and self.earlier
        state = (await client.services.backend.describe([self.handle.job_id])).get(self.handle.job_id)
        return state is None and time.time() - self.earlier.since > FORGOTTEN_SECONDS

    def _packed(self) -> ArrayPackage:
        members, objects, uploads = list[Member](), {}, {}
        for first in range(0, len(self.calls), self.chunksize):
            calls = self.calls[first : first + self.chunksize]
            data = calls[0].data if len(calls) == 1 else packed_calls([call.data for call in calls])
            shared = tuple(dict.fromkeys(each for call in calls for each in call.shared))
            function = calls[0].function
            members.append(Member(function, data, tuple(each.ref for each in shared), len(calls), calls[0].number))
            for each in shared:
                if each.held:
                    objects[each.ref.sha256] = each.held
                elif each.path:
                    uploads[each.key] = each.path
        return ArrayPackage(members, self.key, self.array_id, objects, uploads)

    async def _give_up_after_patience(self, client: Client) -> None:
        """End the array if no job of it has left the queue after `start_patience`. Raises NeverStarted then."""
        if not self.settings.start_patience:
            return
        await asyncio.sleep(self.settings.start_patience)
        assert self.handle
        state = (await client.services.backend.describe([self.handle.job_id])).get(self.handle.job_id)
        if state and has_begun(state):
            return
        error = await never_started(client.services, self.settings, self.handle)
        await client.services.backend.terminate(
            self.handle.job_id, f"It did not start within {self.settings.start_patience:g} s"
        )
        raise error

    async def _clean_up(self, client: Client) -> None:
        assert self.handle
        if self.is_detached:
            return
        if self.ended_by_us:
            try:
                async with asyncio.timeout(_ENDS_WITHIN_SECONDS):
                    await client.services.watcher.ended(self.handle.job_id, self.settings.poll_freq)
            except (TimeoutError, AWSBatchError):
                pass  # the lifecycle rules delete what it still writes
        if self.earlier:
            await self._clean_up_earlier(client)
        failed = any(call.end is not None and call.end.failed is not None for call in self.calls)
        client.cleanup.read(self.handle.job_id, failed=failed)
        if self.record:
            self.record.note_over(self.array_id)

    async def _clean_up_earlier(self, client: Client) -> None:
        """Take over the artifacts of an earlier process's job once it has ended: other calls of it may need them."""
        assert self.handle and self.earlier
        state = (await client.services.backend.describe([self.handle.job_id])).get(self.handle.job_id)
        if self.earlier.over or (state and not state.ended):
            return
        store = await results_store(client.services, self.settings, self.handle)
        artifacts = replace(artifacts_of(self.settings, store, self.handle, ()), prefix="")
        await client.cleanup.taken_over((self.handle.job_id,), artifacts)

    # ---- ends of calls ----------------------------------------------------------------------------------------------
    def _of_member(self, member: int) -> Sequence[Call]:
        return self.calls[member * self.chunksize : (member + 1) * self.chunksize]

    def _ended(self, member: int, ended: Ended) -> None:
        """End the calls of a member whose envelope has all of it; `_end_failed` ends the others."""
        calls, envelope = self._of_member(member), ended.envelope
        task = envelope.tasks[0] if envelope and len(envelope.tasks) == 1 else None
        if envelope is None or task is None or task.node_id != calls[0].number:
            self._end_later(member, ended)
            return
        parts = {name: envelope.inline(part) for name, part in task.parts.items() if part.offset is not None}
        output = task.parts.get(env.OUTPUT)
        if task.outcome == env.RAISED and {env.ERROR, env.EXCEPTION} <= parts.keys():
            (failure,) = failures(self.settings, ended)
            text = parts[env.ERROR].decode(errors="replace")
            self._fail(calls[0], failure, CallEnd(parts[env.EXCEPTION], failure.error, text), ended)
        elif task.outcome != env.RETURNED or output is None:
            self._end_later(member, ended)
        elif len(calls) > 1 and output.offset is not None:
            self._end_several(calls, parts[env.OUTPUT], ended)
        elif len(calls) > 1:
            self._end_later(member, ended)
        elif output.offset is not None:
            self.on_end(calls[0], CallEnd(parts[env.OUTPUT]))
        else:
            value = StoredValue(self.settings, ended.handle, envelope.attempt, output, self.folder)
            self.on_end(calls[0], CallEnd(value))

    def _end_several(self, calls: Sequence[Call], frames: bytes, ended: Ended) -> None:
        who = f"`{ended.handle.name}` (Batch job {ended.handle.job_id})"
        outcomes = list(outcomes_in(frames))
        for call, outcome in zip(calls, outcomes, strict=False):
            if outcome.returned:
                self.on_end(call, CallEnd(outcome.data))
                continue
            error = Raised(f"{who} raised {outcome.exception_type}.")
            failed = CallEnd(outcome.data, error, outcome.text)
            self._fail(call, Failure(error, outcome.exception_type), failed, ended)
        for call in calls[len(outcomes) :]:
            self.on_end(call, CallEnd(failed=Lost(f"{who} left no result of this call.")))

    def _end_later(self, member: int, ended: Ended) -> None:
        """Have a member's end fetched, which takes several requests."""
        self._failed.append((member, ended))
        if self._group and self._enders < ENDS_AT_ONCE:
            self._enders += 1
            self._group.create_task(self._end_failed())

    async def _end_failed(self) -> None:
        assert self._client
        try:
            while self._failed:
                await self._end_member(self._client, *self._failed.pop())
        finally:
            self._enders -= 1

    async def _end_member(self, client: Client, member: int, ended: Ended) -> None:
        """Fetch what a member without a plain value left, and end its calls."""
        calls = self._of_member(member)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            (result,) = await collect(client.services, self.settings, ended, (calls[0].number,), folder)
            failed = failures(self.settings, ended)
            if failed:
                error = await client.services.in_thread(exception_of, result)
                for call in calls:
                    self._fail(call, failed[0], CallEnd(failed=error), ended)
            else:
                frames = await client.services.in_thread(result.files[env.OUTPUT].read_bytes)
                self._end_several(calls, frames, ended)
        except AWSBatchError as error:
            for call in calls:
                self.on_end(call, CallEnd(failed=error))
        finally:
            await client.services.in_thread(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _fail(self, call: Call, failure: Failure, end: CallEnd, ended: Ended) -> None:
        """End a call without a value, or have it submitted again where the settings say so."""
        changed = again(self.settings, [failure], call.tries)
        if self.earlier and isinstance(failure.error, Cancelled):
            changed = self.settings  # no user of this process has cancelled it
        if changed is None or self.ended_by_us:
            self._note_failed([call])
            self.on_end(call, end)
            return
        call.tries += 1
        call.earlier_attempts += ended.attempts
        call.array = None
        self.again(changed, call, 1)

    def _note_failed(self, calls: Sequence[Call]) -> None:
        """Note calls that the next process with this pool submits again."""
        if self.record:
            self.record.note_failed(self.array_id, [call.index for call in calls])

    def _end_all(self, error: BaseException) -> None:
        for call in self.open_calls:
            if call.array is self:
                self.on_end(call, CallEnd(failed=error))

    # ---- cancel -----------------------------------------------------------------------------------------------------
    async def end(self, calls: Sequence[Call], reason: str = CANCEL_REASON) -> None:
        """End the jobs of these calls, whether they run or not; jobs that other open calls need go on."""
        ending = set(calls)
        others = [call for call in self.open_calls if call not in ending]
        if not others:
            self.ended_by_us = True
        if self._task and not others:
            self._task.cancel()
        if self.handle is None:
            await self.submitted.wait()
        self._note_failed([call for call in calls if call.end is None])
        for call in calls:
            if call.end is None:
                job = f" (Batch job {self.job_id_of(call)})" if self.handle else ""
                words = f"`{call.function.name}`{job} was cancelled by the user of this BatchPool."
                self.on_end(call, CallEnd(failed=Cancelled(words if reason == CANCEL_REASON else f"{reason}.")))
        if self.handle is None or self._client is None:
            return
        others_need = {self.container_of(call) for call in others}
        containers = {self.container_of(call) for call in calls} - others_need
        if not others:
            job_ids = {self.handle.job_id}
        else:
            job_ids = {str(self.job_id_of(call)) for call in calls if self.container_of(call) in containers}
        if self._results:
            open_members = {self.member_of(call) for call in self.open_calls}
            self._results.open &= open_members
        terminate = self._client.services.backend.terminate
        await asyncio.gather(*(terminate(job_id, reason) for job_id in job_ids))

    async def end_unbegun(self, calls: Sequence[Call]) -> list[Call]:
        """End those of the calls whose containers have surely not started, and return them.

        A container that another open call needs goes on, and so do its calls.
        """
        if self._task and not set(self.open_calls).difference(calls):
            self._task.cancel()
        await self.submitted.wait()
        if self.handle is None or self._client is None:
            return [call for call in calls if call.end is None or isinstance(call.end.failed, Cancelled)]
        chosen_calls = set(calls)
        others_need = {self.container_of(call) for call in self.open_calls if call not in chosen_calls}
        by_job: dict[str, list[Call]] = {}
        for call in calls:
            if call.end is None and self.container_of(call) not in others_need:
                by_job.setdefault(str(self.job_id_of(call)), []).append(call)
        backend = self._client.services.backend
        unbegun = await self._unbegun(by_job)
        await asyncio.gather(*(backend.terminate(job_id, CANCEL_REASON) for job_id in unbegun))
        surely = await self._unbegun(unbegun)
        ended = [call for job_id in surely for call in by_job[job_id]]
        if self._results:
            self._results.open -= {self.member_of(call) for call in ended}
        if not set(self.open_calls).difference(ended):
            self.ended_by_us = True
        self._note_failed(ended)
        return ended

    async def ask_if_begun(self, call: Call) -> bool:
        """Return whether a call's container has started; AWS Batch is asked if some of the array have."""
        if self.has_begun(call):
            return True
        state = self.job_state
        if not state or not has_begun(state):
            return False
        return not await self._unbegun([str(self.job_id_of(call))])

    async def _unbegun(self, job_ids: Iterable[str]) -> list[str]:
        """Return the jobs whose container has not started, as AWS Batch tells now."""
        assert self._client
        members = list(job_ids)
        states = await self._client.services.backend.describe(members)
        return [job_id for job_id in members if not _has_begun(states.get(job_id))]


def _has_begun(state: JobState | None) -> bool:
    """Return whether a job's container has started; an ended job has attempts only if so."""
    return bool(state and (state.attempts if state.ended else has_begun(state)))
