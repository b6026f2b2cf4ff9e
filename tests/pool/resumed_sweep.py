# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A user's script with a named pool, which a test kills and starts again: resumed_sweep.py POOL SETTINGS ROWS."""

import json
import sys
import time
from pathlib import Path

from covalent_awsbatch_plugin import BatchPool

COLOURS = {"red", "green", "blue", "cyan", "black"}


class Model:
    """A class of `__main__`."""

    limits = {"low", "high", "none"}  # noqa: RUF012 - its order differs in each process

    def __init__(self, row):
        self.row, self.tags = row, {"a", "b", "c"}

    def score(self):
        return self.row * len(self.tags) + len(self.limits)


def scaled(factor):
    def scale(row, colours):
        assert colours <= COLOURS and "red" in {"red", "green", "violet", "yellow"}
        Path(folder, f"ran-{row}-{time.time_ns()}").touch()
        while gate and not Path(gate).exists():
            time.sleep(0.1)
        return Model(row).score() * factor

    return scale


if __name__ == "__main__":
    name, told, rows = sys.argv[1:]
    arguments = json.loads(told)
    folder, gate = arguments.pop("folder"), arguments.pop("gate", "")
    with BatchPool(name, **arguments) as pool:
        print("values", list(pool.map(scaled(10), range(int(rows)), [COLOURS] * int(rows))), flush=True)
