# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task group in the files that Covalent stages for it, and what its hooks ask for: needed fields, DepsPip."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..dependencies.spec import plain_requirements
from ..runner.protocol.task import FUNCTION


@dataclass(frozen=True)
class StagedTask:
    """One electron, or a pool's calls: function and hooks as files, inputs as node ids; `kind` as in `TaskSpec`."""

    node_id: int
    function: Path
    hooks: Path
    args: tuple[int, ...]
    kwargs: dict[str, int]
    kind: str = FUNCTION


@dataclass(frozen=True)
class StagedGroup:
    """A task group in Covalent's files on this machine; `inputs` are the values that exist before it runs.

    `folders` are those from which the process that pickled the functions imports its own modules, where known.
    """

    dispatch_id: str
    task_group_id: int
    tasks: tuple[StagedTask, ...]
    inputs: dict[int, Path]
    folders: tuple[str, ...] = ()

    @property
    def node_ids(self) -> tuple[int, ...]:
        """The electrons, in the order in which they run."""
        return tuple(task.node_id for task in self.tasks)


# ---- hooks -----------------------------------------------------------------------------------------------------------
def needed_hooks(text: bytes) -> bytes:
    """Return the fields of a hooks file that `runner.hooks` reads, as JSON; text of another format is unchanged."""
    try:
        hooks = json.loads(text or b"{}")
        deps = hooks.get("deps") or {}
        fields = {
            "deps": {name: {"attributes": pick(deps[name])} for name, pick in _DEPS.items() if name in deps},
            **{when: [_call(call) for call in hooks.get(when) or ()] for when in ("call_before", "call_after")},
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return text  # the container reports the error
    return json.dumps({name: value for name, value in fields.items() if value}, sort_keys=True).encode()


def pickles_of_hooks(text: bytes) -> Iterator[bytes]:
    """Yield the pickles of the calls in a hooks file; none of a text of another format."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        hooks = json.loads(text or b"{}")
        for call in [*(hooks.get("call_before") or ()), *(hooks.get("call_after") or ())]:
            for name in _PICKLES:
                yield binascii.a2b_base64(call["attributes"][name]["attributes"]["_object"])


_PICKLES = ("apply_fn", "apply_args", "apply_kwargs")
_DEPS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bash": lambda dep: {"commands": dep["attributes"]["commands"]},
    "pip": lambda dep: {name: dep["attributes"].get(name) for name in ("packages", "requirements_content")},
}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    attributes = call["attributes"]
    pickles = {name: {"attributes": {"_object": attributes[name]["attributes"]["_object"]}} for name in _PICKLES}
    return {"attributes": {"retval_keyword": attributes.get("retval_keyword"), **pickles}}


# ---- DepsPip ---------------------------------------------------------------------------------------------------------
def without_pip(group: StagedGroup) -> tuple[StagedGroup, list[str]]:
    """Return the group without DepsPip, and the requirements of these; a DepsPip with options of pip stays."""
    requirements: list[str] = []
    tasks = []
    for task in group.tasks:
        hooks = json.loads(task.hooks.read_bytes() or b"{}")
        lines = _pip_lines(hooks)
        if lines:
            requirements += lines
            del hooks["deps"]["pip"]
            baked = task.hooks.with_name(f"{task.hooks.name}.baked")
            baked.write_text(json.dumps(hooks), encoding="utf-8")
            task = replace(task, hooks=baked)
        tasks.append(task)
    return replace(group, tasks=tuple(tasks)), requirements


def _pip_lines(hooks: dict[str, object]) -> list[str]:
    """Return the requirements of a DepsPip; none where an option of pip's command line is among them."""
    deps = hooks.get("deps") or {}
    attributes = deps.get("pip", {}).get("attributes", {}) if isinstance(deps, dict) else {}
    if content := attributes.get("requirements_content"):
        return [] if _has(plain_requirements(content), ("-r", "-c", "-e", ".", "/")) else plain_requirements(content)
    words = [word for text in attributes.get("packages") or () for word in _words(text)]
    return [] if _has(words, ("-", ".", "/")) else words


def _words(text: str) -> list[str]:
    """Return the requirements in a text: `numpy >= 2` is one, `numpy pandas` are two."""
    return [text] if any(operator in text for operator in "<>=!~;@") else text.split()


def _has(lines: Iterable[str], beginnings: tuple[str, ...]) -> bool:
    return any(line.startswith(beginnings) for line in lines)
