# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run Python functions on AWS Batch from a Covalent workflow."""

from .runner.on_stop import attempt, on_stop, state_prefix

__all__ = ["attempt", "on_stop", "state_prefix"]
__version__ = "1.0.0"

for _function in (attempt, on_stop, state_prefix):
    _function.__module__ = __name__  # by this name a pickle refers to it, and in a job's image there may be no other
