# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Decide whether a failed task is submitted again, and with which settings. AWS Batch's own retries are separate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import JobFailed, OutOfMemory, Raised
from ..settings import Settings


@dataclass(frozen=True)
class Failure:
    """A task's error, and the class name of the exception that its function raised, if it did."""

    error: JobFailed
    exception_type: str | None = None


def again(settings: Settings, failures: Sequence[Failure], tries: int) -> Settings | None:
    """Return the settings for another submission after `tries`, or None. All failures must allow it."""
    if not failures:
        return None
    if all(isinstance(failure.error, OutOfMemory) for failure in failures):
        more = min(settings.memory * 2, settings.max_memory)
        return settings.model_copy(update={"memory": more}) if more > settings.memory else None
    named = tries < settings.retry_attempts and all(_is_named(settings, failure) for failure in failures)
    return settings if named else None


def _is_named(settings: Settings, failure: Failure) -> bool:
    """Return whether `retry_exceptions` names the exception, by its full name or by its class name."""
    if not isinstance(failure.error, Raised) or not failure.exception_type:
        return False
    names = {name.strip() for name in settings.retry_exceptions.split(",")} - {""}
    return bool(names & {failure.exception_type, failure.exception_type.rpartition(".")[2]})
