# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether a task that failed is submitted anew, and with which settings. AWS Batch's own retries are in `jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import JobFailed, OutOfMemory, Raised
from ..settings import Settings


@dataclass(frozen=True)
class Failure:
    """One task's error, and the name of the exception that its function raised, where it did."""

    error: JobFailed
    exception_type: str | None = None


def again(settings: Settings, failures: Sequence[Failure], tries: int) -> Settings | None:
    """The settings for another submission after `tries`, None when this was the last. All failures must allow it."""
    if not failures:
        return None
    if all(isinstance(failure.error, OutOfMemory) for failure in failures):
        more = min(settings.memory * 2, settings.max_memory)
        return settings.model_copy(update={"memory": more}) if more > settings.memory else None
    named = tries < settings.retry_attempts and all(_is_named(settings, failure) for failure in failures)
    return settings if named else None


def _is_named(settings: Settings, failure: Failure) -> bool:
    """By its full name, or by the class's alone."""
    if not isinstance(failure.error, Raised) or not failure.exception_type:
        return False
    names = {name.strip() for name in settings.retry_exceptions.split(",")} - {""}
    return bool(names & {failure.exception_type, failure.exception_type.rpartition(".")[2]})
