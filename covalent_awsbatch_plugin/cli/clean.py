# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch clean`: what tasks left at AWS."""

from __future__ import annotations

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
@click.option("--yes", is_flag=True, help="Delete it. Without this, only say what would be deleted.")
@click.option(
    "--older-than", type=float, default=24, show_default=True, help="Hours that images and objects must be old."
)
@showing(*CONNECTION, "s3_bucket_name", "ecr_repo_name", "batch_job_definition_name", "batch_queue")
@settings_options
def clean(yes: bool, older_than: float, **options: Any) -> None:
    """Delete what tasks left: images, objects, job definitions. Only ours, and nothing that a living job needs.

    Ours are images tagged task-... or environment-..., objects below covalent-awsbatch/ and definitions with our tag.
    A server deletes what a task left once its result is read; this is for what crashes left behind, and for images of
    environments, which the next task makes again. Results that nobody collected yet are gone then:
    `covalent-awsbatch collect` fetches them first.
    """
    from ..tasks.clean import find, remove

    settings = resolved(options)
    before = datetime.now(UTC) - timedelta(hours=older_than)

    async def work(services: Services) -> Findings:
        found = await find(services, settings, before)
        if yes:
            await remove(services, settings, found)
        return found

    found = with_services(settings, work)
    _show("images", found.images)
    _show("objects", found.objects)
    _show("job definitions", found.definitions)
    if found.empty:
        click.echo("There is nothing to delete.")
    elif yes:
        click.echo("Deleted.")
    else:
        click.echo("Nothing was deleted. With --yes it is.")


def _show(kind: str, left: list[Leftover]) -> None:
    if left:
        size = sum(each.size for each in left)
        click.echo(f"{len(left)} {kind}, {size / MIB:.1f} MiB" if size else f"{len(left)} {kind}")
    for each in left[:10]:
        click.echo(f"  {each.label}")
    if len(left) > 10:
        click.echo(f"  and {len(left) - 10} more")
