# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The import paths of the task's packages and modules, for its process and for the processes it starts."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

from .protocol import layout


def use(root: Path) -> None:
    """Add the task's modules and packages to `sys.path`, PYTHONPATH and PATH.

    The user's own modules come first, like modules in the folder of a script. The task's packages come after the
    standard library and before the image's packages, of which those of the image's user (`pip install --user`) come
    first, as in Python. Covalent and this package's files come last: an installed copy in the image is the user's
    choice.
    """
    if os.path.isdir(users := site.getusersitepackages()) and users not in sys.path:  # `python3 -s` left it out
        _add_packages(users)
    packages, code = root / layout.ENV_DIR, root / layout.CODE_DIR
    folders = [str(folder) for folder in (code, packages) if folder.is_dir()]
    if packages.is_dir():
        _add_packages(str(packages))
    if code.is_dir():
        sys.path.insert(0, str(code))
    if (covalent := root / layout.COVALENT_DIR).is_dir():
        sys.path.append(str(covalent))
    sys.path.append(str(root / layout.PLUGIN_DIR))
    _prepend("PYTHONPATH", folders)
    _prepend("PATH", [f"{folder}/bin" for folder in folders if os.path.isdir(f"{folder}/bin")])


def _add_packages(folder: str) -> None:
    """Add a folder to `sys.path` as Python adds site-packages, with the entries of `.pth` files."""
    before = list(sys.path)
    site.addsitedir(folder)
    entries = [entry for entry in sys.path if entry not in before]
    images = {*site.getsitepackages(), site.getusersitepackages()}
    at = next((index for index, entry in enumerate(before) if entry in images), len(before))
    sys.path[:] = [*before[:at], *entries, *before[at:]]


def _prepend(name: str, folders: list[str]) -> None:
    if folders:
        os.environ[name] = os.pathsep.join([*folders, *filter(None, [os.environ.get(name)])])
