# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `iam`: print the IAM policies."""

from __future__ import annotations

import json
from typing import Any

import click

from ..iam import MANAGED_CHARACTERS, Names, characters, document, policy, split
from ..infra.deployer_policy import deployer
from ..infra.stack_names import SETTINGS, configured_names, names
from ..infra.stack_settings import InfraSettings, infra_settings
from .options import CONNECTION, NAMES, option_for, showing
from .root import main, progress, resolved, settings_options, with_services

MEANINGS = {
    "deployer": "the user of `covalent-awsbatch infra`",
    "dispatcher": "the user of the Covalent server",
    "execution": "the execution role, batch_execution_role_name",
    "job": "the job role, batch_job_role_name; add what your functions need",
}


@main.command()
@click.option("--role", type=click.Choice(list(MEANINGS)), help="Print this policy alone, as JSON. Default: all.")
@click.option(
    "--part",
    type=click.IntRange(1),
    help="Print this part of a policy that is too long for one managed policy; needs --role.",
)
@click.option("--account", help="Account id. Default: the account of the credentials.")
@click.option("--partition", default="aws", show_default=True, help="aws, aws-cn or aws-us-gov.")
@showing("prefix", "compute", "new_network", "delete_data", *NAMES, "kms_key", *CONNECTION)
@option_for(*InfraSettings.model_fields)
@settings_options
def iam(role: str | None, part: int | None, account: str | None, partition: str, **options: Any) -> None:
    """Print the least IAM policy of each role, made from the settings.

    The deployer's policy depends on the options of `infra up`; the others on [executors.awsbatch] and the options here.

    IAM limits policies: a role takes 10,240 characters inline, a managed policy has at most 6,144, and a user takes
    2,048 inline. So give a role its policy inline, and a user managed policies.

    \b
      covalent-awsbatch iam                                   # all four, each with its role
      covalent-awsbatch iam --role deployer --compute FARGATE --account 123456789012 --region eu-west-1
      aws iam put-role-policy --role-name server --policy-name covalent \\
          --policy-document "$(covalent-awsbatch iam --role dispatcher)"
      aws iam create-policy --policy-name deployer-1 \\
          --policy-document "$(covalent-awsbatch iam --role deployer --part 1)"
      aws iam attach-user-policy --user-name me --policy-arn arn:aws:iam::123456789012:policy/deployer-1
    """
    from ..infra.stacks import stack

    infra_options = {name: options.pop(name) for name in InfraSettings.model_fields}
    settings = resolved(options)
    region = settings.region
    if not account or not region:
        here = with_services(settings, lambda services: stack(services, ""))
        account, region = here.account, here.region
    infra = infra_settings({name: value for name, value in infra_options.items() if value is not None})
    own_names = {name: getattr(settings, name) for name in SETTINGS.values() if options[name] is not None}
    for name, meaning in MEANINGS.items():
        if role in (None, name):
            resources = configured_names(settings, account, region, partition)
            if role is None:
                click.echo(f"{name}: {meaning}")
            whole = _deployers(infra, own_names, resources) if name == "deployer" else policy(name, resources)
            click.echo(json.dumps(_part(whole, part) if role else whole, indent=2))


def _part(policy_document: dict[str, Any], number: int | None) -> dict[str, Any]:
    """Return a part of a policy, by its number from 1. Tells on standard error of a policy that needs several."""
    parts = split(policy_document["Statement"])
    if number is None:
        if len(parts) > 1:
            progress(
                f"The policy has {characters(policy_document)} characters; a managed policy has at most"
                f" {MANAGED_CHARACTERS}. Attach it in {len(parts)} parts, with --part 1 to {len(parts)}, or give it"
                " to a role inline as it is."
            )
        return policy_document
    if number > len(parts):
        raise click.UsageError(f"The policy has {len(parts)} part{'s' * (len(parts) > 1)}.")
    return parts[number - 1]


def _deployers(infra: InfraSettings, overrides: dict[str, Any], account_names: Names) -> dict[str, Any]:
    resources = names(infra.prefix, account_names.account, account_names.region, overrides)
    stack_names = Names.made(resources, account_names.account, account_names.region, account_names.partition)
    return document(deployer(infra, stack_names, resources))
