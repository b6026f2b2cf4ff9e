# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The sequence of a run: each check once, in order; what was left open is ended, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .. import __version__
from ..aws.session import close_shared
from ..errors import AWSBatchError, NotAllowed
from ..infra import checks as findings
from ..infra.doctor import Doctor
from ..jobs.description import ENDED
from ..settings import Settings
from ..tasks.client import connect
from ..tasks.services import Services
from . import ending_checks, job_checks
from .ending_checks import NotSeen
from .job_checks import Evidence, one_line
from .plan import LAST, Check
from .raw_records import raw_records
from .record_model import differences, issue_text
from .run_state import OK, UNKNOWN, WRONG, Result, RunState
from .trace import Remains
from .workbench import CheckFailed, Workbench

COMMAND_PATIENCE_S = 60.0  # for an outage: somebody waits at a terminal, and the check can go on later
RECORD_S = 60.0  # for DescribeJobs to show the end of a job whose result is there
TIDY_S = 60.0  # for the removal of what a stopped run has left
JOBS: Mapping[str, Callable[[Workbench], Awaitable[Evidence]]] = {
    "task": job_checks.one_task,
    "array": job_checks.array,
    "big-objects": job_checks.big_objects,
    "payload-s3": job_checks.payload_s3,
    "tasks-per-job": job_checks.tasks_per_job,
    "cancel-runnable": ending_checks.cancel_runnable,
    "cancel-starting": ending_checks.cancel_starting,
    "cancel-running": ending_checks.cancel_running,
    "retry-exceptions": ending_checks.retry_exceptions,
    "timeout": ending_checks.timeout,
    "out-of-memory": ending_checks.out_of_memory,
    "same-task": job_checks.same_task,
}


