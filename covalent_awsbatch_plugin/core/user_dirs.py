# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The folders in which this package keeps a user's files, by the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> Path:
    """Where this user's own files of ours lie: XDG's data folder."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "covalent-awsbatch"


def cache_home() -> Path:
    """Where this package keeps what outlives a restart."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "covalent-awsbatch"


def state_dir() -> Path:
    """Return the folder for records of what happened, which outlive a restart and which nothing depends on."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "covalent-awsbatch"
