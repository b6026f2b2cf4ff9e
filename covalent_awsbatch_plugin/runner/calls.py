# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several calls of one function in one task, one after another. A call that fails does not end the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import traceback_text

Calls = Sequence[tuple[Sequence[Any], Mapping[str, Any]]]  # arguments and keyword arguments
Outcome = tuple[bytes, str]  # a plain tuple: its pickle names no class of the runner, which the client has elsewhere


def run_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the value of a call; a coroutine, of an `async def` function, is run to its end."""
    value = function(*args, **kwargs)
    if inspect.iscoroutine(value):
        import asyncio

        return asyncio.run(value)
    return value


def run_calls(function: Callable[..., Any], calls: Calls) -> list[Outcome]:
    """Call the function with each pair of arguments; return the outcomes in the same order.

    An outcome is the pickle of the value and "", or the pickle of the exception and the text of its traceback. The
    pickle is b"" where the exception can't be pickled.
    """
    return [_outcome(function, args, kwargs) for args, kwargs in calls]


def _outcome(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
    import cloudpickle

    try:
        return cloudpickle.dumps(run_call(function, args, kwargs)), ""
    except BaseException as error:  # noqa: BLE001 - sys.exit in one call is the end of that call alone
        name = getattr(function, "__name__", "call")
        return traceback_text.pickled(error) or b"", traceback_text.text(error, name, 0, "")
