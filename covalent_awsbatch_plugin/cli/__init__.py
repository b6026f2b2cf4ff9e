# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line: one file for each group of commands. Covalent is not imported, because that takes a second."""

from __future__ import annotations

from . import clean, doctor, env, hello, iam, infra, jobs, local, logs, why  # noqa: F401 - each adds its commands to `main`
from .root import main

__all__ = ["main"]
