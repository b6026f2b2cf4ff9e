# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `report`: a page that shows a whole dispatch or pool."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .root import main, progress

if TYPE_CHECKING:
    from ..tasks.report_figures import ReportFigures


@main.command()
@click.argument("dispatch", metavar="ID")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              help="File of the page; - is standard output. Default: report-ID.html.")  # fmt: skip
@click.option("--open", "shows", is_flag=True, help="Open the page in a browser.")
@click.option("--serve", is_flag=True, help="Serve a page that follows running tasks, on this machine, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of --serve. Default: any free one.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON; docs/report.md has the schema.")
def report(dispatch: str, output: Path | None, shows: bool, serve: bool, port: int, as_json: bool) -> None:
    """Write a page about a dispatch or a pool: timeline, failures by cause, memory, what it used.

    ID is a Covalent dispatch, or the name of a pool (its newest run). The page is one file that loads nothing, so it
    can be mailed. It is made from this machine's record of tasks, without a request to AWS.

    \b
      covalent-awsbatch report 4c1f... --open
      covalent-awsbatch report simulation --serve
    """
    if sum((serve, as_json, output is not None)) > 1:
        raise click.UsageError("Give one of --serve, --json and --output.")
    from ..tasks.events import newest_record

    dispatch_id = newest_record(dispatch) or dispatch
    figures = _figures(dispatch_id)
    if serve:
        _serve(dispatch_id, port, shows=shows)
        return
    if as_json:
        click.echo(json.dumps(_to_json(figures), indent=2))
        return
    from .report_page import page

    if str(output) == "-":
        click.echo(page(figures), nl=False)
        return
    path = output or Path(f"report-{dispatch_id}.html")
    _write(path, page(figures))
    click.echo(path)
    if shows:
        webbrowser.open(path.resolve().as_uri())


def _figures(dispatch_id: str) -> ReportFigures:
    from ..tasks.events import read_events
    from ..tasks.report_figures import report_figures

    figures = report_figures(dispatch_id, read_events(dispatch_id))
    if not figures.tasks:
        raise click.ClickException(f"This machine has no record of `{dispatch_id}`.")
    return figures


def _write(path: Path, text: str) -> None:
    """Write a file that only this user may read: names and errors of tasks may be private."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _serve(dispatch_id: str, port: int, *, shows: bool) -> None:
    from .report_page import body, page
    from .report_server import ReportServer

    with ReportServer(
        port, lambda: page(_figures(dispatch_id), live=True), lambda: body(_figures(dispatch_id))
    ) as server:
        click.echo(server.url)
        sys.stdout.flush()
        progress("Whoever knows this address can read the report, on this machine. Ctrl-C ends it.")
        if shows:
            webbrowser.open(server.url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            progress("")


def _to_json(figures: ReportFigures) -> dict[str, object]:
    from dataclasses import asdict

    tasks = [
        {**{name: value for name, value in asdict(task).items() if name != "attempts"}, "state": task.state.value}
        | {"attempts": [asdict(each) for each in task.attempts.values()]}
        for task in figures.tasks
    ]
    return {
        "dispatch": figures.dispatch_id,
        "began": figures.began,
        "last_change": figures.ended,
        "over": figures.is_over,
        "use": asdict(figures.use()),
        "hints": figures.hints(),
        "failures": [asdict(group) for group in figures.failures()],
        "submissions": [asdict(each) for each in figures.submissions],
        "tasks": tasks,
    }
