# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Waiting for futures of any executor, as `lithops.wait` does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent import futures
from typing import Any

from ..runner.lithops_names import ALL_COMPLETED, ALWAYS, ANY_COMPLETED
from .response_future import FuturesList, ResponseFuture, as_list


def wait(
    fs: ResponseFuture | Iterable[ResponseFuture],
    *_: Any,
    throw_except: bool = True,
    return_when: float = ALL_COMPLETED,
    timeout: float | None = None,
    **__: Any,
) -> tuple[FuturesList, FuturesList]:
    """Wait for futures and return those that have ended and the others.

    `return_when` is ALL_COMPLETED, ANY_COMPLETED, ALWAYS (no wait) or the percentage that must have ended. Raises the
    exception of the first call that fails, unless `throw_except` is False, and TimeoutError after `timeout` seconds.
    Lithops' other options have no meaning here.
    """
    waited = as_list(fs)
    if return_when not in (ANY_COMPLETED, ALWAYS) and not 0 < return_when <= 100:
        raise ValueError(
            f"return_when must be ALL_COMPLETED, ANY_COMPLETED, ALWAYS or a percentage, not {return_when}."
        )
    count = 1 if return_when == ANY_COMPLETED else math.ceil(return_when * len(waited) / 100)
    if waited and count:
        _until(waited, min(count, len(waited)), timeout, throw_except=throw_except)
    elif throw_except:
        _raise_first(waited)
    executor = next((fs.executor for fs in [fs] if isinstance(fs, FuturesList)), None)
    ended = [future.done for future in waited]
    return (
        FuturesList((f for f, is_done in zip(waited, ended, strict=True) if is_done), executor),
        FuturesList((f for f, is_done in zip(waited, ended, strict=True) if not is_done), executor),
    )


def _until(waited: list[ResponseFuture], most: int, timeout: float | None, *, throw_except: bool) -> None:
    pending = {future.settled: future for future in waited}
    try:
        for ended, settled in enumerate(futures.as_completed(pending, timeout), 1):
            if throw_except:
                _raise_first([pending[settled]])
            if ended == most:
                return
    except TimeoutError:
        raise TimeoutError(f"Of {len(waited)} calls, fewer than {most} have ended within {timeout} s.") from None


def _raise_first(ended: Iterable[ResponseFuture]) -> None:
    for future in ended:
        if future.error:
            future.result()


def get_result(
    fs: ResponseFuture | Iterable[ResponseFuture],
    *_: Any,
    throw_except: bool = True,
    timeout: float | None = None,
    **__: Any,
) -> list[Any]:
    """Wait for all futures and return their values. Without `throw_except`, the value of a failed call is None."""
    waited = as_list(fs)
    wait(waited, throw_except=throw_except, timeout=timeout)
    return values_of(waited, throw_except=throw_except)


def values_of(ended: Iterable[ResponseFuture], *, throw_except: bool) -> list[Any]:
    """Return the values of calls that have ended, with those of an inner map in the place of its call's."""
    values: list[Any] = []
    for future in ended:
        if not future.produces_output:
            continue
        values += future.values if future.success else [future.result(throw_except)]
    return values
