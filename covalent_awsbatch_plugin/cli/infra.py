# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch infra`: from nothing to a working queue, and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..core.covalent_config import config_file
from ..infra.stack_settings import InfraSettings, infra_settings
from .options import CONNECTION, NAMES, option_for
from .root import main, progress, resolved, with_services

if TYPE_CHECKING:
    from ..infra.stacks import Stack


@main.group()
def infra() -> None:
    """Make all that jobs need in your AWS account, with Terraform; and remove it.

    A bucket, an image repository, a log group, roles, and a queue with machines that are there only while jobs run:
    idle it costs nothing but the storage of what tasks left.

    \b
      covalent-awsbatch infra plan                            # what would be made
      covalent-awsbatch infra up --compute FARGATE            # starts in half a minute
      covalent-awsbatch infra up --compute SPOT,EC2           # Spot, and on demand when there is none
      covalent-awsbatch infra up --gpu
      covalent-awsbatch infra up --platform linux/arm64
      covalent-awsbatch infra up --new-network                # where there is no default VPC
      covalent-awsbatch infra down                            # all but what holds data; --data: that too

    Whoever runs it needs the policy that `covalent-awsbatch iam --role deployer` prints. The state lies in this user's
    data folder, or in a bucket of yours with --state-bucket.
    """


_made = option_for(*InfraSettings.model_fields, *NAMES, "platform", *CONNECTION)
_found = option_for("prefix", *CONNECTION)
_state_bucket = click.option("--state-bucket", help="Bucket of yours, with versions, for Terraform's state.")


@infra.command()
@_state_bucket
@_made
def plan(state_bucket: str | None, **options: Any) -> None:
    """Show what `up` would make or change; make nothing."""
    _prepared(_stack(options), options, state_bucket)


@infra.command()
@_state_bucket
@click.option("--yes", is_flag=True, help="Do not ask.")
@_made
def up(state_bucket: str | None, yes: bool, **options: Any) -> None:
    """Make it, or change what is there. When all is up, [executors.awsbatch] of Covalent's config file leads to it.

    An interrupted run is simply run again. Options of the last run are remembered.
    """
    from ..infra.stacks import write_settings

    stack = _stack(options)
    changes = _prepared(stack, options, state_bucket)
    if changes and not yes:
        click.confirm("Make it?", abort=True)
    outputs = stack.terraform(progress).apply()
    write_settings(outputs["settings"])
    progress(f"[executors.awsbatch] of {config_file()} leads to it. Try it: covalent-awsbatch hello")
    progress(f"Who else runs a Covalent server with it needs the policy {outputs['dispatcher_policy_arn']}.")


@infra.command()
@click.option("--data", is_flag=True, help="Also what holds data: results, images, logs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_found
def down(data: bool, yes: bool, **options: Any) -> None:
    """Remove it. What holds data stays, unless --data says otherwise."""
    from ..infra.stacks import connection, forget_settings, held, is_kept

    stack = _stack(options)
    terraform = stack.terraform(progress)
    if not (there := terraform.resources()):
        raise click.ClickException(f"Nothing is known here of a stack {stack.prefix} in {_place(stack)}.")
    terraform.connect(connection(resolved(_connection(options))))
    settings = terraform.outputs().get("settings", {})
    full = with_services(resolved(_connection(options)), lambda services: held(services, settings)) if settings else {}
    for sentence in full.values():
        progress(f"{'Deleted too, with what lies in it' if data else 'Kept, for something lies in it'}: {sentence}.")
    if not yes:
        click.confirm(f"Remove {len(there)} things from {_place(stack)}?", abort=True)
    if data and full:
        terraform.let_go()
    terraform.destroy(lambda address: not data and is_kept(address, full))
    forget_settings(settings)
    if full and not data:
        progress("The rest is removed. `covalent-awsbatch infra down --data` removes what was kept.")
    else:
        terraform.forget()
        progress("All of it is removed.")


@infra.command()
@_found
def status(**options: Any) -> None:
    """Say what there is. Exit code 1 when nothing is."""
    stack = _stack(options)
    terraform = stack.terraform(progress)
    there = terraform.resources()
    if not there:
        click.echo(f"No stack {stack.prefix} in {_place(stack)}; `covalent-awsbatch infra up` makes one.")
        sys.exit(1)
    click.echo(f"The stack {stack.prefix} in {_place(stack)} has {len(there)} resources; state in {terraform.folder}.")
    for name, value in terraform.outputs().get("settings", {}).items():
        if value is not None:
            click.echo(f"{name} = {value}")


def _connection(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in CONNECTION}


def _stack(options: dict[str, Any]) -> Stack:
    """Whom we are, asked first: what is wrong with credentials shows in a sentence, before Terraform begins."""
    from ..infra.stacks import stack

    prefix = infra_settings({"prefix": options["prefix"]} if options["prefix"] else {}).prefix
    return with_services(resolved(_connection(options)), lambda services: stack(services, prefix))


def _place(stack: Stack) -> str:
    return f"account {stack.account}, Region {stack.region}"


def _prepared(stack: Stack, options: dict[str, Any], state_bucket: str | None) -> list[str]:
    """Terraform stands ready, and what it would do is shown."""
    from ..infra.stacks import COST, connection, variables
    from ..infra.terraform import StateBucket

    progress(f"Asking Terraform what is missing in {_place(stack)} ...")
    terraform = stack.terraform(progress)
    where = connection(resolved(_connection(options)))
    chosen = variables(stack, terraform.known(), options | where)
    state = StateBucket(state_bucket, stack.region, **where) if state_bucket else None
    terraform.prepare(chosen, state)
    changes = terraform.plan()
    for line in changes:
        click.echo(f"  {line}")
    progress(COST.format(**chosen) if changes else "There is nothing to change.")
    return changes
