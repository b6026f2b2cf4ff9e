# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What Covalent runs around a function: `deps_bash`, `deps_pip`, `call_before`, `call_after`, from the hooks' JSON.

As covalent/executor/utils/wrappers.py does it, with two differences: Covalent is not imported for shell commands and
pip, and what they print is not thrown away.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from .job import writable
from .protocol import archive

FILES = "files"  # the one injected argument that is a list even when it has one value


def before(hooks: dict[str, Any], scratch: Path, *, contained: bool) -> dict[str, Any]:
    """Run what comes before the function; returns the keyword arguments that calls inject.

    `contained` says that this Python is the container's own, so that packages may be installed into it. Raises
    subprocess.CalledProcessError with the output, or what a call raises.
    """
    deps = hooks.get("deps") or {}
    if "bash" in deps:
        for command in deps["bash"]["attributes"]["commands"]:
            _shell(command, scratch)
    if "pip" in deps:
        _pip(deps["pip"]["attributes"], scratch, contained=contained)
    return _injected([(call["attributes"].get("retval_keyword"), _call(call)) for call in _calls(hooks, "call_before")])


def after(hooks: dict[str, Any]) -> None:
    """Run what comes after the function; raises what a call raises."""
    for call in _calls(hooks, "call_after"):
        _call(call)


def _calls(hooks: dict[str, Any], when: str) -> list[dict[str, Any]]:
    return list(hooks.get(when) or ())


def _call(call: dict[str, Any]) -> Any:
    attributes = call["attributes"]
    function, args, kwargs = (
        archive.loads(attributes[name]["attributes"]["_object"]) for name in ("apply_fn", "apply_args", "apply_kwargs")
    )
    return function(*args, **kwargs)


def _injected(returned: list[tuple[str | None, Any]]) -> dict[str, Any]:
    """A keyword given once is its value, given again the list of them, `files` always the list."""
    lists: dict[str, list[Any]] = {}
    for keyword, value in returned:
        if keyword:
            lists.setdefault(keyword, []).append(value)
    return {key: values[0] if len(values) == 1 and key != FILES else values for key, values in lists.items()}


def _shell(command: str, scratch: Path) -> None:
    done = _run(["/bin/sh", "-c", command], command, scratch, dict(os.environ))
    for stream, text in ((sys.stdout, done.stdout), (sys.stderr, done.stderr)):
        stream.write(text)
        stream.flush()
    done.check_returncode()


def _pip(attributes: dict[str, Any], scratch: Path, *, contained: bool) -> None:
    """`-m pip` of this very Python: the `pip` on an image's PATH may belong to another one."""
    wanted = " ".join(attributes.get("packages") or ()).split()
    if attributes.get("requirements_content"):
        listed = scratch / "requirements.txt"
        listed.write_text(attributes["requirements_content"], encoding="utf-8")
        wanted = ["-r", str(listed)]
    if not wanted:
        return
    # A folder of its own where this Python is somebody's, or belongs to another user than the container's.
    own = None if contained and writable(sysconfig.get_path("purelib")) else scratch / "packages"
    options = ["--target", str(own)] if own else []
    words = ["-m", "pip", "install", "--no-input", *options, *wanted]
    _run([sys.executable, "-s", *words], f"python {' '.join(words)}", scratch, _PIP | os.environ).check_returncode()
    if own:
        sys.path.insert(0, str(own))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(own), os.environ.get("PYTHONPATH"))))
    importlib.invalidate_caches()


_PIP = {
    "PIP_BREAK_SYSTEM_PACKAGES": "1",  # a container's Python has no other use, whoever's package manager put it there
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def _run(words: list[str], told: str, scratch: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it, to be named as `told`. Output goes by files: what it left in the background may hold a pipe for ever."""
    out, err = scratch / "stdout", scratch / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        code = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, check=False
        ).returncode
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in (out, err))
    return subprocess.CompletedProcess(told, code, *texts)


def scratch_folder(path: Path) -> Path:
    """An empty folder; the one of an earlier try is gone."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