class Run:
    """A run of checks. `settings` are those of its jobs; `show` takes each result, `progress` a line while it waits."""

    def __init__(
        self,
        state: RunState,
        settings: Settings,
        doctor_settings: Settings,
        patience: float,
        show: Callable[[Result], None],
        progress: Callable[[str], None],
    ) -> None:
        self.state, self._patience, self._show, self._progress = state, patience, show, progress
        outages = min(settings.outage_patience, COMMAND_PATIENCE_S)
        self.settings = settings.model_copy(update={"outage_patience": outages})
        self._doctor_settings = doctor_settings.model_copy(update={"outage_patience": outages})

    async def checks(self, chosen: Sequence[Check]) -> list[Result]:
        """Run the checks that have no result yet; return all results in order. Raises AWSBatchError.

        If this is cancelled, the jobs are ended, and what they needed is deleted, before CancelledError goes on.
        """
        try:
            await self._jobs([check for check in chosen if check.name not in LAST])
        except BaseException:
            await self.tidy()
            raise
        broken = self.state.results.get("doctor")
        for check in chosen if broken is None or broken.state != WRONG else ():
            if check.name in LAST:
                self._note(await self._last(check.name))
        return [self.state.results[check.name] for check in chosen if check.name in self.state.results]

    def _note(self, result: Result) -> None:
        self.state.results[result.name] = result
        self.state.save()
        self._show(result)

    # ---- the jobs --------------------------------------------------------------------------------------------------
    async def _jobs(self, chosen: Sequence[Check]) -> None:
        open_checks = [check for check in chosen if check.name not in self.state.results]
        try:
            with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-") as folder:
                async with connect(self.settings) as client:
                    bench = Workbench(
                        client, self.settings, Path(folder), self.state.run, self._patience, self._progress,
                        self.state.traces, self.state.save, self.state.kinds,
                    )  # fmt: skip
                    await self._identify(client.services)
                    try:
                        for check in open_checks:
                            self._note(await self._one(check.name, bench))
                            if check.name == "doctor" and self.state.results["doctor"].state == WRONG:
                                break
                    finally:
                        await bench.aclose()
        finally:
            await close_shared()  # the last sweep of what the jobs needed
            self.state.save()

    async def _identify(self, services: Services) -> None:
        """Keep the account and the caller, whose names a record must not have."""
        with contextlib.suppress(AWSBatchError):  # the checks say what is wrong
            answer = await services.aws.call("sts", "GetCallerIdentity", of="the AWS account")
            self.state.account, self.state.caller = str(answer["Account"]), str(answer["Arn"])

    async def _one(self, name: str, bench: Workbench) -> Result:
        """Return the result of one check of jobs; an error of AWS is the check's."""
        bench.check, began = name, time.monotonic()
        self._progress(f"{name} ...")
        try:
            if name == "doctor":
                result = await self._doctor(bench.client.services)
            else:
                text, figures = await JOBS[name](bench)
                result = Result(name, OK, text, figures=figures)
        except NotSeen as error:
            result = Result(name, UNKNOWN, str(error))
        except (CheckFailed, AWSBatchError, ExceptionGroup) as error:
            result = Result(name, WRONG, _words(error), getattr(error, "advice", ""))
        await bench.aclose()
        await self._keep_records(bench)
        return replace(result, seconds=round(time.monotonic() - began, 1))

    async def _doctor(self, services: Services) -> Result:
        found = [finding async for finding in Doctor(services, self._doctor_settings).findings()]
        wrong = [each for each in found if each.state == findings.WRONG]
        unknown = sum(each.state == findings.UNKNOWN for each in found)
        if wrong:
            text = "; ".join(f"{each.name}: {each.text}" for each in wrong)
            return Result("doctor", WRONG, text, "\n".join(each.advice for each in wrong if each.advice))
        open_ends = f", {unknown} could not be made" if unknown else ""
        return Result("doctor", OK, f"{len(found) - unknown} checks are ok{open_ends}")

    async def _keep_records(self, bench: Workbench) -> None:
        """Keep the records of the check's jobs once they have ended: a result may be there before its job's end."""
        missing = [job for job in self.state.kinds if job not in self.state.records]
        with contextlib.suppress(AWSBatchError, TimeoutError):
            async with asyncio.timeout(min(RECORD_S, self._patience)):
                while missing:
                    for record in await raw_records(bench.aws, missing):
                        if record.get("status") in ENDED:
                            self.state.records[str(record.get("jobId"))] = record
                    missing = [job for job in missing if job not in self.state.records]
                    await asyncio.sleep(min(bench.base.poll_freq, 2) if missing else 0)

    # ---- after the jobs --------------------------------------------------------------------------------------------
    async def _last(self, name: str) -> Result:
        began = time.monotonic()
        if name == "records":
            result = self._records()
        else:
            try:
                result = await self._nothing_left()
            except AWSBatchError as error:
                state = UNKNOWN if isinstance(error, NotAllowed) else WRONG
                result = Result(name, state, f"AWS could not be asked: {one_line(error)}", error.advice)
        return replace(result, seconds=round(time.monotonic() - began, 1))

    def _records(self) -> Result:
        records, kinds = self.state.records, self.state.kinds
        lost = [job for job in kinds if job not in records]
        found = [each for job, record in records.items() if job in kinds for each in differences(record, kinds[job])]
        wrong = sorted({each for each in found if each.is_wrong})
        new = sorted({each for each in found if not each.is_wrong})
        text = f"{len(records)} records of {len(set(kinds.values()))} kinds of ends"
        if lost:
            text += f"; DescribeJobs shows no end of {', '.join(lost)}"
        if wrong:
            text += "; " + "; ".join(f"{each.path} ({each.kind}): {each.text}" for each in wrong)
        if new:
            text += "; new fields: " + ", ".join(sorted({each.path for each in new}))
        advice = issue_text(wrong + new, __version__, "Fargate or EC2: please say") if wrong + new else ""
        return Result("records", WRONG if wrong or lost else OK, text, advice, figures={"records": len(records)})

    async def _nothing_left(self) -> Result:
        remains = await self._remains()
        streams = sorted({name for record in self.state.records.values() for name in _streams(record)})
        stays = f"{len(streams)} log streams stay in {self.settings.batch_job_log_group_name}"
        stays += f", from {streams[0]} on" if streams else ""
        if self.state.traces.shared:
            stays += f"; the shared image {', '.join(sorted(self.state.traces.shared))} stays for later tasks"
        figures = {"streams": len(streams)}
        if not remains.left:
            return Result("nothing-left", OK, f"no job, image, definition or object; {stays}", figures=figures)
        advice = "It is removed now where AWS allows it. Otherwise: covalent-awsbatch clean"
        await self.tidy()
        return Result("nothing-left", WRONG, f"left: {', '.join(remains.left)}; {stays}", advice, figures=figures)

    async def _remains(self) -> Remains:
        try:
            async with connect(self.settings) as client:
                store = (await client.services.resources(self.settings)).store
                return await self.state.traces.remains(client.services.aws, store, self.settings)
        finally:
            await close_shared()

    async def tidy(self) -> None:
        """Remove what the run has at AWS. An error is shown, not raised: what stopped the run matters more."""
        self.state.save()
        try:
            async with asyncio.timeout(TIDY_S), connect(self.settings) as client:
                store = (await client.services.resources(self.settings)).store
                await self.state.traces.remove(client.services, self.settings, store)
        except (AWSBatchError, TimeoutError) as error:
            self._progress(f"Something of the check may be left: {one_line(error) or 'AWS took too long'}")
        finally:
            await close_shared()


def _streams(record: Mapping[str, object]) -> Iterator[str]:
    attempts = record.get("attempts")
    for attempt in attempts if isinstance(attempts, list) else ():
        if stream := (attempt.get("container") or {}).get("logStreamName"):
            yield str(stream)


def _words(error: BaseException) -> str:
    """Return an error in one line; of a group, its first member's."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return one_line(error)
