# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `doctor`: find what is missing before a task fails."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..core.covalent_config import section
from ..infra.checks import OK, UNKNOWN, WRONG, Finding
from .options import CONNECTION, NAMES, showing
from .root import main, resolved, settings_options, typos, with_services

if TYPE_CHECKING:
    from ..tasks.services import Services

_MARKS = {OK: ("ok  ", "green"), WRONG: ("BAD ", "red"), UNKNOWN: ("?   ", "yellow")}


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, for scripts.")
@showing(
    *CONNECTION, *NAMES, "sse", "kms_key", "vcpu", "memory", "num_gpus", "platform", "container_image_uri", "builder"
)
@settings_options
def doctor(as_json: bool, **options: Any) -> None:
    """Check everything that a task needs at AWS. Prints one line per check: ok, or the problem and its correction.

    Exit code 1 if a check fails; `?` marks a check that could not be made. One object of one byte is written to
    the bucket and deleted; nothing else is changed. Settings come from [executors.awsbatch]; an option tries another
    value.

    \b
      covalent-awsbatch doctor
      covalent-awsbatch doctor --num-gpus 1 --memory 60       # would such a task fit?
      covalent-awsbatch doctor --json | jq '.[] | select(.state == "wrong")'
    """
    settings = resolved(options, warn=False)
    findings = [Finding("settings", WRONG, sentence) for sentence in typos(section())]
    for finding in () if as_json else findings:
        _show(finding)

    async def look(services: Services) -> None:
        from ..infra.doctor import Doctor

        async for finding in Doctor(services, settings).findings():
            findings.append(finding)
            if not as_json:
                _show(finding)

    with_services(settings, look)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(int(any(finding.state == WRONG for finding in findings)))


def _show(finding: Finding) -> None:
    mark, color = _MARKS[finding.state]
    click.echo(f"{click.style(mark, fg=color)} {finding.name}: {finding.text}")
    for line in finding.advice.splitlines():
        click.echo(f"       {line}")
