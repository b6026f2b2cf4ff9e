# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The packages and modules that travelled with the task, made findable: for its process, and for those it starts."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

from .protocol import layout


def use(root: Path) -> None:
    """The user's own modules come first, as beside a script; packages before the image's own, after the library.

    Our own package comes last: where the image has it, that one has more.
    """
    packages, code = root / layout.ENV_DIR, root / layout.CODE_DIR
    there = [str(folder) for folder in (code, packages) if folder.is_dir()]
    if packages.is_dir():
        _add_packages(str(packages))
    if code.is_dir():
        sys.path.insert(0, str(code))
    sys.path.append(str(root / layout.PLUGIN_DIR))
    _prepend("PYTHONPATH", there)
    _prepend("PATH", [f"{folder}/bin" for folder in there if os.path.isdir(f"{folder}/bin")])


def _add_packages(folder: str) -> None:
    """As Python does with a site-packages of its own, `.pth` files too."""
    before = list(sys.path)
    site.addsitedir(folder)
    added = [entry for entry in sys.path if entry not in before]
    images = {*site.getsitepackages(), site.getusersitepackages()}
    at = next((index for index, entry in enumerate(before) if entry in images), len(before))
    sys.path[:] = [*before[:at], *added, *before[at:]]


def _prepend(name: str, folders: list[str]) -> None:
    if folders:
        os.environ[name] = os.pathsep.join([*folders, *filter(None, [os.environ.get(name)])])
