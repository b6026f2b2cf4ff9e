# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's config file, read and written without importing Covalent."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .files import atomic_write

LOCK_SECONDS = 10  # Covalent holds it for milliseconds


def config_file() -> Path:
    """Where Covalent keeps its settings: `covalent/_shared_files/defaults.py` of 0.240 (its XDG name is misspelt)."""
    folder = os.environ.get("COVALENT_CONFIG_DIR")
    base = os.environ.get("XDG_CONFIG_DIR") or Path.home() / ".config"
    return Path(folder or Path(base) / "covalent") / "covalent.conf"


def section() -> dict[str, Any]:
    """The `[executors.awsbatch]` section, empty where there is none. Raises SettingError for a file that is no TOML.

    Covalent rewrites the file in place, under its lock: without it one may see half a file, and half may be TOML too.
    """
    path = config_file()
    if not path.exists():
        return {}
    try:
        with _lock(path) if os.access(path.parent, os.W_OK) else nullcontext():  # as it is, where no lock can be made
            return dict(tomllib.loads(path.read_text()).get("executors", {}).get("awsbatch", {}))
    except (OSError, AttributeError, TypeError, ValueError) as error:  # tomllib's is a ValueError
        raise _unreadable(path, error) from error


def write_section(values: Mapping[str, Any], drop: Collection[str] = ()) -> None:
    """Sets keys of `[executors.awsbatch]`, and drops some; everything else in the file stays, comments too.

    Raises SettingError when the file is no TOML or can't be written.
    """
    import tomlkit

    path = config_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            document = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
            executors = document.setdefault("executors", tomlkit.table(is_super_table=True))
            ours = executors.setdefault("awsbatch", tomlkit.table())
            ours.update(values)
            for name in drop:
                ours.pop(name, None)
            _replace(path, tomlkit.dumps(document))
    except (OSError, AttributeError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _lock(path: Path) -> Any:
    """The lock that Covalent takes. Waiting in vain raises an OSError."""
    from filelock import FileLock

    return FileLock(f"{path}.lock", timeout=LOCK_SECONDS)


def _replace(path: Path, text: str) -> None:
    """Write the file with its own permissions, and behind a link if it is one."""
    path = path.resolve()
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    atomic_write(path, text, mode=mode, durable=True)


def _unreadable(path: Path, error: Exception) -> SettingError:
    return SettingError(
        f"Covalent's config file {path} can't be used: {error}.",
        advice="Mend it, or move it away: Covalent makes a new one.",
    )
