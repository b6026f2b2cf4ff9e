# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A lattice of `n` electrons that need nothing of each other, dispatched to a Covalent server and waited for."""

from __future__ import annotations

import json
import sys
import time

import covalent as ct


def main(told: dict) -> None:
    @ct.electron(executor=told["executor"])
    def square(x):  # type: ignore[no-untyped-def]
        return x * x

    @ct.lattice(executor="local", workflow_executor="local")
    def squares(n):  # type: ignore[no-untyped-def]
        return [square(x) for x in range(n)]

    began = time.perf_counter()
    dispatch_id = ct.dispatch(squares, dispatcher_addr=told["address"])(told["n"])
    result = ct.get_result(dispatch_id, wait=True, dispatcher_addr=told["address"])
    wall = time.perf_counter() - began
    assert str(result.status) == "COMPLETED", result
    assert result.result == [x * x for x in range(told["n"])]
    print(json.dumps({"wall_s": wall}))


if __name__ == "__main__":
    main(json.load(sys.stdin))
