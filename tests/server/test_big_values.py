# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Values too big for an image, and who unpickles them: the job and the client, the Covalent server never."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import covalent as ct

from tests.server.covalent_world import CovalentWorld

MB = 1_000_000


def test_100_mb_go_in_and_100_mb_come_out_and_the_server_opens_none(world: CovalentWorld, tmp_path: Path) -> None:
    class Heavy:
        """Bytes that say who unpickles them: a line with the program's name in a file. Its text is short."""

        def __init__(self, data: bytes, witness: str) -> None:
            self.data, self.witness = data, witness

        def __repr__(self) -> str:
            return f"Heavy of {len(self.data)} bytes"

        def __reduce__(self):
            def made(kind, data, witness):
                with open(witness, "a") as file:
                    print(sys.argv[0] or "?", file=file)
                return kind(data, witness)

            return made, (type(self), self.data, self.witness)

    witness = tmp_path / "witness"

    @ct.electron(executor="awsbatch")
    def reverse(heavy):
        print(hashlib.sha256(heavy.data).hexdigest())
        return Heavy(heavy.data[::-1], heavy.witness)

    @ct.electron(executor="awsbatch")
    def light():
        return "light"

    # Not the heavy one: what puts the workflow's value together unpickles it, beside the server.
    @ct.lattice
    def workflow(heavy):
        reverse(heavy)
        return light()

    data = os.urandom(100 * MB)
    ran = world.completed(workflow, Heavy(data, str(witness)))

    node = ran.node("reverse")
    assert node.output.data == data[::-1]
    assert node.stdout == hashlib.sha256(data).hexdigest() + "\n"
    programs = witness.read_text().splitlines()
    assert len(programs) >= 2
    assert "app.py" not in {Path(name).name for name in programs}
