# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `check`: prove with small jobs that an account works, and where AWS differs from what is expected."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..check import plan
from ..settings import Settings
from .options import CONNECTION, NAMES, showing
from .root import main, progress, resolved, settings_options

if TYPE_CHECKING:
    from ..check.run_state import Result, RunState
    from ..check.sequence import Run

PATIENCE_S = 1800.0
STOPPED = 130  # as a shell says it of Ctrl-C
_MARKS = {"ok": ("ok  ", "green"), "wrong": ("BAD ", "red"), "unknown": ("?   ", "yellow")}


@main.command()
@click.option("--only", multiple=True, help=f"Make these checks alone: {', '.join(plan.NAMES)}.")
@click.option("--yes", is_flag=True, help="Do not ask before jobs are run.")
@click.option("--again", is_flag=True, help="Begin anew instead of going on with a run that was stopped.")
@click.option("--json", "record", type=click.Path(dir_okay=False, path_type=Path), help="Write a record of the run,"
              " without names and ids of the account, to this file.")  # fmt: skip
@click.option("--patience", type=click.FloatRange(1, 86_400), default=PATIENCE_S, show_default=True,
              help="Longest time, in seconds, that one job may take to start and to end.")  # fmt: skip
@showing(*CONNECTION, *NAMES, "vcpu", "memory", "container_image_uri", "poll_freq")
@settings_options
def check(only: Sequence[str], yes: bool, again: bool, record: Path | None, patience: float, **options: Any) -> None:
    """Run small jobs that end in every way, and compare what AWS does with what is expected.

    Says first what that uses, and asks. Each check has one line with its evidence. A run that was stopped goes on
    where it stopped; Ctrl-C leaves no job running and nothing stored.

    \b
      covalent-awsbatch check
      covalent-awsbatch check --only task,array
      covalent-awsbatch check --yes --json record.json    # the record can be sent to the project: docs/check.md

    Exit codes: 0 no check failed, 1 a check failed, 2 the command can't begin, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    from ..check.run_state import run_state

    settings = resolved(options)
    chosen = plan.selection(only)
    state = run_state(settings, [each.name for each in chosen], again=again)
    trial = plan.trial_settings(settings, state.run)
    _agree([each for each in chosen if each.name not in state.results], trial, yes=yes)
    if record is not None:
        _writable(record)
    results = _results(_run(state, trial, settings, patience), chosen, state)
    if record is not None:
        _write(record, state, results, settings, trial, chosen)
    state.forget()
    sys.exit(_summary(results))


def _agree(open_checks: Sequence[plan.Check], trial: Settings, *, yes: bool) -> None:
    """Say what the checks use, and ask. Exits with 2 where nobody can be asked."""
    usage = plan.usage(open_checks, trial)
    progress(usage.text())
    if yes or not usage.containers:
        return
    if not sys.stdin.isatty():
        progress("Error: these jobs cost money, and standard input is no terminal to ask at. Give --yes to run them.")
        sys.exit(2)
    click.confirm("Run them?", abort=True, err=True)


def _run(state: RunState, trial: Settings, settings: Settings, patience: float) -> Run:
    from ..check.sequence import Run

    state.save()  # before anything is sent, so that a run that is killed leaves nothing unknown
    if state.resumed:
        progress(f"The run of {state.began} goes on; --again begins anew.")
        for result in state.results.values():
            _show(result)
    return Run(state, trial, settings, patience, _show, progress)


def _results(run: Run, chosen: Sequence[plan.Check], state: RunState) -> list[Result]:
    """Run the checks; SIGINT and SIGTERM stop them in order, a second one at once."""
    import asyncio

    signals: list[int] = []

    async def whole() -> list[Result]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if signals:
                os._exit(128 + number)
            signals.append(number)
            progress("Stopping: jobs are ended, and what they needed is deleted. A second signal stops at once.")
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        if state.resumed:  # a run that was killed has left something
            await run.tidy()
        return await run.checks(chosen)

    try:
        return asyncio.run(whole())
    except asyncio.CancelledError:
        progress("Stopped. `covalent-awsbatch check` with the same options goes on here.")
        sys.exit(128 + signals[0] if signals else STOPPED)


def _show(result: Result) -> None:
    mark, color = _MARKS[result.state]
    click.echo(f"{click.style(mark, fg=color)} {result.name}: {result.text}")
    for line in result.advice.splitlines():
        click.echo(f"       {line}")


def _writable(path: Path) -> None:
    """Exit with 2 if the record can't be written, before anything is run."""
    try:
        path.open("a").close()
    except OSError as error:
        progress(f"Error: the record can't be written to {path}: {error.strerror}. Give --json another file.")
        sys.exit(2)


def _write(
    path: Path,
    state: RunState,
    results: list[Result],
    settings: Settings,
    trial: Settings,
    chosen: Sequence[plan.Check],
) -> None:
    from ..check.run_record import own_names, run_record

    names = own_names(trial, state.account, state.caller)
    for kind, own in own_names(settings).items():
        names[kind] += own
    body = run_record(state, results, trial, plan.usage(chosen, trial), names)
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    progress(f"The record is in {path}. Look through it before you send it.")


def _summary(results: list[Result]) -> int:
    wrong = [result.name for result in results if result.state == "wrong"]
    unknown = [result.name for result in results if result.state == "unknown"]
    ok = len(results) - len(wrong) - len(unknown)
    parts = [f"{ok} checks are ok", *([f"not made: {', '.join(unknown)}"] if unknown else [])]
    click.echo("; ".join([*parts, *([f"failed: {', '.join(wrong)}"] if wrong else [])]) + ".")
    return int(bool(wrong))
