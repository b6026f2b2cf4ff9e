# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The folders of sys.path from which this process imports the user's own modules, not an installer's.

Only the process that pickles a function knows them. A pickle need not name its script: cloudpickle 3.1.3 does not.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path
from types import FunctionType
from typing import Any

_INSTALLED = {"site-packages", "dist-packages"}


def import_folders(function: Any = None) -> list[str]:
    """Return absolute paths in the order of imports; the folder of the function's source, if it has one, is the last.

    `python script.py` has the script's folder in sys.path, a notebook the working directory.
    """
    folders = [*(Path(entry).absolute() for entry in sys.path), *_source_folder(function)]
    return list(dict.fromkeys(str(folder) for folder in folders if _is_own(folder)))


def _source_folder(function: Any) -> list[Path]:
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    if not isinstance(function, FunctionType):
        return []
    source = Path(function.__code__.co_filename)
    return [source.absolute().parent] if source.is_file() else []


def _is_own(folder: Path) -> bool:
    """Return whether a folder belongs neither to the standard library nor to an installer."""
    return (
        folder.is_dir()
        and not _INSTALLED & set(folder.parts)
        and not any(folder.is_relative_to(path) for path in _library_folders())
    )


@functools.cache
def _library_folders() -> frozenset[str]:
    """Return the folders of the standard library. `sysconfig` takes 0.1 ms for each, and every task asks."""
    return frozenset(filter(None, (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))))
