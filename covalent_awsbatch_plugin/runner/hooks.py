# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Covalent's hooks of a function, from their JSON: `deps_bash`, `deps_pip`, `call_before`, `call_after`.

The order is that of covalent/executor/utils/wrappers.py, with two differences: Covalent is not imported for shell
commands and pip, and their output is not thrown away.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .job import writable
from .protocol import archive

Load = Callable[[IO[bytes]], Any]
FILES = "files"  # the one injected argument that is a list even when it has one value


def before(hooks: dict[str, Any], scratch: Path, load: Load, *, contained: bool) -> dict[str, Any]:
    """Run the hooks that come before the function; return the keyword arguments that calls inject.

    `load` unpickles a call. `contained` means that this Python is the container's own: packages may be installed
    into it. Raises subprocess.CalledProcessError with the output of a command, or the exception of a call.
    """
    deps = hooks.get("deps") or {}
    if "bash" in deps:
        for command in deps["bash"]["attributes"]["commands"]:
            _shell(command, scratch)
    if "pip" in deps:
        _pip(deps["pip"]["attributes"], scratch, contained=contained)
    calls = _calls(hooks, "call_before")
    return _injected([(call["attributes"].get("retval_keyword"), _call(call, load)) for call in calls])


def after(hooks: dict[str, Any], load: Load) -> None:
    """Run the hooks that come after the function. An exception of a call is raised."""
    for call in _calls(hooks, "call_after"):
        _call(call, load)


def _calls(hooks: dict[str, Any], when: str) -> list[dict[str, Any]]:
    return list(hooks.get(when) or ())


def _call(call: dict[str, Any], load: Load) -> Any:
    attributes = call["attributes"]
    function, args, kwargs = (
        load(archive.pickle_in(attributes[name]["attributes"]["_object"]))
        for name in ("apply_fn", "apply_args", "apply_kwargs")
    )
    return function(*args, **kwargs)


def _injected(values: list[tuple[str | None, Any]]) -> dict[str, Any]:
    """Return the arguments by keyword: one value as it is, several of a keyword as a list, `files` always as a list."""
    lists: dict[str, list[Any]] = {}
    for keyword, value in values:
        if keyword:
            lists.setdefault(keyword, []).append(value)
    return {key: each[0] if len(each) == 1 and key != FILES else each for key, each in lists.items()}


def _shell(command: str, scratch: Path) -> None:
    process = _run(["/bin/sh", "-c", command], command, scratch, dict(os.environ))
    for stream, text in ((sys.stdout, process.stdout), (sys.stderr, process.stderr)):
        stream.write(text)
        stream.flush()
    process.check_returncode()


def _pip(attributes: dict[str, Any], scratch: Path, *, contained: bool) -> None:
    """Install packages with `-m pip` of this Python: the `pip` on an image's PATH may belong to another one."""
    requirements = " ".join(attributes.get("packages") or ()).split()
    if attributes.get("requirements_content"):
        requirements_file = scratch / "requirements.txt"
        requirements_file.write_text(attributes["requirements_content"], encoding="utf-8")
        requirements = ["-r", str(requirements_file)]
    if not requirements:
        return
    # Packages go to a separate folder where this Python is not the container's, or its folder is not writable.
    target = None if contained and writable(sysconfig.get_path("purelib")) else scratch / "packages"
    options = ["--target", str(target)] if target else []
    words = ["-m", "pip", "install", "--no-input", *options, *requirements]
    _run([sys.executable, "-s", *words], f"python {' '.join(words)}", scratch, _PIP | os.environ).check_returncode()
    if target:
        sys.path.insert(0, str(target))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))
    importlib.invalidate_caches()


_PIP = {
    "PIP_BREAK_SYSTEM_PACKAGES": "1",  # a container's Python has no other use, even if a package manager installed it
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def _run(words: list[str], title: str, scratch: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command; an error names it by `title`. Output goes to files: a background process may keep a pipe open."""
    out, err = scratch / "stdout", scratch / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        code = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, check=False
        ).returncode
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in (out, err))
    return subprocess.CompletedProcess(title, code, *texts)


def scratch_folder(path: Path) -> Path:
    """Return an empty folder at `path`, after removing the folder of an earlier try."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
    return path
