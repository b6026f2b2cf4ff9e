# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `why`: explain the end of any AWS Batch job."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .root import main, resolved, settings_options, with_services


@main.command()
@click.argument("job_id", required=False)
@click.option("--file", help="Read the job's record from this file; - is standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: cause, blame, retry_may_help, says, advice.")
@settings_options
def why(job_id: str | None, file: str | None, as_json: bool, **options: Any) -> None:
    """Explain why an AWS Batch job ended, or does not start. Works for any job, of this plugin or not.

    \b
      covalent-awsbatch why JOB_ID
      covalent-awsbatch why --file job.json    # output of `aws batch describe-jobs`; needs no credentials

    Exit code 2 if the file holds no job record.
    """
    if (job_id is None) == (file is None):
        raise click.UsageError("Give either a JOB_ID or --file.")
    if file is not None:
        _why_records(file, as_json)
    elif job_id:
        from ..tasks.why import ask

        finding = with_services(resolved(options), lambda services: ask(services, job_id))
        click.echo(json.dumps(finding.to_json(), indent=2) if as_json else finding.text())


def _why_records(file: str, as_json: bool) -> None:
    from ..jobs.outcomes.classify import why as outcome_of_record
    from ..jobs.outcomes.errors import error_text
    from ..jobs.outcomes.records import Unreadable, records_of

    try:
        records = records_of(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except (Unreadable, OSError) as error:
        why_not = error.strerror if isinstance(error, OSError) else error
        click.echo(f"Error: {file} can't be read as a job record: {why_not}.", err=True)
        sys.exit(2)
    outcomes = [outcome_of_record(detail) for detail in records.details]
    if as_json:
        bodies = [outcome.to_json() for outcome in outcomes]
        click.echo(json.dumps(bodies[0] if records.one else bodies, indent=2))
    else:
        click.echo("\n\n".join(error_text(outcome) for outcome in outcomes))
