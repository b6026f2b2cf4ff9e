# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Where no Docker engine answers, the answer is no, and no socket stays open."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from pathlib import Path

import docker.errors
import pytest

from benchmarks import machine
from covalent_awsbatch_plugin.images.builders.docker_client import docker_answers, docker_client
from covalent_awsbatch_plugin.local.engines import choice
from covalent_awsbatch_plugin.local.engines.docker import DockerEngine
from tests import nothing_left_out


@pytest.fixture(params=["no file", "nobody listens", "path too long", "TCP"])
def no_engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """DOCKER_HOST names a place where no engine listens."""
    path = tmp_path / "engine.sock"
    host = f"unix://{path}"
    if request.param == "nobody listens":
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(path))
    elif request.param == "path too long":
        host = f"unix://{tmp_path}/{'x' * 150}"
    elif request.param == "TCP":
        with socket.create_server(("127.0.0.1", 0)) as closed:
            host = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("DOCKER_HOST", host)
    return host


def benchmarks_answer() -> bool:
    return machine._engine() != "no Docker engine answered"


@pytest.mark.parametrize(
    "answers",
    [
        lambda: docker_answers(timeout_s=5),
        choice.docker_answers,
        nothing_left_out.engine_answers.__wrapped__,
        benchmarks_answer,
    ],
    ids=["client", "local", "tests", "benchmarks"],
)
def test_a_question_for_an_engine_where_none_is_leaves_no_socket(no_engine: str, answers: Callable[[], bool]) -> None:
    assert not answers()
    gc.collect()  # a socket that was left open would warn here, and warnings are errors


@pytest.mark.parametrize("make", [lambda: docker_client(5), lambda: DockerEngine("registry", "password", 1)])
def test_a_client_of_an_engine_where_none_is_is_an_error_and_no_socket(
    no_engine: str, make: Callable[[], object]
) -> None:
    with pytest.raises(docker.errors.DockerException):
        make()
    gc.collect()
