# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The folders in which this package keeps a user's files, by the XDG base directory specification."""

from __future__ import annotations

from pathlib import Path

from platformdirs.unix import Unix  # on macOS as well: Covalent's own folders are there too, and paths stay

APP = "covalent-awsbatch"


def data_dir() -> Path:
    """Return the folder of data that cannot be made again: `$XDG_DATA_HOME/covalent-awsbatch`."""
    return Unix(APP).user_data_path


def cache_home() -> Path:
    """Return the folder of data that can be made again: `$XDG_CACHE_HOME/covalent-awsbatch`."""
    return Unix(APP).user_cache_path


def state_dir() -> Path:
    """Return the folder of records that outlive a restart and that nothing depends on, below `$XDG_STATE_HOME`."""
    return Unix(APP).user_state_path
