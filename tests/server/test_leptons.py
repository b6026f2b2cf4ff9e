# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Electrons that are no Python: shell commands and C."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import covalent as ct
import pytest

from tests.server.covalent_world import CovalentWorld

SOURCE = """
#include <stdio.h>
void add(double a, double b, double *sum) {
    *sum = a + b;
    printf("C adds %g and %g\\n", a, b);
    fflush(stdout);
}
"""


def test_a_shell_lepton_returns_its_named_outputs(any_world: CovalentWorld) -> None:
    greet = ct.Lepton(
        "bash",
        command='greeting="hello, $1"; number=$((6 * 7))',
        argtypes=[(str, ct.Lepton.OUTPUT), (int, ct.Lepton.OUTPUT)],
        named_outputs=["greeting", "number"],
        display_name="greet",
        executor="awsbatch",
    )

    @ct.lattice
    def workflow(name):
        return greet(name)

    assert any_world.completed(workflow, "world").value == ("hello, world", 42)


def test_a_shell_lepton_that_fails_says_what_the_shell_said(world: CovalentWorld) -> None:
    broken = ct.Lepton("bash", command="no-such-program-anywhere", display_name="broken", executor="awsbatch")

    @ct.lattice
    def workflow():
        return broken()

    assert "no-such-program-anywhere" in world.failed(workflow).node("broken").error


def test_a_c_lepton_calls_a_library_of_the_image(any_world: CovalentWorld) -> None:
    number, out = (ctypes.c_double, ct.Lepton.INPUT), (ctypes.POINTER(ctypes.c_double), ct.Lepton.OUTPUT)
    sincos = ct.Lepton(
        "C", library_name="libm.so.6", function_name="sincos", argtypes=[number, out, out], executor="awsbatch"
    )

    @ct.lattice
    def workflow(x):
        return sincos(x, None, None)

    assert any_world.completed(workflow, 1.0).value == (math.sin(1.0), math.cos(1.0))


def test_a_c_lepton_calls_a_library_that_came_from_s3(any_world: CovalentWorld, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("a C lepton needs a library, and this machine has no gcc to make one")
    (tmp_path / "add.c").write_text(SOURCE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "libadd.so", tmp_path / "add.c"], check=True)
    bucket, key = any_world.section["s3_bucket_name"], f"{uuid4().hex}.so"
    library = (tmp_path / "libadd.so").read_bytes()
    any_world.client("s3").put_object(Bucket=bucket, Key=key, Body=library)

    add = ct.Lepton(
        "C",
        library_name=f"/tmp/{key}",
        function_name="add",
        argtypes=[
            (ctypes.c_double, ct.Lepton.INPUT),
            (ctypes.c_double, ct.Lepton.INPUT),
            (ctypes.POINTER(ctypes.c_double), ct.Lepton.OUTPUT),
        ],
        display_name="add",
        executor="awsbatch",
        files=[ct.fs.TransferFromRemote(f"s3://{bucket}/{key}", f"/tmp/{key}", strategy=ct.fs_strategies.S3())],
    )

    @ct.lattice
    def workflow(a, b):
        return add(a, b, None)

    ran = any_world.completed(workflow, 1.5, 2.25)

    assert ran.value == 3.75
    assert ran.node("add").stdout == "C adds 1.5 and 2.25\n"
