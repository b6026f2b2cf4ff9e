# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command group `local`: the offline AWS."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..core.covalent_config import config_file, section, write_section
from ..settings import defaults
from .root import main, progress


@main.group()
def local() -> None:
    """Run an AWS on this machine: S3, ECR, Batch, logs. Needs no account and no Docker engine."""


@local.command()
@click.option(
    "--name", default="default", show_default=True, help="Name of the offline AWS; several can run side by side."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "process"]),
    default="auto",
    show_default=True,
    help="Run jobs in Docker containers, or as plain processes without isolation.",
)
@click.option(
    "--enforce-iam/--no-enforce-iam",
    default=True,
    show_default=True,
    help="Enforce IAM: tasks may do what `covalent-awsbatch iam` prints for the job role.",
)
@click.option("--write", is_flag=True, help="Write [executors.awsbatch] of Covalent's config file.")
def up(name: str, engine: str, enforce_iam: bool, write: bool) -> None:
    """Start it in the background and print the config section that uses it."""
    from .. import local as offline

    running = offline.up(name, engine, progress=progress, enforce_iam=enforce_iam)
    progress(f"The offline AWS `{name}` runs at {running.endpoint_url}, engine {running.engine}.")
    if write:
        before = section()
        if not _is_local(before):
            offline.write_earlier_section({key: before.get(key) for key in running.section})
            if before:
                progress("The earlier settings of [executors.awsbatch] come back with `covalent-awsbatch local down`.")
        write_section(running.section)
        progress(f"[executors.awsbatch] of {config_file()} has its settings.")
    else:
        click.echo("[executors.awsbatch]")
        for key, value in running.section.items():
            click.echo(f"{key} = {json.dumps(value)}")


@local.command()
@click.option("--name", default="default", show_default=True, help="Name of the offline AWS.")
def down(name: str) -> None:
    """Stop it and every job that runs on it.

    If [executors.awsbatch] names it, the section gets its earlier settings back.
    """
    from .. import local as offline

    if _is_local(section(), name):
        earlier = offline.read_earlier_section() or dict.fromkeys(section())
        write_section(defaults(earlier) | {key: value for key, value in earlier.items() if value is not None})
        offline.forget_earlier_section()
        progress(f"[executors.awsbatch] of {config_file()} has its earlier settings.")
    click.echo("Stopped." if offline.down(name, progress=progress) else f"No offline AWS `{name}` is running.")


def _is_local(settings: Mapping[str, Any], name: str = "") -> bool:
    """Return whether settings lead to the offline AWS of this name, or to any without a name."""
    from .. import local as offline

    folder = Path(str(settings.get("credentials", ""))).expanduser().parent
    return folder == offline.home() / name if name else folder.parent == offline.home()


@local.command()
@click.option("--name", default="default", show_default=True, help="Name of the offline AWS.")
def status(name: str) -> None:
    """Show whether it runs, and its addresses. Exit code 1 if it does not."""
    from .. import local as offline

    running = offline.status(name)
    if running is None:
        click.echo(f"No offline AWS `{name}` is running; `covalent-awsbatch local up` starts one.")
        sys.exit(1)
    click.echo(f"The offline AWS `{name}` runs at {running.endpoint_url}, process {running.pid}.")
    click.echo(f"Registry {running.registry}, engine {running.engine}, Region {running.region}.")
