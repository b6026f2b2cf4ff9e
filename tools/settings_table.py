# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Writes the README's table of settings from the settings themselves; the tests check that it was run."""

from __future__ import annotations

from pathlib import Path

from covalent_awsbatch_plugin.settings import Settings

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- settings: made by `python tools/settings_table.py`, checked by a test -->\n"
END = "<!-- /settings -->"


def table() -> str:
    """One row a setting: name, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory else f"`{field.default!r}`".replace("'", '"')
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The README with today's table. Raises ValueError when its marks are gone."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
