# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The main command, the reporting of errors, and the settings of a command."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import __version__
from ..core.covalent_config import COVALENTS_OWN, config_file, section
from ..dependencies.relative_paths import anchored_existing
from ..errors import AWSBatchError
from ..local.background import LocalAWSFailed
from ..settings import Given, Settings, ignored_keys, place_of, resolve
from .options import Grouped, Sectioned

if TYPE_CHECKING:
    from ..tasks.client import Client
    from ..tasks.services import Services

T = TypeVar("T")
COMMAND_PATIENCE_S = 20


class _Subgroup(click.Group):
    command_class = Sectioned


class _ReportedErrors(Grouped):
    """Prints this package's errors without a traceback."""

    command_class = Sectioned
    group_class = _Subgroup

    def invoke(self, ctx: click.Context) -> Any:
        logging.getLogger("aiobotocore.credentials").setLevel(logging.ERROR)  # it logs the error that is raised, too
        try:
            return super().invoke(ctx)
        except AWSBatchError as error:
            place = place_of(str(error), f"{_place()}, or an option")
            raise click.ClickException("\n".join(filter(None, (str(error), place)))) from error
        except LocalAWSFailed as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_ReportedErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="covalent-awsbatch")
def main() -> None:
    """Run Python functions on AWS Batch from a Covalent workflow.

    \b
    Start here, without an AWS account:
      covalent-awsbatch local up --write   # an AWS on this machine
      covalent-awsbatch hello              # run one task on it
    """


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each setting."""
    for name, field in reversed(Settings.model_fields.items()):
        default = "" if field.default in ("", None) or field.default_factory else f"  [default: {field.default}]"
        text = f"{field.description}{default}"
        command = click.option(f"--{name.replace('_', '-')}", name, default=None, help=text)(command)
    return command


def resolved(options: dict[str, Any], *, warn: bool = True) -> Settings:
    """Return the settings: the command line's over those of Covalent's config file. Raises SettingError.

    Prints a warning for each key of the section that is no setting; `doctor` lists them itself.
    """
    values = section()
    for sentence in typos(values) if warn else ():
        progress(f"Warning: {sentence}")
    ours = {name: value for name, value in values.items() if name in Settings.model_fields}
    options = anchored_existing(options, Path.cwd())
    return resolve(Given(options, "on the command line"), Given(ours, f"in {_place()}"))


def typos(values: dict[str, Any]) -> list[str]:
    """Return a sentence for each key of the config section that is no setting."""
    return ignored_keys(values, COVALENTS_OWN, _place())


def _place() -> str:
    return f"[executors.awsbatch] of {config_file()}"


def with_client(settings: Settings, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run `work` on an event loop of its own, with a client that is closed after it."""
    import asyncio

    from ..aws.session import close_shared
    from ..tasks.client import connect

    async def run() -> T:
        try:
            async with connect(settings) as client:
                return await work(client)
        finally:
            await close_shared()

    return asyncio.run(run())


def with_services(settings: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    """Run `work` as `with_client` does, with the client's services alone.

    Somebody waits at a terminal: an outage is told after COMMAND_PATIENCE_S seconds, and the command can be repeated.
    """
    settings = settings.model_copy(update={"outage_patience": min(settings.outage_patience, COMMAND_PATIENCE_S)})
    return with_client(settings, lambda client: work(client.services))


def progress(text: str) -> None:
    """Print a line to standard error; standard output is for results."""
    click.echo(text, err=True)
