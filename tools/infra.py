# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Writes what of assets/infra and docs/infrastructure.md is made from the settings; run it when those have changed."""

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from covalent_awsbatch_plugin.infra.terraform_files import FILES, settings_table  # noqa: E402 - after the path

DOCS = PROJECT / "docs" / "infrastructure.md"
TABLE = re.compile(r"(?<=<!-- infra settings -->\n).*?(?=<!-- /infra settings -->)", re.DOTALL)


def made() -> dict[Path, str]:
    """Each file with the text that it should have."""
    files = {PROJECT / "assets" / "infra" / name: make() for name, make in FILES.items()}
    table = settings_table() + "\n"
    return {**files, DOCS: TABLE.sub(lambda _: table, DOCS.read_text(encoding="utf-8"))}


def main() -> None:
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
