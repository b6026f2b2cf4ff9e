# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The notebook of examples/, executed on the offline AWS by a kernel of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomlkit

NOTEBOOK = Path(__file__).parents[2] / "examples" / "sweep.ipynb"


@pytest.mark.soak
def test_the_sweep_of_1000_calls_shows_its_progress_and_a_plot(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    (tmp_path / "covalent.conf").write_text(tomlkit.dumps({"executors": {"awsbatch": settings}}))
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()  # raises what a cell raises
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = json.dumps(outputs, ensure_ascii=False)
    assert "pool: 1,000 of 1,000 · running 0 · done 1,000" in text
    assert "<tr><th>done</th><td>1,000</td></tr>" in text
    assert any("image/png" in output.get("data", {}) for output in outputs)
