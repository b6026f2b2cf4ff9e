# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The arguments that Terraform files set, read with the part of HCL's grammar that assets/infra uses.

https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md: a body has attributes, `name = expression`, and blocks,
`name "label" { body }`. An expression ends at a line's end outside of brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Arguments of Terraform itself, which every block may have.
META = {"count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection", "alias", "version"}

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|(?:\#|//)[^\n]*)|(?P<line>\n)|(?P<text>"(?:[^"\\$]|\\.|\$(?!\{)|\$\{[^{}]*\})*")"""
    r"""|(?P<name>[A-Za-z_][\w-]*)|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<other>=>|==|!=|>=|<=|&&|\|\||.)"""
)


@dataclass(frozen=True)
class Body:
    """A block of Terraform: `resource "aws_vpc" "new"`; `arguments` are paths such as `compute_resources.type`."""

    kind: str
    type: str
    arguments: tuple[str, ...]

    @property
    def address(self) -> str:
        """The kind and the type, which many blocks may share."""
        return f"{self.kind} {self.type}"


def bodies(folder: Path) -> Iterator[Body]:
    """Yield the blocks of the providers, resources and data sources in a folder's files."""
    for path in sorted(folder.glob("*.tf")):
        yield from blocks(path.read_text(encoding="utf-8"))


def blocks(text: str) -> Iterator[Body]:
    """Yield the blocks of a file's text. Raises ValueError for text that is not read whole."""
    tokens = [(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(text) if match.lastgroup != "space"]
    at = 0
    while at < len(tokens):
        at, name, labels, arguments = _item(tokens, at, None)
        if name in ("provider", "resource", "data"):
            yield Body(name, labels[0], tuple(path for path in arguments if path.split(".")[0] not in META))


def _item(tokens: list[tuple[str, str]], at: int, path: str | None) -> tuple[int, str, list[str], list[str]]:
    """Return the place after an attribute or a block, its name, its labels, and the paths of what it sets.

    `path` is that of the block around it, with a dot at its end; None for the blocks of a file.
    """
    kind, name = tokens[at]
    if kind == "line":
        return at + 1, "", [], []
    if kind != "name":
        raise ValueError(f"{name!r} where a name should be")
    labels, at = [], at + 1
    while tokens[at][0] == "text":
        labels.append(tokens[at][1].strip('"'))
        at += 1
    if tokens[at][1] == "=":
        return _after_expression(tokens, at + 1), name, [], [f"{path or ''}{name}"]
    if tokens[at][1] != "{":
        raise ValueError(f"{tokens[at][1]!r} after {name}")
    shown = labels[0] if name == "dynamic" else name
    inside = "" if path is None else f"{path}{shown}."
    at, arguments = _body(tokens, at + 1, inside)
    if name == "dynamic":
        content = f"{inside}content."
        arguments = [inside + each.removeprefix(content) for each in arguments if each.startswith(content)]
    return at, name, labels, ([] if not inside else [inside.rstrip(".")]) + arguments


def _body(tokens: list[tuple[str, str]], at: int, path: str) -> tuple[int, list[str]]:
    arguments: list[str] = []
    while tokens[at][1] != "}":
        at, _, _, more = _item(tokens, at, path)
        arguments += more
    return at + 1, arguments


def _after_expression(tokens: list[tuple[str, str]], at: int) -> int:
    depth = 0
    while depth or (tokens[at][0] != "line" and tokens[at][1] != "}"):
        depth += {"open": 1, "close": -1}.get(tokens[at][0], 0)
        at += 1
    return at
