# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""On a real Covalent server: the real numpy, pandas and scikit-learn from the package index, and code of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import covalent as ct
import pytest

from tests.dependencies.index import write_package
from tests.server.covalent_world import TERMINAL, CovalentWorld, covalent_world, wait_until

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
DOCKER = pytest.param("docker", marks=pytest.mark.engine)

SCRIPT = """
def prepare():
    import pandas
    from sklearn import datasets
    import beside

    iris = datasets.load_iris(as_frame=True)
    return pandas.concat([iris.data * beside.factor, iris.target], axis=1)

def train(table):
    from sklearn.svm import SVC

    return SVC().fit(table.iloc[:, :-1], table["target"])

def score(model, table):
    import mine
    import numpy

    return round(float(model.score(table.iloc[:, :-1], table["target"])), 2), mine.answer, numpy.__name__
"""


@pytest.fixture(scope="module", params=["process", DOCKER])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CovalentWorld]:
    with covalent_world(request.param, tmp_path_factory.mktemp("covalent")) as opened:
        yield opened


def functions(folder: Path) -> dict[str, Any]:
    """Those of a script, with a module beside it."""
    (folder / "beside.py").write_text("factor = 2\n")
    path = folder / "script.py"
    path.write_text(SCRIPT)
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}  # as Python runs a script
    exec(compile(SCRIPT, str(path), "exec"), names)
    return names


def built_before(world: CovalentWorld, environment: list[str]) -> None:
    """As a user may, so that downloads are no part of the first task's time."""
    packages = "\n".join(
        each for each in environment if each != "auto"
    )  # a command can't know which tasks there will be
    words = ["-m", "covalent_awsbatch_plugin.cli", "env", "build", "--environment", packages]
    told = subprocess.run([sys.executable, *words], env=world.server.environment, capture_output=True, text=True)
    assert told.returncode == 0 and "scikit-learn" in told.stdout, told


def test_a_model_is_trained_and_scored_with_packages_that_no_image_has(world: CovalentWorld, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", "mine", source="answer = 42\n")
    environment = ["auto", "numpy", "pandas", "scikit-learn", str(package)]
    built_before(world, environment)
    executor = ct.executor.AWSBatchExecutor(environment=environment, memory=2)
    script = functions(tmp_path)
    prepare, train, score = (ct.electron(script[name], executor=executor) for name in ("prepare", "train", "score"))

    @ct.lattice(executor="local")
    def workflow() -> Any:
        table = prepare()
        return score(train(table), table)

    assert world.completed(workflow).value == (0.97, 42, "numpy")


def test_deps_pip_is_baked_into_the_image(world: CovalentWorld) -> None:
    @ct.electron(executor="awsbatch", deps_pip=ct.DepsPip(packages=["iniconfig==2.0.0"]))
    def where() -> str:
        import iniconfig

        return str(iniconfig.__file__)

    @ct.lattice(executor="local")
    def workflow() -> Any:
        return where()

    assert "/covalent/env/iniconfig/" in world.completed(workflow).value


WHOLE_SCRIPT = """
import sys

import covalent as ct
import helper_mod

executor = ct.executor.AWSBatchExecutor(environment="auto")

@ct.electron(executor=executor)
def double(number):
    return helper_mod.factor * number

@ct.lattice(executor=executor)
def workflow(number):
    return double(number)

print(ct.dispatch(workflow, dispatcher_addr=sys.argv[1])(21))
"""


def test_a_module_imported_at_the_top_of_a_script_travels_with_its_task(world: CovalentWorld, tmp_path: Path) -> None:
    (tmp_path / "helper_mod.py").write_text("factor = 2\n")
    (tmp_path / "script.py").write_text(WHOLE_SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), world.server.address]
    client = subprocess.run(command, env=world.server.environment, capture_output=True, text=True, timeout=120)
    assert client.returncode == 0, client
    dispatch_id, server = client.stdout.strip(), world.server
    # The lattice's value is put together on AWS Batch too, whose environment then has Covalent in it.
    wait_until(lambda: world.status(dispatch_id) in TERMINAL, f"the end of {dispatch_id}", server.last_words, 600)
    ended = world.end_of(dispatch_id)
    assert ended.node("double").output == 42, ended
    assert (ended.status, ended.value) == ("COMPLETED", 42), ended
