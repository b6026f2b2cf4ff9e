# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The modules that the tasks of a script will refer to, found in its source before anything is pickled."""

from __future__ import annotations

import ast

from .references import References


def of_script(text: str) -> References:
    """Return the modules that the electrons of a script refer to, or all of its functions where it has no electron.

    These are what their pickles refer to: a module that the rest of the script imports does not travel with them.
    """
    try:
        names = _ScriptNames(ast.parse(text))
    except (SyntaxError, ValueError):
        return References(whole=False)
    references = References()
    waiting, visited = list(names.electrons or names.functions), set[str]()
    roots = set(waiting)
    while waiting:
        name = waiting.pop()
        visited.add(name)
        for node in names.parts(name, whole=name not in roots):
            references.add_imports(node)
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
                    for module in names.modules.get(each.id, ()):
                        references.add(module)
                    if each.id in names.definitions and each.id not in visited:
                        waiting.append(each.id)
    return references


class _ScriptNames:
    """The names that the top of a script binds: to modules, and to functions, classes and values."""

    def __init__(self, tree: ast.Module) -> None:
        self.modules: dict[str, list[str]] = {}
        self.definitions: dict[str, ast.stmt] = {}
        self._add(tree.body)
        # with it, annotations are texts and refer to nothing
        self._has_annotations = "annotations" not in self.modules
        functions = [node for node in self.definitions.values() if isinstance(node, _FUNCTIONS)]
        self.functions = [node.name for node in functions]
        self.electrons = [node.name for node in functions if any(map(_is_electron, node.decorator_list))]

    def parts(self, name: str, *, whole: bool) -> list[ast.AST]:
        """Return the code of a definition; Covalent pickles an electron without its decorator, not `whole`."""
        node = self.definitions[name]
        if whole or not isinstance(node, _FUNCTIONS):
            return [node]
        arguments = [each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg)]
        annotations = [*arguments, node.returns] if self._has_annotations else []
        values = [*node.args.defaults, *node.args.kw_defaults, *annotations]
        return [*node.body, *(each for each in values if each is not None)]

    def _add(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.modules.setdefault(name, []).append(alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self.modules.setdefault(alias.asname or alias.name, []).append(node.module)
            elif isinstance(node, _FUNCTIONS | ast.ClassDef):
                self.definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.definitions |= {each.id: node for each in targets if isinstance(each, ast.Name)}
            else:  # `if` and `try`, whose branches bind the same names
                for _, block in ast.iter_fields(node):
                    if isinstance(block, list):
                        self._add([each for each in block if isinstance(each, ast.stmt)])


_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def _is_electron(decorator: ast.expr) -> bool:
    """Return whether a decorator is `ct.electron`, `electron`, or a call of one of them."""
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name == "electron"
