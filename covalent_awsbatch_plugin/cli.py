# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line's door. Covalent is imported only where its config is written: it takes a second."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .hands.config_file import config_file, section, write_section
from .local.background import LocalAWSFailed
from .story.explain import explanation
from .thought.errors import AWSBatchError
from .thought.settings import Given, Settings, resolve

if TYPE_CHECKING:
    from .story.postmortem import Finding


class _Letters(click.Group):
    """Errors of ours are told as the letters they are, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AWSBatchError as error:
            raise click.ClickException(error.letter()) from error
        except LocalAWSFailed as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Letters, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="covalent-awsbatch")
def main() -> None:
    """Run Python functions on AWS Batch from a Covalent workflow.

    \b
    Start here, without an AWS account:
      covalent-awsbatch local up --write   # a whole AWS on this machine
      covalent-awsbatch hello              # one task through it
    """


def _settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each setting, named, typed and described by the setting itself."""
    for name, field in reversed(Settings.model_fields.items()):
        option = click.option(f"--{name.replace('_', '-')}", name, default=None, help=field.description)
        command = option(command)
    return command


def _resolved(options: dict[str, Any]) -> Settings:
    known = {name: value for name, value in section().items() if name in Settings.model_fields}
    return resolve(Given(options, "on the command line"), Given(known, f"in [executors.awsbatch] of {config_file()}"))


@main.command()
@_settings_options
def explain(**options: Any) -> None:
    """Show what would be sent for one task: layers and sizes, job definition, submission.

    Nothing is sent, and no credentials are needed. Settings come from [executors.awsbatch] and from the options here.
    """
    click.echo(explanation(_resolved(options)))


@main.command()
@_settings_options
def hello(**options: Any) -> None:
    """Run one tiny task through whatever is configured, and say how long each step took."""
    asyncio.run(_hello(_resolved(options)))


async def _hello(settings: Settings) -> None:
    from .hands.aws import close_shared
    from .story import cloud, collecting, journey
    from .story.direct import stage_call, value_of
    from .story.inflight import Ticket

    dispatch = f"hello-{uuid.uuid4()}"
    say = _Stopwatch()
    try:
        with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-") as folder:
            group = stage_call(_greeting, (), {}, Path(folder), dispatch_id=dispatch, node_id=0)
            async with cloud(settings) as aws:
                say("Making the image, pushing it, submitting ...")
                handle = await journey.send(aws, settings, group, Ticket(((dispatch, 0),)))
                say(f"Job {handle.job_id} is submitted, with image {handle.image}. Waiting for its end ...")
                ended = await journey.watch(aws, settings, handle)
                say("It has ended. Reading the result ...")
                (result,) = await collecting.collect(aws, settings, ended, group.node_ids, Path(folder))
            if result.error:
                raise result.error
            say(f"It answers: {value_of(result)}")
    finally:
        await close_shared()


def _greeting() -> str:
    import platform

    return f"Hello from Python {platform.python_version()} on {platform.machine()}!"


class _Stopwatch:
    """Prints lines with the seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f} s  {text}")


@main.command()
@click.argument("job_id", required=False)
@click.option("--file", help="Read the record from this file instead; - is standard input.")
@click.option("--json", "as_json", is_flag=True, help="For programs: cause, blame, retry_may_help, says, advice.")
@_settings_options
def why(job_id: str | None, file: str | None, as_json: bool, **options: Any) -> None:
    """Say why a Batch job ended as it did, or does not start: any job, of this plugin or not.

    \b
      covalent-awsbatch why JOB_ID
      covalent-awsbatch why --file job.json    # what `aws batch describe-jobs` printed; no credentials needed

    Exit code 2 when the file holds no job record.
    """
    if (job_id is None) == (file is None):
        raise click.UsageError("Give either a JOB_ID or --file.")
    if file is not None:
        _why_records(file, as_json)
    elif job_id:
        finding = asyncio.run(_finding(_resolved(options), job_id))
        click.echo(json.dumps(finding.to_json(), indent=2) if as_json else finding.letter())


def _why_records(file: str, as_json: bool) -> None:
    from .thought.outcome import letter
    from .thought.records import Unreadable, records_of
    from .thought.why import why as outcome_of_record

    try:
        records = records_of(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except (Unreadable, OSError) as error:
        why_not = error.strerror if isinstance(error, OSError) else error
        click.echo(f"Error: {file} can't be read as a job record: {why_not}.", err=True)
        sys.exit(2)
    outcomes = [outcome_of_record(detail) for detail in records.details]
    if as_json:
        bodies = [outcome.to_json() for outcome in outcomes]
        click.echo(json.dumps(bodies[0] if records.one else bodies, indent=2))
    else:
        click.echo("\n\n".join(letter(outcome) for outcome in outcomes))


async def _finding(settings: Settings, job_id: str) -> Finding:
    from .hands.aws import close_shared
    from .story import cloud
    from .story.postmortem import ask

    try:
        async with cloud(settings) as aws:
            return await ask(aws, job_id)
    finally:
        await close_shared()


@main.group()
def local() -> None:
    """A whole AWS on this machine: S3, ECR, Batch, logs. No account, no Docker needed."""


@local.command()
@click.option(
    "--name", default="default", show_default=True, help="Several can run side by side under different names."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "process"]),
    default="auto",
    show_default=True,
    help="What runs the jobs: real containers, or plain processes (which isolate nothing).",
)
@click.option("--write", is_flag=True, help="Write the [executors.awsbatch] section into Covalent's config file.")
def up(name: str, engine: str, write: bool) -> None:
    """Start it in the background, and print the config section that uses it."""
    from . import local as offline

    found = offline.up(name, engine, progress=_progress)
    _progress(f"The offline AWS `{name}` runs at {found.endpoint_url}, engine {found.engine}.")
    if write:
        write_section(found.section)
        _progress(f"Its settings are written to [executors.awsbatch] of {config_file()}.")
    else:
        click.echo("[executors.awsbatch]")
        for key, value in found.section.items():
            click.echo(f"{key} = {json.dumps(value)}")


@local.command()
@click.option("--name", default="default", show_default=True, help="Which one.")
def down(name: str) -> None:
    """Stop it, with every job that still runs on it."""
    from . import local as offline

    click.echo("Stopped." if offline.down(name, progress=_progress) else f"No offline AWS `{name}` runs.")


@local.command()
@click.option("--name", default="default", show_default=True, help="Which one.")
def status(name: str) -> None:
    """Say whether it runs, and where. Exit code 1 when it does not."""
    from . import local as offline

    found = offline.status(name)
    if found is None:
        click.echo(f"No offline AWS `{name}` runs; `covalent-awsbatch local up` starts one.")
        sys.exit(1)
    click.echo(f"The offline AWS `{name}` runs at {found.endpoint_url}, process {found.pid}.")
    click.echo(f"Registry {found.registry}, engine {found.engine}, Region {found.region}.")


def _progress(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="covalent-awsbatch")
