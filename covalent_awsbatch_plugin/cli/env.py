# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Commands about the Python packages of the setting `environment`."""

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
    """Show and build what the setting `environment` adds to the image: packages, layers, own code.

    \b
      covalent-awsbatch env build --environment requirements.txt
      covalent-awsbatch env show --environment auto workflow.py

    With `auto`, SCRIPTS are searched for what their electrons refer to (without electrons: all of their functions).
    """


@env.command()
@_SCRIPTS
@settings_options
def show(scripts: tuple[Path, ...], **options: Any) -> None:
    """Show its packages and layers, with sizes, and the locally stored ones. Nothing is installed."""
    from ..tasks.dependency_report import Report

    click.echo(Report(resolved(options), scripts).listing())


@env.command()
@_SCRIPTS
@click.option("--refresh", is_flag=True, help="Resolve versions again, for requirements without exact versions.")
@click.option("--check", is_flag=True, help="Ask the repository which layers a push would upload.")
@settings_options
def build(scripts: tuple[Path, ...], refresh: bool, check: bool, **options: Any) -> None:
    """Build its layers now, so that the first task does not wait for them."""
    from ..tasks.dependency_report import Report, to_push

    began = time.monotonic()
    settings = resolved(options)
    report = Report(settings, scripts, anew=refresh, say=progress)
    layers, text = report.build()
    progress(f"Ready after {time.monotonic() - began:.1f} s.")
    click.echo(text)
    if check:
        click.echo(with_services(settings, lambda services: to_push(services, settings, layers)))


@env.command()
@_SCRIPTS
@settings_options
def explain(scripts: tuple[Path, ...], **options: Any) -> None:
    """Explain the source of each package and module, and the differences from this installation."""
    from ..tasks.dependency_report import Report

    click.echo(Report(resolved(options), scripts).why())


@env.command("prune")
@settings_options
def prune_store(**options: Any) -> None:
    """Delete local layers until they fit `max_cache_gib`, the least recently used first.

    Layers used within the last hour stay. Tasks do the same automatically; repositories at AWS are not changed.
    """
    from ..dependencies.store import LayerStore, prune

    store = LayerStore()
    pruned = prune(store, resolved(options).max_cache_gib * 1024**3)
    click.echo(f"Removed {pruned.entries} entries of {store.folder}, {pruned.freed / MIB:.1f} MiB.")
    click.echo(f"{pruned.left / MIB:.1f} MiB are left.")
