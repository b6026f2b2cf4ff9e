# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `iam`: print the IAM policies."""

from __future__ import annotations

import json
from typing import Any

import click

from ..iam import Names, document, policy
from ..infra.deployer_policy import deployer
from ..infra.stack_names import SETTINGS, configured_names, names
from ..infra.stack_settings import InfraSettings, infra_settings
from .options import CONNECTION, NAMES, option_for, showing
from .root import main, resolved, settings_options, with_services

MEANINGS = {
    "deployer": "the user of `covalent-awsbatch infra`",
    "dispatcher": "the user of the Covalent server",
    "execution": "the execution role, batch_execution_role_name",
    "job": "the job role, batch_job_role_name; add what your functions need",
}


@main.command()
@click.option("--role", type=click.Choice(list(MEANINGS)), help="Print this policy alone, as JSON. Default: all.")
@click.option("--account", help="Account id. Default: the account of the credentials.")
@click.option("--partition", default="aws", show_default=True, help="aws, aws-cn or aws-us-gov.")
@showing("prefix", "compute", "new_network", "delete_data", *NAMES, "kms_key", *CONNECTION)
@option_for(*InfraSettings.model_fields)
@settings_options
def iam(role: str | None, account: str | None, partition: str, **options: Any) -> None:
    """Print the least IAM policy of each role, made from the settings.

    The deployer's policy depends on the options of `infra up`; the others on [executors.awsbatch] and the options here.

    \b
      covalent-awsbatch iam                                   # all four, each with its role
      covalent-awsbatch iam --role deployer --compute FARGATE --account 123456789012 --region eu-west-1
      aws iam put-role-policy --role-name server --policy-name covalent \\
          --policy-document "$(covalent-awsbatch iam --role dispatcher)"
    """
    from ..infra.stacks import stack

    infra_options = {name: options.pop(name) for name in InfraSettings.model_fields}
    settings = resolved(options)
    region = settings.region
    if not account or not region:
        here = with_services(settings, lambda services: stack(services, ""))
        account, region = here.account, here.region
    infra = infra_settings({name: value for name, value in infra_options.items() if value is not None})
    for name, meaning in MEANINGS.items():
        if role in (None, name):
            resources = configured_names(settings, account, region, partition)
            if role is None:
                click.echo(f"{name}: {meaning}")
            statements = _deployers(infra, options, resources) if name == "deployer" else policy(name, resources)
            click.echo(json.dumps(statements, indent=2))


def _deployers(infra: InfraSettings, options: dict[str, Any], account_names: Names) -> dict[str, Any]:
    overrides = {name: options[name] for name in SETTINGS.values()}
    resources = names(infra.prefix, account_names.account, account_names.region, overrides)
    stack_names = Names.made(resources, account_names.account, account_names.region, account_names.partition)
    return document(deployer(infra, stack_names, resources))
