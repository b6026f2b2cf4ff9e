# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command group `pools`: the named pools of this user on this machine, and what became of their calls."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import CONNECTION, showing
from .root import main, resolved, settings_options, with_client, with_services

if TYPE_CHECKING:
    from ..jobs.description import JobState
    from ..pool.record import PoolRecord
    from ..tasks.client import Client
    from ..tasks.services import Services

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
_help = showing(*CONNECTION)


@main.group(invoke_without_command=True)
@click.pass_context
def pools(context: click.Context) -> None:
    """List named pools (`BatchPool("NAME")`), look into them, fetch results, end jobs, delete what is left.

    Without a command it lists. Pools without a name leave no record, so they are not listed: `covalent-awsbatch jobs`
    shows their jobs.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_pools, as_json=False)


@pools.command("list")
@_json
def list_pools(as_json: bool) -> None:
    """List the pools of this user on this machine. AWS is not asked."""
    from ..pool.record import read_records, user_of

    listing = [_summary(record) | {"in_use_by": user_of(record.name)} for record in read_records()]
    if as_json:
        click.echo(json.dumps(listing, indent=2))
    elif not listing:
        click.echo('There is no named pool. `BatchPool("NAME")` makes one.')
    else:
        width = max(len(str(each["name"])) for each in listing)
        for each in listing:
            user = f", in use by {each['in_use_by']}" if each["in_use_by"] else ""
            click.echo(
                f"{each['name']:<{width}}  {each['calls']} calls, {each['jobs']} jobs, since {each['since']}{user}"
            )


@pools.command()
@click.argument("name")
@_json
@_help
@settings_options
def show(name: str, as_json: bool, **options: Any) -> None:
    """Show the jobs of a pool, and how many of their calls are in which state."""
    from ..pool.stored_calls import states_of

    record = _record(name)
    states = with_services(resolved(options), lambda services: states_of(services, record))
    jobs = _jobs(record, states)
    if as_json:
        click.echo(json.dumps(_summary(record) | {"arrays": jobs}, indent=2))
        return
    for job in jobs:
        counts = ", ".join(f"{number} {state}" for state, number in job["containers"].items())
        click.echo(
            f"{job['job_id'] or 'no job id'}  {job['status']}  `{job['function']}`, {job['calls']} calls"
            + (f" in containers: {counts}" if counts else "")
        )
    if not jobs:
        click.echo(f"The pool {name!r} has no jobs.")


@pools.command()
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="Folder for the results [default: NAME]")
@_json
@_help
@settings_options
def results(name: str, into: Path | None, as_json: bool, **options: Any) -> None:
    """Fetch the results of a pool's calls that have ended, into a folder.

    A value is a file NUMBER.pickle, read with `pickle.load`; a failed call's error is NUMBER.error.txt. NUMBER counts
    the calls of the pool from 0, in the order of their submission. The folder must be yours alone (mode 0700); it is
    made if it is not there. A script that makes a pool of the same name gets the same values from its own calls.
    """
    from ..pool.stored_calls import save_results

    record, settings = _record(name), resolved(options)
    folder = into or Path(name)
    calls = with_client(settings, lambda client: save_results(client, settings, record, folder))
    if as_json:
        click.echo(json.dumps([asdict(call) for call in calls], indent=2))
        return
    values, failed = (sum(call.state == state for call in calls) for state in ("SUCCEEDED", "FAILED"))
    click.echo(f"{values} values and {failed} errors of {len(calls)} calls are in {folder}.")
    if others := len(calls) - values - failed:
        click.echo(f"Calls without a result yet: {others}.")


@pools.command()
@click.argument("name")
@_yes
@_help
@settings_options
def end(name: str, yes: bool, **options: Any) -> None:
    """End the jobs of a pool that have not ended. The results that are there stay."""
    from ..pool.stored_calls import end_jobs, live_job_ids

    record, settings = _record(name), resolved(options)
    live = with_services(settings, lambda services: live_job_ids(services, settings, record))
    if not live:
        click.echo(f"No job of the pool {name!r} is active.")
        return
    click.echo("\n".join(live))
    if not yes:
        click.confirm("End these jobs? A process that waits for their calls will see them cancelled", abort=True)
    with_services(settings, lambda services: end_jobs(services, live))
    click.echo(f"Ended {len(live)} jobs.")


@pools.command()
@click.argument("name")
@_yes
@_help
@settings_options
def clean(name: str, yes: bool, **options: Any) -> None:
    """Delete the results of a pool, the images and job definitions of its jobs, and its record on this machine.

    No job of it may be active, and no process may use it. Uploaded arguments, which other pools may share, are left
    to `covalent-awsbatch clean` and the lifecycle rules.
    """
    from ..pool.record import OpenRecord

    settings = resolved(options)
    _record(name)
    record = OpenRecord(name)
    try:
        live = with_services(settings, lambda services: _live(services, settings, record))
        if live:
            raise click.ClickException(
                f"{len(live)} jobs of the pool {name!r} are active. End them first: covalent-awsbatch pools end {name}"
            )
        if not yes:
            click.confirm(f"Delete the pool {name!r} with all its results?", abort=True)
        deleted = with_client(settings, lambda client: _remove(client, settings, record))
        record.remove()
    finally:
        record.close()
    click.echo(f"Deleted the pool {name!r} with {deleted} results.")


async def _live(services: Services, settings: Any, record: Any) -> list[str]:
    from ..pool.stored_calls import live_job_ids

    return await live_job_ids(services, settings, record.record)


async def _remove(client: Client, settings: Any, record: Any) -> int:
    from ..pool.stored_calls import remove_results

    return await remove_results(client, settings, record)


def _record(name: str) -> PoolRecord:
    from ..pool.record import read_records

    records = {record.name: record for record in read_records()}
    if name not in records:
        raise click.ClickException(
            f"This user has no pool {name!r} on this machine; `covalent-awsbatch pools` lists those that are there."
        )
    return records[name]


def _summary(record: PoolRecord) -> dict[str, Any]:
    calls = {key for array in record.arrays.values() if not array.gone for key in array.call_keys()}
    jobs = sum(array.settled and not array.gone for array in record.arrays.values())
    since = datetime.fromtimestamp(record.since, UTC).isoformat(timespec="seconds")
    return {"name": record.name, "calls": len(calls), "jobs": jobs, "since": since}


def _jobs(record: PoolRecord, states: Any) -> list[dict[str, Any]]:
    jobs = []
    for array in record.arrays.values():
        if array.gone:
            continue
        state: JobState | None = states.get(array.handle.job_id) if array.settled else None
        unknown = "not at AWS Batch any more, or elsewhere" if array.settled else "its submission was cut off"
        jobs.append(
            {
                "job_id": array.handle.job_id if array.settled else None,
                "function": array.handle.name,
                "calls": array.size,
                "status": state.status if state else unknown,
                "containers": {name: number for name, number in (state.children if state else {}).items() if number},
            }
        )
    return jobs
