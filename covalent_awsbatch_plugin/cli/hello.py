# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Commands about one task: show its submission, or run a trial task."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from ..core.covalent_config import config_file, section
from ..runner.protocol.envelope import STDERR, STDOUT
from ..settings import Settings
from .root import main, progress, resolved, settings_options, with_client

if TYPE_CHECKING:
    from ..tasks.client import Client
    from ..tasks.results import NodeResult

OUTPUT_LINES = 40


@main.command()
@click.option("--settings", "only_settings", is_flag=True, help="Only the settings, each with the place that gives it.")
@click.option("--json", "as_json", is_flag=True, help="With --settings: print JSON, value and origin by name.")
@settings_options
def explain(only_settings: bool, as_json: bool, **options: Any) -> None:
    """Show what one task would send: layers with sizes, job definition, submission.

    Nothing is sent, and no credentials are needed. Settings come from [executors.awsbatch] and from the options here.
    """
    if as_json and not only_settings:
        raise click.UsageError("--json needs --settings.")
    settings = resolved(options)
    if only_settings:
        _show_settings(settings, options, as_json=as_json)
        return
    from ..tasks.explain import explanation

    click.echo(explanation(settings))


def _show_settings(settings: Settings, options: dict[str, Any], *, as_json: bool) -> None:
    """Print each setting with its origin; passwords in URLs are left out."""
    from ..core.url_passwords import without_passwords

    in_file = section()
    origins = {
        name: "command line" if options.get(name) is not None else str(config_file()) if name in in_file else "default"
        for name in Settings.model_fields
    }
    if as_json:
        values = {name: without_passwords(value) if isinstance(value, str) else value for name, value in settings}
        click.echo(json.dumps({name: {"value": values[name], "origin": origins[name]} for name in values}, indent=2))
        return
    from .tables import console, table

    rows = table("SETTING", "VALUE", "FROM")
    for name, value in settings:
        rows.add_row(escape(name), escape(without_passwords(repr(value))), escape(origins[name]))
    console().print(rows)


@main.command()
@settings_options
def hello(**options: Any) -> None:
    """Run one small task with these settings and print the time of each step."""
    settings = resolved(options)
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-") as folder:
        with_client(settings, lambda client: _hello(client, settings, Path(folder)))


async def _hello(client: Client, settings: Settings, folder: Path) -> None:
    from ..tasks.inflight import Task
    from ..tasks.staging import stage_call, value_of

    def greeting() -> str:  # local, so that it is pickled by value: the image does not have this module
        import platform

        return f"Hello from Python {platform.python_version()} on {platform.machine()}!"

    dispatch = f"hello-{uuid.uuid4()}"
    say = _Stopwatch()
    group = stage_call(greeting, (), {}, folder, dispatch_id=dispatch, node_id=0)
    say("Building the image, pushing it, submitting ...")
    task = Task.of(group)
    handle = await client.submit(settings, task)
    say(f"Submitted job {handle.job_id} with image {handle.image}. Waiting for its end ...")
    ended = await client.wait(settings, handle, task)
    say("The job has ended. Reading the result ...")
    (result,) = await client.results(settings, ended, group.node_ids, folder)
    if result.error:
        _show_output(result)
        raise result.error
    say(f"Result: {value_of(result)}")


def _show_output(result: NodeResult) -> None:
    """Print what the task printed, or the end of its log, to standard error: the folder of its files is deleted."""
    for name in (STDOUT, STDERR):
        if name in result.files and (text := result.files[name].read_text(errors="replace").strip()):
            progress(f"The last lines of its {name}:\n" + "\n".join(text.splitlines()[-OUTPUT_LINES:]))


class _Stopwatch:
    """Prints lines with the seconds since its creation."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f} s  {text}")
