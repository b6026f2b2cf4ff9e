# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""uv, which resolves and installs: its command lines, and its words as our errors."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..core.subprocesses import Work
from ..core.uv_process import run_uv, without_passwords
from ..errors import EnvironmentFailed
from .lock import Lock, Target

_ANOTHER_VERSION = (
    "Choose a version that has a wheel for that platform, or a base image that has it (container_image_uri)."
)
_NETWORK = ("Failed to fetch", "error sending request", "Failed to download", "dns error", "timed out", "401", "403")


def compile_lock(
    files: Sequence[Path], lines: Sequence[str], constraints: Sequence[str], target: Target, folder: Path, work: Work
) -> str:
    """The text of a lock for these files and lines, resolved for the target; `constraints` bind what is taken.

    Relative paths in the lines, and in the lock, are relative to `folder`. Raises EnvironmentFailed.
    """
    words = ["pip", "compile", *map(str, files), *(["-"] if lines or not files else [])]
    words += ["--format", "pylock.toml", "--no-header", "--no-annotate", *_for(target)]
    told = ", ".join([*map(str, files), *lines])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(constraints))
        listed.flush()
        words += ["--constraints", listed.name]
        happened = f"No environment for {target.platform} can be made of {told}."
        return _run(work, words, happened, folder, "\n".join(lines))


def export_lock(project: Path, work: Work) -> str:
    """The `uv.lock` of a project as PEP 751 writes it, without development dependencies. Raises EnvironmentFailed."""
    words = ["export", "--frozen", "--no-dev", "--no-header", "--format", "pylock.toml"]
    return _run(work, words, f"{project / 'uv.lock'} can't be used.", project)


def install(lock: Path, into: Path, wanted: Lock, told: str, work: Work) -> None:
    """What the lock names, and nothing else, unpacked into a folder. Raises EnvironmentFailed, `told` being its object.

    uv checks every hash. What has no wheel is built, if this machine is of the target's kind.
    """
    target = wanted.target
    words = ["pip", "install", "--no-deps", "--target", str(into), "-r", str(lock), *_for(target)]
    happened = f"{told} can't be installed for {target.platform} with Python {target.python}."
    _run(work, words, happened, Path(wanted.place), indexes=wanted.indexes)


def install_folder(project: Path, into: Path, target: Target, work: Work) -> None:
    """A local package, built as it is now, without what it depends on. Raises EnvironmentFailed."""
    words = ["pip", "install", "--no-deps", "--target", str(into), "--reinstall", str(project), *_for(target)]
    _run(work, words, f"The local package {project} can't be built for {target.platform}.", project)


def _for(target: Target) -> list[str]:
    minor = ".".join(target.python.split(".")[:2])
    return ["--python-platform", target.for_uv, "--python-version", minor, "--python", sys.executable]


def _run(
    work: Work, words: Sequence[str], happened: str, folder: Path, given: str = "", indexes: Sequence[str] = ()
) -> str:
    done = run_uv(work, words, folder=folder, given=given, indexes=indexes)
    if done.error:
        raise EnvironmentFailed(
            without_passwords(happened), says=f"uv says: {done.error}", advice=advice_on(done.error)
        )
    return done.output


def advice_on(says: str) -> str:
    """What to do about what uv says."""
    if "Hash mismatch" in says:
        return "The index gives another file than the one that was locked: ask who changed it before you lock it anew."
    if re.search(r"os error (28|122|27)\b", says):  # no space, a quota, a file that may not grow
        return "Free space on this machine; nothing half made is kept."
    if re.search(r"[Bb]uilt wheel|Failed to build", says):
        return _ANOTHER_VERSION
    if any(words in says for words in _NETWORK):
        return "This machine must reach the index: uv's own settings (UV_INDEX, uv.toml) or PIP_INDEX_URL name it."
    if "wheel" in says:
        return _ANOTHER_VERSION
    return "Correct the setting `environment`, or the electron's DepsPip."
