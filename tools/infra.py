# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Writes what of assets/infra is made from the settings. `--check` writes nothing and fails where it would change."""

import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from covalent_awsbatch_plugin.thought.terraform import FILES  # noqa: E402 - after the path


def main(check: bool) -> int:
    changed = []
    for name, made in FILES.items():
        path = PROJECT / "assets" / "infra" / name
        if not path.exists() or path.read_text(encoding="utf-8") != made():
            changed.append(name)
            if not check:
                path.write_text(made(), encoding="utf-8")
    print(f"{'To be written' if check else 'Written'}: {', '.join(changed) or 'nothing'}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
