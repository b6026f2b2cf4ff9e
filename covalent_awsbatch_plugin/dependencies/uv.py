# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command lines of uv, and the advice for its errors."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..core.subprocesses import Work
from ..core.url_passwords import without_passwords
from ..core.uv_process import run_uv
from ..errors import EnvironmentFailed
from .lock import Lock, Target

log = logging.getLogger(__name__)

_ANOTHER_VERSION = (
    "Choose a version that has a wheel for that platform, or a base image that has it (container_image_uri)."
)
_NOT_BUILT = re.compile(r"Failed to build `([A-Za-z0-9._-]+)==([^`\s]+)`")
_SHOWN_LINES = 5  # of a compiler's output: its error stands at the end
_LOOK_LIMIT_S = 30  # for the list of one package's versions
_NETWORK = ("Failed to fetch", "error sending request", "Failed to download", "dns error", "timed out", "401", "403")


def compile_lock(
    files: Sequence[Path], lines: Sequence[str], constraints: Sequence[str], target: Target, folder: Path, work: Work
) -> str:
    """Return the text of a lock for these files and lines, resolved for the target within `constraints`.

    Relative paths in the lines, and in the lock, are relative to `folder`. Raises EnvironmentFailed.
    """
    words = ["pip", "compile", *map(str, files), *(["-"] if lines or not files else [])]
    words += ["--format", "pylock.toml", "--no-header", "--no-annotate", *_for(target)]
    names = ", ".join([*map(str, files), *lines])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(constraints))
        file.flush()
        words += ["--constraints", file.name] if constraints else []
        happened = f"The packages {names} can't be resolved for {target.platform}."
        return _run(work, words, happened, folder, "\n".join(lines), target=target)


def export_lock(project: Path, work: Work) -> str:
    """Return a project's `uv.lock` in the format of PEP 751, without development dependencies.

    Raises EnvironmentFailed.
    """
    words = ["export", "--frozen", "--no-dev", "--no-header", "--format", "pylock.toml"]
    return _run(work, words, f"The lock {project / 'uv.lock'} can't be exported.", project)


def install(file: Path, into: Path, lock: Lock, names: str, work: Work) -> None:
    """Install exactly the packages of a lock into a folder.

    uv checks every hash. A package without a wheel is built, if this machine is like the target. Raises
    EnvironmentFailed, whose text begins with `names`.
    """
    target = lock.target
    words = ["pip", "install", "--no-deps", "--target", str(into), "-r", str(file), *_for(target)]
    happened = f"{names} can't be installed for {target.platform} with Python {target.python}."
    _run(work, words, happened, Path(lock.place), indexes=lock.indexes, target=target)


def install_folder(project: Path, into: Path, target: Target, work: Work) -> None:
    """Build a local package in its current state, without its dependencies, into a folder.

    Raises EnvironmentFailed.
    """
    words = ["pip", "install", "--no-deps", "--target", str(into), "--reinstall", str(project), *_for(target)]
    _run(work, words, f"The local package {project} can't be built for {target.platform}.", project)


def _for(target: Target) -> list[str]:
    minor = ".".join(target.python.split(".")[:2])
    return ["--python-platform", target.for_uv, "--python-version", minor, "--python", sys.executable]


def _run(
    work: Work,
    words: Sequence[str],
    happened: str,
    folder: Path,
    stdin_text: str = "",
    indexes: Sequence[str] = (),
    target: Target | None = None,
) -> str:
    done = run_uv(work, words, folder=folder, stdin_text=stdin_text, indexes=indexes)
    if not done.error:
        return done.output
    says, advice = done.error, advice_on(done.error)
    if target and (package := _NOT_BUILT.search(done.error)):
        log.info("%s\n%s", package[0], done.error)
        says = _without_the_compilers_output(done.error)
        if versions := _with_wheels(package[1], package[2], target, folder, indexes, work):
            advice = (
                f"Take a version of {package[1]} that needs no build: next to {package[2]}, "
                f"{' and '.join(versions)} {'have' if len(versions) > 1 else 'has'} a wheel for {target.platform} with "
                f"Python {target.python}."
            )
    raise EnvironmentFailed(without_passwords(happened), says=f"uv says: {says}", advice=advice)


def _without_the_compilers_output(error: str) -> str:
    """Return uv's own lines, and the last ones of the output that it shows of a build."""
    lines = error.splitlines()
    at = next((number for number, line in enumerate(lines) if line.strip() in ("[stderr]", "[stdout]")), len(lines))
    return "\n".join([*lines[:at], *[line for line in lines[at + 1 :] if line.strip()][-_SHOWN_LINES:]]).rstrip()


def _with_wheels(
    name: str, version: str, target: Target, folder: Path, indexes: Sequence[str], work: Work
) -> list[str]:
    """Return the versions below and above that have a wheel for the target, the nearest ones; none if uv finds none."""
    versions = []
    for line, resolution in ((f"{name}<{version}", "highest"), (f"{name}>{version}", "lowest-direct")):
        words = ["pip", "compile", "-", "--no-deps", "--no-header", "--no-annotate", "--only-binary", name]
        words += ["--resolution", resolution, *_for(target)]
        done = run_uv(work, words, folder=folder, stdin_text=line, indexes=indexes, limit_s=_LOOK_LIMIT_S)
        versions += re.findall(rf"^{re.escape(name)}==(\S+)", done.output, re.MULTILINE | re.IGNORECASE)
    return versions


def advice_on(says: str) -> str:
    """Return advice for an error of uv."""
    if "Hash mismatch" in says:
        return "The index has another file than the locked one: find out why it changed before you lock again."
    if re.search(r"os error (28|122|27)\b", says):  # no space, a quota, a file that may not grow
        return "Free space on this machine, then run it again."
    if re.search(r"[Bb]uilt wheel|Failed to build", says):
        return _ANOTHER_VERSION
    if any(words in says for words in _NETWORK):
        return "This machine must reach the index, which uv's settings (UV_INDEX, uv.toml) or PIP_INDEX_URL name."
    if "wheel" in says:
        return _ANOTHER_VERSION
    return "Correct the setting `environment`, or the electron's DepsPip."
