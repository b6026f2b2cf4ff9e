# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch iam`: the policies, for whoever gives permissions in your company."""

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
    "deployer": "whoever runs `covalent-awsbatch infra`",
    "dispatcher": "whoever runs the Covalent server",
    "execution": "batch_execution_role_name",
    "job": "batch_job_role_name; add what your functions need",
}


@main.command()
@click.option("--role", type=click.Choice(list(MEANINGS)), help="One policy alone, as JSON. Without it: all of them.")
@click.option("--account", help="The account's id. Without it, AWS is asked who we are.")
@click.option("--partition", default="aws", show_default=True, help="aws, aws-cn or aws-us-gov.")
@showing("prefix", "compute", "new_network", "delete_data", *NAMES, *CONNECTION)
@option_for(*InfraSettings.model_fields)
@settings_options
def iam(role: str | None, account: str | None, partition: str, **options: Any) -> None:
    """Print the least that each role needs. Made from the settings: nothing in it is not asked for.

    The deployer's follows the options of `infra up`; the others follow [executors.awsbatch] and the options here.

    \b
      covalent-awsbatch iam                                   # all four, with who needs them
      covalent-awsbatch iam --role deployer --compute FARGATE --account 123456789012 --region eu-west-1
      aws iam put-role-policy --role-name server --policy-name covalent \\
          --policy-document "$(covalent-awsbatch iam --role dispatcher)"
    """
    from ..infra.stacks import stack

    told = {name: options.pop(name) for name in InfraSettings.model_fields}
    settings = resolved(options)
    region = settings.region
    if not account or not region:
        here = with_services(settings, lambda services: stack(services, ""))
        account, region = here.account, here.region
    made = infra_settings({name: value for name, value in told.items() if value is not None})
    for name, meaning in MEANINGS.items():
        if role in (None, name):
            found = configured_names(settings, account, region, partition)
            if role is None:
                click.echo(f"{name}: {meaning}")
            told_policy = _deployers(made, options, found) if name == "deployer" else policy(name, found)
            click.echo(json.dumps(told_policy, indent=2))


def _deployers(infra: InfraSettings, options: dict[str, Any], found: Names) -> dict[str, Any]:
    given = {name: options[name] for name in SETTINGS.values()}
    made = names(infra.prefix, found.account, found.region, given)
    return document(deployer(infra, Names.made(made, found.account, found.region, found.partition), made))
