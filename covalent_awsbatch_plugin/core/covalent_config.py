# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Read and write Covalent's config file without importing Covalent."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .files import atomic_write

LOCK_SECONDS = 10  # Covalent holds it for milliseconds
COVALENTS_OWN = ("log_stdout", "log_stderr", "retries")  # keys of an executor's section that Covalent itself reads


def config_file() -> Path:
    """Return the path of Covalent's config file.

    The rule is that of `covalent/_shared_files/defaults.py` of Covalent 0.240, whose XDG variable is misspelt.
    """
    folder = os.environ.get("COVALENT_CONFIG_DIR")
    base = os.environ.get("XDG_CONFIG_DIR") or Path.home() / ".config"
    return Path(folder or Path(base) / "covalent") / "covalent.conf"


def section() -> dict[str, Any]:
    """Return the `[executors.awsbatch]` section; an empty one if it is missing.

    Covalent rewrites the file in place under its lock: a reader without the lock may see half a file, which may be
    valid TOML. Raises SettingError for a file that is not TOML.
    """
    path = config_file()
    if not path.exists():
        return {}
    try:
        with _lock(path) if os.access(path.parent, os.W_OK) else nullcontext():  # without a lock in a read-only folder
            return dict(tomllib.loads(path.read_text()).get("executors", {}).get("awsbatch", {}))
    except (OSError, AttributeError, TypeError, ValueError) as error:  # tomllib's is a ValueError
        raise _unreadable(path, error) from error


def write_section(values: Mapping[str, Any]) -> None:
    """Set keys of `[executors.awsbatch]`; the rest of the file stays, comments too.

    A key can't be removed: Covalent's processes merge the file into what they read before, and write that.

    Raises SettingError if the file is not TOML or cannot be written.
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
            _replace(path, tomlkit.dumps(document))
    except (OSError, AttributeError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _lock(path: Path) -> Any:
    """Return the lock that Covalent takes. Waiting for it raises an OSError after LOCK_SECONDS."""
    from filelock import FileLock

    return FileLock(f"{path}.lock", timeout=LOCK_SECONDS)


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all, with its own permissions, and behind a link if it is one."""
    path = path.resolve()
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    atomic_write(path, text, mode=mode, durable=True)


def _unreadable(path: Path, error: Exception) -> SettingError:
    return SettingError(
        f"Covalent's config file {path} can't be read or written: {error}.",
        advice="Correct it, or move it away: Covalent creates a new one.",
    )
