# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The table of `jobs`, which fits 80 columns and uses more where they are there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from ..jobs.job_rows import STATES, JobRow
from ..tasks.jobs_view import counts, right_size, use
from .tables import duration, table

WIDE = 120  # columns from which all figures stand in the table
_STYLES = {"RUNNING": "green", "STARTING": "green", "RUNNABLE": "yellow", "SUCCEEDED": "dim", "FAILED": "red"}


def job_page(rows: Sequence[JobRow], *, now: float, with_use: bool) -> RenderableType:
    """Return the table of jobs with their numbers by state above, and what they used below."""
    by_state = counts(rows)
    head = Text(", ").join(_counted(state, by_state[state]) for state in STATES if state in by_state)
    foot: list[RenderableType] = ["", *use_lines(rows)] if with_use else []
    return Group(head, "", _Jobs(rows, now), *foot)


def use_lines(rows: Sequence[JobRow]) -> list[str]:
    """Return what jobs used, and where they asked for too much."""
    used_by = use(rows)
    if not used_by.jobs:
        return []
    gpus = f", {used_by.gpu_hours:.3g} GPU-hours" if used_by.gpu_hours else ""
    line = f"Used by {used_by.jobs} jobs: {used_by.vcpu_hours:.3g} vCPU-hours, {used_by.gib_hours:.3g} GiB-hours{gpus}."
    return [line, *right_size(rows)]


class _Jobs:
    """The jobs as a table of the console's width."""

    def __init__(self, rows: Sequence[JobRow], now: float) -> None:
        self._rows, self._now = rows, now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= WIDE:
            yield self._wide()
        else:
            yield from self._narrow()

    def _wide(self) -> RenderableType:
        right = frozenset({"AGE", "TRY", "VCPU", "GIB", "PEAK", "EXIT"})
        result = table(
            "JOB", "FUNCTION", "STATE", "AGE", "TRY", "VCPU", "GIB", "PEAK", "WHERE", "EXIT", "REASON", right=right
        )
        for row in self._rows:
            result.add_row(
                row.job_id, _function(row), _state(row), _age(row, self._now), _try(row), _vcpu(row),
                f"{row.memory_gib:.3g}", _peak(row), row.place, _exit(row), _reason(row),
            )  # fmt: skip
        for name in ("JOB", "AGE", "EXIT"):
            next(column for column in result.columns if column.header == name).no_wrap = True
        return result

    def _narrow(self) -> RenderResult:
        """Yield two lines for each job: the second one has what does not fit into the first, wrapped and indented."""
        states = [_state(row) for row in self._rows]
        ages = [_age(row, self._now) for row in self._rows]
        state_width, age_width = max(map(len, states)), max(map(len, ages))
        for row, state, age in zip(self._rows, states, ages, strict=True):
            exit_text = f"  exit {_exit(row)}" if _exit(row) else ""
            state.pad_right(state_width - len(state))
            yield Text.assemble((row.job_id, "bold"), "  ", state, f"  {age:>{age_width}}{exit_text}")
            peak = f", peak {_peak(row)} GiB" if _peak(row) else ""
            size = f"{_vcpu(row)} vCPU, {row.memory_gib:.3g} GiB{peak}"
            attempt = f"attempt {_try(row)}" if _try(row) else ""
            details = ", ".join(filter(None, (_function(row), size, attempt, row.place, _reason(row))))
            yield Padding(Text(details, "dim"), (0, 0, 0, 2))


def _counted(state: str, count: int) -> Text:
    return Text(f"{count} {state}", _STYLES.get(state, ""))


def _state(row: JobRow) -> Text:
    if row.size == 1:
        return Text(row.state, _STYLES.get(row.state, ""))
    return Text(", ").join(_counted(state, row.children[state]) for state in STATES if row.children.get(state))


def _function(row: JobRow) -> str:
    return row.function or row.name


def _age(row: JobRow, now: float) -> str:
    """Return how long an ended job ran, or how long ago an active one was created."""
    if row.ended and row.started and row.stopped:
        return duration(row.stopped - row.started)
    return duration((row.stopped or now) - row.created)


def _try(row: JobRow) -> str:
    return f"{row.attempts}/{row.max_attempts}" if row.size == 1 else ""


def _vcpu(row: JobRow) -> str:
    return f"{row.vcpu:g}" + (f" + {row.gpus} GPU" if row.gpus else "")


def _peak(row: JobRow) -> str:
    return "" if row.peak_gib is None else f"{row.peak_gib:.2g}"


def _exit(row: JobRow) -> str:
    return "" if row.exit_code is None else str(row.exit_code)


def _reason(row: JobRow) -> str:
    place = f"number {row.position} in the queue" if row.position else ""
    return ", ".join(filter(None, (place, row.reason)))
