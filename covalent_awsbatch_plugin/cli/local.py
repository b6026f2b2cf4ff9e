# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch local`: the offline AWS."""

from __future__ import annotations

import json
import sys

import click

from ..core.covalent_config import config_file, write_section
from .root import main, progress


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
    from .. import local as offline

    found = offline.up(name, engine, progress=progress)
    progress(f"The offline AWS `{name}` runs at {found.endpoint_url}, engine {found.engine}.")
    if write:
        write_section(found.section)
        progress(f"Its settings are written to [executors.awsbatch] of {config_file()}.")
    else:
        click.echo("[executors.awsbatch]")
        for key, value in found.section.items():
            click.echo(f"{key} = {json.dumps(value)}")


@local.command()
@click.option("--name", default="default", show_default=True, help="Which one.")
def down(name: str) -> None:
    """Stop it, with every job that still runs on it."""
    from .. import local as offline

    click.echo("Stopped." if offline.down(name, progress=progress) else f"No offline AWS `{name}` runs.")


@local.command()
@click.option("--name", default="default", show_default=True, help="Which one.")
def status(name: str) -> None:
    """Say whether it runs, and where. Exit code 1 when it does not."""
    from .. import local as offline

    found = offline.status(name)
    if found is None:
        click.echo(f"No offline AWS `{name}` runs; `covalent-awsbatch local up` starts one.")
        sys.exit(1)
    click.echo(f"The offline AWS `{name}` runs at {found.endpoint_url}, process {found.pid}.")
    click.echo(f"Registry {found.registry}, engine {found.engine}, Region {found.region}.")
