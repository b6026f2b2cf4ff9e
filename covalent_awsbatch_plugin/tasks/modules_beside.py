# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The user's modules beside a script that a function refers to, for a warning where they are not sent with it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path

from ..dependencies.references import of_pickle
from ..dependencies.spec import environment_spec

log = logging.getLogger(__name__)

MOST_NAMES = 500  # of modules in the folders of one script: more is no folder of a script


def modules_beside(functions: Iterable[bytes], folders: tuple[str, ...]) -> dict[str, str]:
    """Return the modules that pickles of functions refer to and that lie in these folders, each with its folder.

    A pickle names a module in clear, so only one with such a name is read.
    """
    modules: dict[str, str] = {}
    names = _names(folders) if folders else {}
    for data in functions:
        if any(name.encode() in data for name in names):
            referred = of_pickle(io.BytesIO(data)).modules
            modules |= {name: names[name] for name in sorted(referred & names.keys())}
    return modules


def warn_of_modules(task: str, modules: Mapping[str, str], environment: str) -> None:
    """Warn once of each module that a setting `environment` does not send with the task."""
    for module, folder in _not_sent(modules, environment).items():
        _warn_once(
            f"`{task}` refers to the module {module} in {folder}, which is not sent with it: unless the base image has "
            "it, the task will not find it. environment='auto' sends it."
        )


@cache
def _warn_once(text: str) -> None:
    log.warning(text)


def _not_sent(modules: Mapping[str, str], environment: str) -> dict[str, str]:
    spec = environment_spec(environment)
    if spec.auto or spec.files:  # a file may name the project that they belong to
        return {}
    listed = [Path(folder).expanduser() for folder in spec.folders]
    return {name: folder for name, folder in modules.items() if not any(_has(each, name) for each in listed)}


@lru_cache(maxsize=64)  # a script's folder is listed once, not for each task
def _names(folders: tuple[str, ...]) -> dict[str, str]:
    names: dict[str, str] = {}
    for folder in folders:
        for name in _modules_in(Path(folder)):
            if len(names) == MOST_NAMES:
                return names
            names.setdefault(name, folder)
    return names


def _modules_in(folder: Path) -> Iterator[str]:
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix == ".py":
                yield path.stem
            elif (path / "__init__.py").is_file():
                yield path.name
    except OSError:
        return  # a folder of the client's machine that is not on this one


def _has(folder: Path, module: str) -> bool:
    return any((place / module).is_dir() or (place / f"{module}.py").is_file() for place in (folder, folder / "src"))
