# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's config file, read without importing Covalent."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from ..thought.errors import SettingError


def config_file() -> Path:
    """Where Covalent keeps its settings: `covalent/_shared_files/defaults.py` of 0.240 (its XDG name is misspelt)."""
    folder = os.environ.get("COVALENT_CONFIG_DIR")
    base = os.environ.get("XDG_CONFIG_DIR") or Path.home() / ".config"
    return Path(folder or Path(base) / "covalent") / "covalent.conf"


def section() -> dict[str, Any]:
    """The `[executors.awsbatch]` section, empty where there is none. Raises SettingError for a file that is no TOML."""
    path = config_file()
    try:
        config = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"Covalent's config file {path} can't be read: {error}.", advice="Mend or remove it.") from error
    return dict(config.get("executors", {}).get("awsbatch", {}))
