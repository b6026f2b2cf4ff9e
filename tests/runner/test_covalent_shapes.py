# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Nodes as Covalent itself makes them, from the transport graph of a lattice, in an image that contains Covalent."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable
from typing import Any

import covalent as ct
import networkx as nx  # type: ignore[import-untyped]

from tests.runner.bench import Container, OutputOf, Ran, pickle_in


def run(container: Container, workflow: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The values of a lattice's nodes by name, each node a task of one packed group."""
    ran = run_nodes(container, workflow, *args, **kwargs)
    assert ran.exit_code == 0, ran.stderr.decode()
    return {task.name: ran.value(task.node_id) for task in container.tasks}


def run_nodes(container: Container, workflow: Callable[..., Any], *args: Any, **kwargs: Any) -> Ran:
    lattice: Any = ct.lattice(workflow)
    lattice.build_graph(*args, **kwargs)
    graph = lattice.transport_graph._graph
    placed: dict[int, Any] = {}
    for node in nx.topological_sort(graph):
        attrs = graph.nodes[node]
        if attrs["name"].startswith(":parameter:"):
            placed[node] = container.bake(pickle_in(attrs["value"]))
            continue
        edges = [(placed[source], edge) for source, _, edge in graph.in_edges(node, data=True)]
        args_in = sorted((e["arg_index"], p) for p, e in edges if e.get("param_type") == "arg")
        kwargs_in = {e["edge_name"]: p for p, e in edges if e.get("param_type") == "kwarg"}
        spec = container.add(pickle_in(attrs["function"]), *(p for _, p in args_in), name=attrs["name"], **kwargs_in)
        placed[node] = OutputOf(spec.node_id)
    return container.run()


def test_lists_dicts_and_items_are_collected(container: Container) -> None:
    make = ct.electron(lambda x: {"x": x})
    use = ct.electron(lambda items, table: (items, table))

    def workflow(x: int) -> Any:
        made = make(x)
        return use([made["x"], 2], {"a": made["x"], "b": 3})

    assert ([1, 2], {"a": 1, "b": 3}) in run(container, workflow, 1).values()


def test_a_shell_lepton_runs(container: Container) -> None:
    shell = ct.Lepton(
        "bash",
        command="answer=$(($1 + 1))",
        argtypes=[(int, ct.Lepton.OUTPUT)],
        named_outputs=["answer"],
        display_name="sh",
    )
    assert run(container, lambda x: shell(x), "41")["sh"] == 42


def test_a_sublattice_is_built_and_all_of_its_graph_is_in_the_text(container: Container) -> None:
    """Covalent's server takes the graph from there, and not from the value."""
    one = ct.electron(lambda x: x)
    inner = ct.electron(ct.lattice(lambda x: one(x)))
    ran = run_nodes(container, lambda x: inner(x), 1)
    text = ran.archive(0).object_string
    assert text == ran.value(0)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as archive:
        assert any(name.endswith("/inputs.tobj") for name in archive.getnames())
