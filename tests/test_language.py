# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Plain English in the package's source: docstrings with a subject and a verb, local variables named by nouns.

Ruff's D rules check the form of docstrings; the tests here check words. Files that are not clean yet stand in
`language_debt.txt`, which only shrinks: a listed file that is clean fails a test until its line is removed.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
SOURCE = PROJECT / "covalent_awsbatch_plugin"
DEBT = Path(__file__).parent / "language_debt.txt"

# A first sentence that opens with one of these names no subject, or is a fragment.
OPENING = re.compile(
    r"(what(ever)?|who(ever|m|se)?|which|that|this|those|these|there|such|it|its|they|he|she|we|our|ours|you|your"
    r"|nobody|somebody|anybody|everybody|everything|something|nothing|anything"
    r"|the same|the other|as|so|where|when|how|why|whether|once|unless|until|to|by|for|from|of|in|with|each|both"
    r"|said|told)(?=[\s:,.;']|$)",
    re.IGNORECASE,
)

# A participle tells what was done to a value and not what the value is.
PARTICIPLES = frozenset(
    """
    asked bought brought built chosen come fallen found given gone got heard held kept known left lost made meant needed
    noted put refused said seen sent shown taken thought told used wanted written
    """.split()  # noqa: SIM905 - a list of words
)

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def complaints(text: str) -> list[str]:
    """Return one sentence for each docstring or local variable of a source text that breaks a rule."""
    tree = ast.parse(text)
    return [*_opening_complaints(tree), *_name_complaints(tree)]


def _opening_complaints(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Definition):
            first = OPENING.match(ast.get_docstring(node) or "")
            if first:
                name = "the module" if isinstance(node, ast.Module) else node.name
                yield f"{getattr(node, 'lineno', 1)}: the docstring of {name} opens with {first.group()!r}"


def _name_complaints(tree: ast.Module) -> Iterator[str]:
    attributes = {id(field) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for field in _fields(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in attributes:
            if node.id.strip("_") in PARTICIPLES:
                yield f"{node.lineno}: the variable {node.id!r} is a participle"
        elif isinstance(node, ast.arg) and node.arg.strip("_") in PARTICIPLES:
            yield f"{node.lineno}: the parameter {node.arg!r} is a participle"


def _fields(node: ast.ClassDef) -> Iterator[ast.expr]:
    """Yield the targets of a class body: attributes are a part of an interface and not local."""
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            yield from statement.targets
        elif isinstance(statement, ast.AnnAssign):
            yield statement.target


def sources(root: Path) -> dict[str, str]:
    """Return the text of each Python file below a folder, by its relative path."""
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}


def debt_lines() -> list[str]:
    """Return the files that are not clean yet, relative to the package."""
    lines = DEBT.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def unchecked_docstrings() -> list[str]:
    """Return the files that pyproject.toml exempts from all of ruff's D rules, relative to the package."""
    ruff = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    package = SOURCE.name + "/"
    ignores = ruff["per-file-ignores"].items()
    return [name.removeprefix(package) for name, rules in ignores if name.startswith(package) and "D" in rules]


def dirty(files: dict[str, str], debt: list[str]) -> list[str]:
    """Return what is wrong in the files that are not listed."""
    return [f"{file}:{line}" for file, text in files.items() if file not in debt for line in complaints(text)]


def stale(files: dict[str, str], debt: list[str], unchecked: list[str]) -> list[str]:
    """Return the listed files that are clean, or not there."""
    return [file for file in debt if file not in files or not (complaints(files[file]) or file in unchecked)]


def test_source_outside_of_the_debt_list_is_plain() -> None:
    problems = dirty(sources(SOURCE), debt_lines())
    assert not problems, "\n".join(problems)


def test_debt_list_holds_only_files_that_are_not_clean() -> None:
    assert stale(sources(SOURCE), debt_lines(), unchecked_docstrings()) == []


def test_debt_list_is_sorted_without_repetition() -> None:
    assert debt_lines() == sorted(set(debt_lines()))


def test_files_without_docstring_rules_are_in_the_debt_list() -> None:
    assert set(unchecked_docstrings()) <= set(debt_lines())


# ---- tests of the checks above: samples with one mistake in each ----------------------------------------------------
PLAIN = '''"""A queue of tasks."""

class Layer:
    """A folder packed as tar."""

    kept: int = 0
    made = 1

def size(path: str) -> int:
    """Return the size in bytes. It counts each file once."""
    response = open(path)
    return len(response.read())
'''


def test_plain_source_has_no_complaint() -> None:
    assert complaints(PLAIN) == []


@pytest.mark.parametrize(
    "docstring",
    [
        "What somebody left.",
        "Whoever calls this.",
        "It is a queue.",
        "There are two.",
        "The same, in bytes.",
        "As JSON.",
        "Each is a request.",
        "Nobody calls it.",
        "That of the queue.",
        "Those that run.",
        "Such a layer.",
        "Whether it runs.",
        "Its size.",
        "what: a list.",
    ],
)
def test_opening_pronoun_is_named(docstring: str) -> None:
    quoted = f'"""{docstring}"""'
    for text in (quoted, f"class A:\n    {quoted}", f"def a():\n    {quoted}"):
        (complaint,) = complaints(text)
        assert "opens with" in complaint


@pytest.mark.parametrize("docstring", ["Whole days.", "Italic text.", "Assume a role.", "Eachway.", "Only tests."])
def test_opening_word_is_matched_whole(docstring: str) -> None:
    assert complaints(f'"""{docstring}"""') == []


@pytest.mark.parametrize(
    "text",
    [
        "told = 1",
        "def a():\n    found: int = 1",
        "for kept in []: pass",
        "with open('') as held: pass",
        "[made for made in []]",
        "if (asked := 1): pass",
        "a, *said = []",
        "def a(noted): pass",
        "lambda left: 0",
        "_told = 1",
    ],
)
def test_participle_name_is_named(text: str) -> None:
    (complaint,) = complaints(text)
    assert complaint.endswith("is a participle")


def test_unlisted_file_with_a_complaint_is_dirty() -> None:
    files = {"a.py": "told = 1", "b.py": "found = 1"}
    assert dirty(files, ["a.py"]) == ["b.py:1: the variable 'found' is a participle"]


def test_clean_or_missing_file_of_the_list_is_stale() -> None:
    files = {"a.py": "told = 1", "b.py": "", "c.py": ""}
    assert stale(files, ["a.py", "b.py", "c.py", "d.py"], unchecked=["c.py"]) == ["b.py", "d.py"]
