# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Commands about the environment that travels with tasks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from .root import main, progress, resolved, settings_options, with_services

MIB = 1024 * 1024
_SCRIPTS = click.argument("scripts", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))


@main.group()
def env() -> None:
    """What the setting `environment` means here. Packages, layers, own code.

    \b
      covalent-awsbatch env build --environment requirements.txt
      covalent-awsbatch env show --environment auto workflow.py

    With `auto`, SCRIPTS stand for the functions in them.
    """


@env.command()
@_SCRIPTS
@settings_options
def show(scripts: tuple[Path, ...], **options: Any) -> None:
    """Show what is in it, its sizes by package, and what is kept on this machine. Nothing is installed."""
    from ..tasks.dependency_report import Report

    click.echo(Report(resolved(options), scripts).shown())


@env.command()
@_SCRIPTS
@click.option("--refresh", is_flag=True, help="Resolve it anew: requirements without exact versions may have moved.")
@click.option("--check", is_flag=True, help="Ask the repository what a push would send.")
@settings_options
def build(scripts: tuple[Path, ...], refresh: bool, check: bool, **options: Any) -> None:
    """Make its layers now, so that the first task doesn't wait for them."""
    from ..tasks.dependency_report import Report, to_push

    began = time.monotonic()
    settings = resolved(options)
    report = Report(settings, scripts, anew=refresh, say=progress)
    layers, told = report.built()
    progress(f"Ready after {time.monotonic() - began:.1f} s.")
    click.echo(told)
    if check:
        click.echo(with_services(settings, lambda services: to_push(services, settings, layers)))


@env.command()
@_SCRIPTS
@settings_options
def explain(scripts: tuple[Path, ...], **options: Any) -> None:
    """Say where each package and module comes from, and how that differs from what is installed here."""
    from ..tasks.dependency_report import Report

    click.echo(Report(resolved(options), scripts).why())


@env.command("prune")
@settings_options
def prune_store(**options: Any) -> None:
    """Remove layers from this machine until they fit max_cache_gib, the longest unused first.

    What was used within the hour stays. Tasks do the same by themselves; repositories at AWS are not touched.
    """
    from ..dependencies.prune import prune
    from ..dependencies.store import LayerStore

    store = LayerStore()
    pruned = prune(store, resolved(options).max_cache_gib * 1024**3)
    click.echo(f"Removed {pruned.entries} of what was kept in {store.folder}, {pruned.freed / MIB:.1f} MiB.")
    click.echo(f"{pruned.left / MIB:.1f} MiB are left.")
