# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command group `infra`: create and delete the AWS resources that jobs need."""

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
    """Create the AWS resources that jobs need, with Terraform, and delete them.

    They are a bucket, an image repository, a log group, roles, a job queue and compute environments. Instances exist
    only while jobs run; otherwise only stored data costs money.

    \b
      covalent-awsbatch infra plan                            # show the changes
      covalent-awsbatch infra up --compute FARGATE            # jobs start in half a minute
      covalent-awsbatch infra up --compute SPOT,EC2           # Spot, else On-Demand
      covalent-awsbatch infra up --gpu
      covalent-awsbatch infra up --platform linux/arm64
      covalent-awsbatch infra up --new-network                # if there is no default VPC
      covalent-awsbatch infra down                            # keeps data; --data deletes it too

    The deployer needs the policy that `covalent-awsbatch iam --role deployer` prints. The state is in this user's data
    folder, or in an S3 bucket with --state-bucket.
    """


_stack_options = option_for(*InfraSettings.model_fields, *NAMES, "platform", *CONNECTION)
_prefix_options = option_for("prefix", *CONNECTION)
_state_bucket = click.option("--state-bucket", help="S3 bucket for Terraform's state; it should keep versions.")


@infra.command()
@_state_bucket
@_stack_options
def plan(state_bucket: str | None, **options: Any) -> None:
    """Show what `up` would create or change; change nothing."""
    _prepared(_stack(options), options, state_bucket)


@infra.command()
@_state_bucket
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_stack_options
def up(state_bucket: str | None, yes: bool, **options: Any) -> None:
    """Create the stack, or change it to match the options.

    Then write the names of its resources to [executors.awsbatch] of Covalent's config file. After an interruption, run
    the command again. Options of the last run are remembered.
    """
    from ..infra.stacks import write_settings

    stack = _stack(options)
    changes = _prepared(stack, options, state_bucket)
    if changes and not yes:
        click.confirm("Create and change these?", abort=True)
    outputs = stack.terraform(progress).apply()
    write_settings(outputs["settings"])
    progress(f"[executors.awsbatch] of {config_file()} names the stack's resources. Try: covalent-awsbatch hello")
    progress(f"Other users of a Covalent server with this stack need the policy {outputs['dispatcher_policy_arn']}.")


@infra.command()
@click.option("--data", is_flag=True, help="Also delete data: results, images, logs.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_prefix_options
def down(data: bool, yes: bool, **options: Any) -> None:
    """Delete the stack. A bucket, repository or log group with data in it stays, unless --data is given."""
    from ..infra.stacks import connection, forget_settings, held, is_kept

    stack = _stack(options)
    terraform = stack.terraform(progress)
    if not (there := terraform.resources()):
        raise click.ClickException(f"This machine has no state of a stack {stack.prefix} in {_place(stack)}.")
    terraform.connect(connection(resolved(_connection(options))))
    settings = terraform.outputs().get("settings", {})
    full = with_services(resolved(_connection(options)), lambda services: held(services, settings)) if settings else {}
    for sentence in full.values():
        progress(f"{'Will be deleted with its data' if data else 'Will be kept with its data'}: {sentence}.")
    if not yes:
        click.confirm(f"Delete {len(there)} resources of {_place(stack)}?", abort=True)
    if data and full:
        terraform.let_go()
    terraform.destroy(lambda address: not data and is_kept(address, full))
    forget_settings(settings)
    if full and not data:
        progress("The other resources are deleted. `covalent-awsbatch infra down --data` deletes these too.")
    else:
        terraform.forget()
        progress("The stack is deleted.")


@infra.command()
@_prefix_options
def status(**options: Any) -> None:
    """Show the stack's resources and settings. Exit code 1 if there is no stack."""
    stack = _stack(options)
    terraform = stack.terraform(progress)
    there = terraform.resources()
    if not there:
        click.echo(f"No stack {stack.prefix} in {_place(stack)}; `covalent-awsbatch infra up` creates one.")
        sys.exit(1)
    click.echo(f"The stack {stack.prefix} in {_place(stack)} has {len(there)} resources; state in {terraform.folder}.")
    for name, value in terraform.outputs().get("settings", {}).items():
        if value is not None:
            click.echo(f"{name} = {value}")


def _connection(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in CONNECTION}


def _stack(options: dict[str, Any]) -> Stack:
    """Return the stack, with the account of the credentials, so that wrong credentials show before Terraform starts."""
    from ..infra.stacks import stack

    prefix = infra_settings({"prefix": options["prefix"]} if options["prefix"] else {}).prefix
    return with_services(resolved(_connection(options)), lambda services: stack(services, prefix))


def _place(stack: Stack) -> str:
    return f"account {stack.account}, Region {stack.region}"


def _prepared(stack: Stack, options: dict[str, Any], state_bucket: str | None) -> list[str]:
    """Prepare Terraform's folder; print and return the planned changes."""
    from ..infra.stacks import COST, connection, variables
    from ..infra.terraform import StateBucket

    progress(f"Terraform compares the stack with {_place(stack)} ...")
    terraform = stack.terraform(progress)
    where = connection(resolved(_connection(options)))
    values = variables(stack, terraform.known(), options | where)
    state = StateBucket(state_bucket, stack.region, **where) if state_bucket else None
    terraform.prepare(values, state)
    changes = terraform.plan()
    for line in changes:
        click.echo(f"  {line}")
    progress(COST.format(**values) if changes else "Nothing to change.")
    return changes
