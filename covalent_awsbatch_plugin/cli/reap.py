# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Commands for after a crash: terminate jobs that still run, and fetch results."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..settings import Settings
from .root import main, resolved, settings_options, with_services

if TYPE_CHECKING:
    from ..tasks.orphans import LiveJob
    from ..tasks.services import Services

_dispatch = click.option("--dispatch", default="", help="Only jobs of this Covalent dispatch.")
_any_host = click.option("--any-host", is_flag=True, help="Also jobs that other machines submitted.")


@main.command()
@_dispatch
@_any_host
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@settings_options
def reap(dispatch: str, any_host: bool, yes: bool, **options: Any) -> None:
    """Terminate the jobs that `jobs` lists, for example those that a crashed server left running."""
    settings = resolved(options)
    live = _live(settings, dispatch, any_host)
    _show(live)
    if not live:
        return
    if not yes:
        click.confirm("Terminate these jobs? A server that waits for one will see it cancelled", abort=True)
    from ..tasks.orphans import reap as end

    with_services(settings, lambda services: end(services, live))
    click.echo(f"Terminated {len(live)} jobs.")


@main.command()
@_dispatch
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("collected"),
    show_default=True,
    help="Folder for the results.",
)
@settings_options
def collect(dispatch: str, into: Path, **options: Any) -> None:
    """Fetch results that were not read, of jobs that this machine submitted, for example before a crash.

    Each task gets a folder, DISPATCH/NODE: its value as Covalent's archive `output-NODE` (read it with
    `TransportableObject.deserialize(bytes).get_deserialized()`), stdout, stderr and error.
    """
    settings = resolved(options)
    done, waiting = with_services(settings, lambda services: _collect(services, settings, dispatch, into))
    click.echo(f"Collected {done} results into {into}." if done else "There are no results to collect.")
    if waiting:
        click.echo(f"Tasks that have not ended: {waiting}.")


async def _collect(services: Services, settings: Settings, dispatch: str, into: Path) -> tuple[int, int]:
    from ..tasks.orphans import find_unsent, recover, unread

    await find_unsent(services, settings)
    done = waiting = 0
    async for job_id, tasks in unread(services, dispatch_id=dispatch):
        running = 0
        for task in tasks:
            folder = into / task.dispatch_id / str(task.node_ids[0])
            folder.mkdir(parents=True, exist_ok=True)
            results = await recover(services, settings, task, folder)
            running += results is None
            for result in results or ():
                done += 1
                click.echo(f"{folder}: {'a value' if result.error is None else result.error.happened}")
        waiting += running
        if not running and not dispatch:  # an array job may also hold tasks of other dispatches
            services.ledger.forget(job_id)
    return done, waiting


def _live(settings: Settings, dispatch: str, any_host: bool) -> list[LiveJob]:
    from ..tasks.orphans import live_jobs

    return with_services(
        settings, lambda services: live_jobs(services, settings, dispatch_id=dispatch, any_host=any_host)
    )


def _show(live: list[LiveJob]) -> None:
    if not live:
        click.echo("No job is active.")
    for job in live:
        age = datetime.now(UTC) - job.created
        size = f", an array of {job.size}" if job.size > 1 else ""
        click.echo(
            f"{job.job_id}  {job.status:<9}  {age.total_seconds() / 60:6.1f} min  {job.name}{size}, from {job.host}"
        )
