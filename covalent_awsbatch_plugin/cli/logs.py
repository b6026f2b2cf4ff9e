# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `logs`: print what tasks print, while they run or afterwards."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from .options import CONNECTION, showing
from .root import main, progress, resolved, settings_options, with_services
from .terminal import colored, plain_text
from .values import DURATION, PATTERN

if TYPE_CHECKING:
    from ..tasks.followed_jobs import FollowedJobs
    from ..tasks.live_logs import LogLine
    from ..tasks.services import Services


@main.command()
@click.argument("job", required=False)
@click.option("--dispatch", default="", help="The tasks of this Covalent dispatch, or of this id of a pool.")
@click.option("--node", type=int, help="Only this node of the dispatch.")
@click.option("--pool", default="", help="The calls of the newest pool of this name.")
@click.option("--follow", "-f", is_flag=True, help="Print lines as they come, until the jobs have ended.")
@click.option("--since", type=DURATION, help="Leave out lines that are older, for example 10m, 2h or 1d.")
@click.option("--failed", is_flag=True, help="Only jobs, or children of arrays, that have failed.")
@click.option("--grep", type=PATTERN, help="Only lines that match this regular expression.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as a JSON object.")
@showing(*CONNECTION)
@settings_options
def logs(
    job: str | None,
    dispatch: str,
    node: int | None,
    pool: str,
    follow: bool,
    since: float | None,
    failed: bool,
    grep: re.Pattern[str] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the lines of a job, of a dispatch or of a pool, each with its task.

    JOB is the id or ARN of any AWS Batch job; for an array all of its children are read. A line is printed a few
    seconds after CloudWatch Logs has it.

    \b
      covalent-awsbatch logs 8a7c0f5e-...-3b1d --follow
      covalent-awsbatch logs --dispatch 4c1f... --node 3
      covalent-awsbatch logs --pool simulation --failed --grep Error
    """
    if sum(map(bool, (job, dispatch, pool))) != 1:
        raise click.UsageError("Give one of JOB, --dispatch and --pool.")
    if node is not None and not dispatch:
        raise click.UsageError("--node needs --dispatch.")
    since_ms = 0 if since is None else int((time.time() - since) * 1000)

    async def work(services: Services) -> int:
        from ..tasks.live_logs import LiveLogs

        jobs = _jobs(services, job, dispatch or _newest_pool(pool), node, failed=failed)
        count = 0
        async for line in LiveLogs(services.aws, jobs, since_ms).lines(follow=follow):
            if grep is None or grep.search(line.message):
                count += 1
                _print(line, as_json=as_json)
        if not jobs.known:
            progress(f"AWS Batch does not know the job {job or dispatch or pool}; it forgets jobs after a week.")
            sys.exit(1)
        return count

    if not with_services(resolved(options), work):
        progress("There are no lines." if follow else "There are no lines yet.")


def _jobs(services: Services, job: str | None, dispatch: str, node: int | None, *, failed: bool) -> FollowedJobs:
    from ..tasks.followed_jobs import jobs_by_id, jobs_of_dispatch

    if job:
        return jobs_by_id(services.batch, job, failed=failed)
    return jobs_of_dispatch(services.batch, dispatch, node, failed=failed)


def _newest_pool(name: str) -> str:
    if not name:
        return ""
    from ..tasks.events import newest_record

    return newest_record(name) or name


def _print(line: LogLine, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(line.to_json()))
    else:
        click.echo(f"{colored(line.label)}  {plain_text(line.message)}")
