# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The Python of a job without a container: this machine's interpreter and standard library, the base image's packages.

Each job has a virtual environment of its own, made of six small files, so that a task finds no package of this machine
and installs none into it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

MINOR = f"python3.{sys.version_info.minor}"
NAMES = ("python3", "python", MINOR)
# Where the images of Docker, Debian, Conda and uv have the packages of their Python.
PLACES = (
    f"usr/local/lib/{MINOR}/site-packages",
    f"usr/lib/{MINOR}/site-packages",
    f"usr/local/lib/{MINOR}/dist-packages",
    "usr/lib/python3/dist-packages",
    f"opt/*/lib/{MINOR}/site-packages",
)
# The kernel's limit for the first line of a script is shorter than some paths of this folder.
PIP = '#!/bin/sh\nexec "$(dirname "$0")/python3" -m pip "$@"\n'


def package_folders(root: Path) -> list[Path]:
    """Return the folders of an unpacked image that hold the packages of its Python."""
    return [folder for place in PLACES for folder in sorted(root.glob(place)) if folder.is_dir()]


def make_python(folder: Path, packages: Iterable[Path]) -> Path:
    """Write a virtual environment that sees the packages in these folders; return the folder of its programs.

    Format: https://docs.python.org/3/library/site.html
    """
    programs, own = folder / "bin", folder / "lib" / MINOR / "site-packages"
    programs.mkdir(parents=True)
    own.mkdir(parents=True)
    interpreter = _interpreter()
    (programs / NAMES[0]).symlink_to(interpreter)
    for name in NAMES[1:]:
        (programs / name).symlink_to(NAMES[0])
    for name in ("pip", "pip3"):
        (programs / name).write_text(PIP, encoding="utf-8")
        (programs / name).chmod(0o755)
    settings = {"home": interpreter.parent, "include-system-site-packages": "false"}
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (folder / "pyvenv.cfg").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (own / "base-image.pth").write_text("\n".join([*_added(packages), ""]), encoding="utf-8")
    return programs


def _interpreter() -> Path:
    """Return the interpreter behind this process's virtual environment, if it has one."""
    return Path(os.path.realpath(sys.executable))


def _added(folders: Iterable[Path]) -> Iterator[str]:
    """Yield lines of a `.pth` file; a folder that stands there as a path would not have its own `.pth` files read."""
    yield from (f"import site; site.addsitedir({str(folder)!r})" for folder in folders)
