# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run Python functions on AWS Batch, from a Covalent workflow and from plain Python."""

from typing import TYPE_CHECKING, Any

from .runner.on_stop import attempt, on_stop, state_prefix

if TYPE_CHECKING:
    from .pool.batch_pool import BatchPool

__all__ = ["BatchPool", "attempt", "on_stop", "state_prefix"]
__version__ = "1.0.0"

for _function in (attempt, on_stop, state_prefix):
    _function.__module__ = __name__  # by this name a pickle refers to it, and in a job's image there may be no other


def __getattr__(name: str) -> Any:
    """Import `BatchPool` where it is asked for: a job's image has the runner alone, and needs no AWS library."""
    if name != "BatchPool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .pool.batch_pool import BatchPool

    return BatchPool
