# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The limits after which a pool ends its jobs: so many calls that fail by one cause, or so many vCPU-hours."""

from __future__ import annotations

import collections
import math
import re
from typing import Any

from ..errors import Cancelled, Raised
from .argument_checks import check_count
from .call import CallEnd

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_RAISED = re.compile(r"raised (?:[\w<>]+\.)*(\w+)\.$")


def cause_of(end: CallEnd) -> str:
    """Return the class name of a failed call's error, and of the exception that the function raised."""
    failed = end.failed
    raised = _RAISED.search(failed.happened) if isinstance(failed, Raised) else None
    return raised[1] if raised else type(failed).__name__


class Fuse:
    """Counts failed calls by cause. `halt_after` is a number of calls or a share such as "5%", None for no limit.

    `max_vcpu_hours` is the limit of the time for which containers ran, times their vCPUs; None for no limit.
    """

    def __init__(self, halt_after: Any, max_vcpu_hours: Any) -> None:
        self._most, self._share, self._max_hours = math.inf, 0.0, math.inf
        if isinstance(halt_after, str):
            share = _PERCENT.fullmatch(halt_after)
            if not share or not 0 < float(share[1]) <= 100:
                raise ValueError(f'halt_after must be a number of calls or a share such as "5%", not {halt_after!r}.')
            self._share = float(share[1]) / 100
        elif halt_after is not None:
            check_count("halt_after", halt_after)
            self._most = halt_after
        if max_vcpu_hours is not None:
            if isinstance(max_vcpu_hours, bool) or not isinstance(max_vcpu_hours, int | float):
                raise TypeError(f"max_vcpu_hours must be None or a number of hours, not {max_vcpu_hours!r}.")
            if not max_vcpu_hours > 0:
                raise ValueError(f"max_vcpu_hours must be above 0, not {max_vcpu_hours}.")
            self._max_hours = max_vcpu_hours
        self._causes = collections.Counter[str]()
        self._hours = 0.0

    @property
    def limits_hours(self) -> bool:
        """True if there is a limit of vCPU-hours."""
        return self._max_hours < math.inf

    def failed(self, end: CallEnd, calls: int) -> str:
        """Count a failed call of a pool with so many `calls`; return why all others shall end, "" if they go on."""
        if isinstance(end.failed, Cancelled):
            return ""
        cause = cause_of(end)
        self._causes[cause] += 1
        if self._causes[cause] < (math.ceil(self._share * calls) if self._share else self._most):
            return ""
        return f"{self._causes[cause]} of {calls} calls ended with {cause}, which is the limit halt_after"

    def ran(self, vcpus: float, seconds: float) -> str:
        """Count the time of so many vCPUs; return why all calls shall end, "" if they go on."""
        self._hours += vcpus * seconds / 3600
        if self._hours < self._max_hours:
            return ""
        return f"The containers ran for {self._hours:.4g} vCPU-hours, which is the limit max_vcpu_hours"

    def reset(self) -> None:
        """Count from 0 again."""
        self._causes.clear()
        self._hours = 0.0
