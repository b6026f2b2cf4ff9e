# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Base images in other registries: ECR's with the one login, private ones with what `docker login` left."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.images.builders.builder import Login, Repository
from covalent_awsbatch_plugin.images.builders.registry_builder import RegistryBuilder
from covalent_awsbatch_plugin.images.reference import ecr_host, shares_login
from covalent_awsbatch_plugin.images.registry import docker_config
from covalent_awsbatch_plugin.images.registry.docker_config import docker_login

from .world import AMD64, LOGIN, base_of, local_site, put_base, some_layers, task_layer

OURS = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes Docker's config file, and credential helpers that print what is said here."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(config: Any, **helpers: str) -> None:
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "config.json").write_text(text)
        for name, script in helpers.items():
            program = tmp_path / f"docker-credential-{name}"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

    return write


def auth(login: Login) -> str:
    return base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


# ---- ECR -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "other",
    [
        "763104351884.dkr.ecr.eu-west-1.amazonaws.com",  # AWS Deep Learning Containers
        "210987654321.dkr.ecr.us-east-1.amazonaws.com",
        "210987654321.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        "210987654321.dkr-ecr.us-east-1.on.aws",
    ],
)
def test_ecrs_login_is_good_for_every_ecr_registry(other: str) -> None:
    assert shares_login(other, OURS)
    assert RegistryBuilder().login(other, Repository(OURS, "tasks", LOGIN)) == LOGIN


@pytest.mark.parametrize(
    "other",
    [
        "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "210987654321.dkr.ecr.us-east-1.amazonaws.com.evil.example",
        "210987654321.dkr.ecr.us-east-1.evil.com",
        "evil.210987654321.dkr.ecr.us-east-1.amazonaws.com",
        "public.ecr.aws",
        "docker.io",
        "127.0.0.1:5000",
    ],
)
def test_ecrs_login_is_sent_to_no_other_registry(other: str) -> None:
    assert not shares_login(other, OURS)
    assert RegistryBuilder().login(other, Repository(OURS, "tasks", LOGIN)) is None


def test_the_login_of_a_registry_that_is_not_ecr_is_its_own() -> None:
    assert RegistryBuilder().login(OURS, Repository("127.0.0.1:5000", "tasks", LOGIN)) is None


def test_an_ecr_host_has_its_parts() -> None:
    place = ecr_host("210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn")
    assert place is not None
    assert (place.account, place.region, place.china) == ("210987654321", "cn-north-1", True)


# ---- Docker's config -------------------------------------------------------------------------------------------------
async def test_a_private_base_is_read_with_dockers_login(write: Write, tmp_path: Path) -> None:
    for name in ("hub", "ours"):
        (tmp_path / name).mkdir()
    async with (
        local_site(tmp_path / "hub") as hub,
        local_site(tmp_path / "ours") as ours,
        RegistryBuilder() as builder,
    ):
        layers = some_layers(2)
        name = await put_base(hub.repository("python"), base_of(layers), layers)
        write({"auths": {hub.host: {"auth": auth(LOGIN)}}})
        base = await builder.resolve_base(name, AMD64, ours.repository())
        image = await builder.push(base, [task_layer()], ours.repository())
        assert image.uri.startswith(ours.host)


@pytest.mark.parametrize("key", ["registry.example", "https://registry.example", "https://registry.example/v1/"])
async def test_a_login_in_the_file_is_found_by_its_host(write: Write, key: str) -> None:
    write({"auths": {key: {"auth": auth(Login("me", "se:cret"))}}})
    assert await docker_login("registry.example") == Login("me", "se:cret")


async def test_docker_hub_has_a_key_of_its_own(write: Write) -> None:
    write({"auths": {"https://index.docker.io/v1/": {"auth": auth(Login("me", "secret"))}}})
    assert await docker_login("docker.io") == Login("me", "secret")


PRINTS = (
    """read host; [ "$1 $host" = "get registry.example" ] || exit 1; echo '{"Username": "me", "Secret": "secret"}'"""
)


@pytest.mark.parametrize(
    "config", [{"credHelpers": {"registry.example": "own"}}, {"credsStore": "own", "auths": {"registry.example": {}}}]
)
async def test_a_credential_helper_is_asked(write: Write, config: dict[str, Any]) -> None:
    write(config, own=PRINTS)
    assert await docker_login("registry.example") == Login("me", "secret")
    assert await docker_login("other.example") is None


@pytest.mark.parametrize(
    ("config", "helpers", "words"),
    [
        ({"credsStore": "missing"}, {}, "docker-credential-missing, which Docker's config file names"),
        ({"credsStore": "odd"}, {"odd": "echo nothing"}, "docker-credential-odd printed no login"),
        (
            {"credsStore": "token"},
            {"token": """echo '{"Username": "<token>", "Secret": "s"}'"""},
            "an identity token for registry.example",
        ),
        ({"credsStore": "slow"}, {"slow": "exec sleep 60"}, "docker-credential-slow did not answer"),
        ("no json", {}, "Docker's config file"),
    ],
)
async def test_a_login_that_can_not_be_had_is_told_and_not_fatal(
    write: Write,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    config: Any,
    helpers: dict[str, str],
    words: str,
) -> None:
    monkeypatch.setattr(docker_config, "HELPER_S", 0.2)
    write(config, **helpers)
    assert await docker_login("registry.example") is None
    assert words in caplog.text


async def test_without_a_config_file_there_is_no_login(write: Write) -> None:
    assert await docker_login("registry.example") is None


async def test_a_password_is_in_no_text(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write({"credsStore": "odd"}, odd='echo \'{"Username": 1, "secret-secret": 2}\'')
    assert await docker_login("registry.example") is None
    assert "secret-secret" not in caplog.text
