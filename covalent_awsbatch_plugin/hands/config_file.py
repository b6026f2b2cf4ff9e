# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's config file, read without importing Covalent."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tomlkit
from filelock import FileLock

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
        raise SettingError(
            f"Covalent's config file {path} can't be read: {error}.", advice="Mend or remove it."
        ) from error
    return dict(config.get("executors", {}).get("awsbatch", {}))


def write_section(values: Mapping[str, Any], drop: Collection[str] = ()) -> None:
    """Sets keys of `[executors.awsbatch]`, and drops some; everything else in the file stays, comments too."""
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=10):  # the lock that Covalent takes
        document = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
        executors = document.setdefault("executors", tomlkit.table(is_super_table=True))
        ours = executors.setdefault("awsbatch", tomlkit.table())
        ours.update(values)
        for name in drop:
            ours.pop(name, None)
        fresh = path.with_suffix(".new")
        fresh.write_text(tomlkit.dumps(document))
        fresh.replace(path)
