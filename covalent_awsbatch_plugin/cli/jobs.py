# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `jobs`: a table of jobs with their states."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..settings import Settings
from .options import CONNECTION, showing
from .root import main, progress, resolved, settings_options, with_services
from .values import DURATION, STATES

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..jobs.job_rows import JobRow
    from ..tasks.jobs_view import Selection
    from ..tasks.services import Services

WATCH_S = 5.0  # between two looks: two requests each, and one for each 100 jobs


@main.command()
@click.option("--all", "ended", is_flag=True, help="Ended jobs, too; AWS Batch remembers them for a week.")
@click.option("--queue", help="Name or ARN of the job queue. Default: the setting batch_queue.")
@click.option("--everyone", "--any-host", is_flag=True, help="Jobs of other machines, and of other programs, too.")
@click.option("--state", type=STATES, default=frozenset(), help="Only these states, for example RUNNABLE,STARTING.")
@click.option("--since", type=DURATION, help="Only jobs that were created within this time, for example 2d.")
@click.option("--dispatch", default="", help="Only jobs of this Covalent dispatch.")
@click.option("--watch", is_flag=True, help="Show the table again every 5 s until no job is active, or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list; docs/jobs.md has the schema.")
@showing(*CONNECTION)
@settings_options
def jobs(
    ended: bool,
    queue: str | None,
    everyone: bool,
    state: frozenset[str],
    since: float | None,
    dispatch: str,
    watch: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """List jobs by state: those of this machine that have not ended, or others by options.

    \b
      covalent-awsbatch jobs                          # what runs, and what waits for what
      covalent-awsbatch jobs --all --since 2d         # ended ones too, with what they used
      covalent-awsbatch jobs --everyone --state RUNNABLE --watch
    """
    from ..tasks.jobs_view import Selection

    if watch and as_json:
        raise click.UsageError("--watch is for people, and --json for programs: give one.")
    if queue:
        options["batch_queue"] = queue
    settings = resolved(options)
    after = 0.0 if since is None else time.time() - since
    selection = Selection(ended, everyone, state, after, dispatch)
    if watch:
        with_services(settings, lambda services: _watch(services, settings, selection))
        return
    rows = with_services(settings, lambda services: _rows(services, settings, selection))
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=2))
    elif rows:
        _console().print(_page(rows, with_use=ended))
    else:
        progress("No job is active." if not ended and not state else "There is no such job.")


async def _rows(services: Services, settings: Settings, selection: Selection) -> list[JobRow]:
    from ..tasks.jobs_view import job_rows

    return await job_rows(services, settings, selection)


async def _watch(services: Services, settings: Settings, selection: Selection) -> None:
    """Show the table until none of its jobs is active; the last one, with their ends, stays on the screen.

    On no terminal only that is printed.
    """
    import asyncio
    from dataclasses import replace

    from rich.live import Live
    from rich.text import Text

    shown_ids: set[str] = set()
    with Live(Text("..."), console=_console(), auto_refresh=False) as live:
        while True:
            rows = await _rows(services, settings, replace(selection, ended=True, states=frozenset()))
            rows = [row for row in rows if row.job_id in shown_ids or selection.shows_state(row)]
            shown_ids |= {row.job_id for row in rows}
            live.update(_page(rows, with_use=False) if rows else Text("No job is active."), refresh=True)
            if all(row.ended for row in rows):
                return
            await asyncio.sleep(WATCH_S)


def _console() -> Any:
    from .tables import console

    return console()


def _page(rows: Sequence[JobRow], *, with_use: bool) -> RenderableType:
    from .job_table import job_page

    return job_page(rows, now=time.time(), with_use=with_use)
