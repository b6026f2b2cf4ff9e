# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line: one file for each group of commands. Covalent is not imported, because that takes a second."""

from __future__ import annotations

from . import (  # noqa: F401 - each adds its commands to `main`
    check,
    clean,
    completion,
    doctor,
    env,
    hello,
    iam,
    infra,
    jobs,
    local,
    logs,
    pools,
    reap,
    replay,
    report,
    why,
)
from .root import main

__all__ = ["main"]
