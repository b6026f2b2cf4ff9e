# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `clean`: delete resources that tasks left at AWS."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from .options import CONNECTION, showing
from .root import main, resolved, settings_options, with_services

if TYPE_CHECKING:
    from ..tasks.clean import Findings
    from ..tasks.leftovers import Leftover
    from ..tasks.services import Services

MIB = 1024 * 1024


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation; needed where there is no terminal.")
@click.option(
    "--older-than",
    type=float,
    default=24,
    show_default=True,
    help="Smallest age, in hours, of images and objects to delete.",
)
@showing(*CONNECTION, "s3_bucket_name", "ecr_repo_name", "batch_job_definition_name", "batch_queue")
@settings_options
def clean(yes: bool, older_than: float, **options: Any) -> None:
    """Delete images, objects and job definitions that tasks left at AWS.

    Only this plugin's are deleted: images tagged task-... or environment-..., objects below covalent-awsbatch/ and job
    definitions with its tag; and none that a job which has not ended needs. Results that were not read yet are deleted
    too: fetch them with `covalent-awsbatch collect` first.

    The Covalent server cleans up after each task. This command is for the leftovers of crashes and for images of
    environments, which are built again when needed.
    """
    from ..tasks.clean import find, remove

    settings = resolved(options)
    before = datetime.now(UTC) - timedelta(hours=older_than)

    async def look(services: Services) -> Findings:
        return await find(services, settings, before)

    async def delete(services: Services) -> None:
        await remove(services, settings, findings)

    findings = with_services(settings, look)
    _show("images", findings.images)
    _show("objects", findings.objects)
    _show("job definitions", findings.definitions)
    if findings.empty:
        click.echo("There is nothing to delete.")
    elif yes or (sys.stdin.isatty() and click.confirm("Delete these?")):
        with_services(settings, delete)
        click.echo("Deleted.")
    else:
        click.echo("Nothing was deleted. Add --yes to delete.")


def _show(kind: str, leftovers: list[Leftover]) -> None:
    if leftovers:
        size = sum(each.size for each in leftovers)
        click.echo(f"{len(leftovers)} {kind}, {size / MIB:.1f} MiB" if size else f"{len(leftovers)} {kind}")
    for each in leftovers[:10]:
        click.echo(f"  {each.label}")
    if len(leftovers) > 10:
        click.echo(f"  and {len(leftovers) - 10} more")
