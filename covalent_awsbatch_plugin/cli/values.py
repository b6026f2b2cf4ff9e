# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Types of options: durations with units, regular expressions, and states of jobs."""

from __future__ import annotations

import re
from typing import Any

import click

from ..core.units import seconds_of
from ..jobs.job_rows import STATES as JOB_STATES


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A time with a unit, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Fails for a text without a number, or with another unit."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return seconds_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Pattern(click.ParamType):  # type: ignore[type-arg]
    """A regular expression of Python."""

    name = "regex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> re.Pattern[str]:
        """Return the compiled expression."""
        if isinstance(value, re.Pattern):
            return value
        try:
            return re.compile(value)
        except re.error as error:
            self.fail(f"{value!r} is no regular expression: {error}.", param, ctx)


class States(click.ParamType):  # type: ignore[type-arg]
    """Names of AWS Batch's job states, separated by commas."""

    name = "states"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        """Return the states in capitals."""
        if isinstance(value, frozenset):
            return value
        states = frozenset(each.strip().upper() for each in value.split(",") if each.strip())
        if unknown := sorted(states - set(JOB_STATES)):
            self.fail(f"{unknown[0]} is no state; there are {', '.join(JOB_STATES)}.", param, ctx)
        return states


DURATION, PATTERN, STATES = Duration(), Pattern(), States()
