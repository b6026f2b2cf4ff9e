# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Manifests and configs: composed of a base and our layers, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from covalent_awsbatch_plugin.errors import ImageError
from covalent_awsbatch_plugin.images.layer import digest_of, layer
from covalent_awsbatch_plugin.images.manifest import (
    DOCKER,
    EPOCH,
    OCI,
    Family,
    Image,
    Manifest,
    check_platform,
    compose,
    python_version,
    read_manifest,
    select_platform,
)
from covalent_awsbatch_plugin.runner.protocol.layout import ENTRYPOINT

from .world import AMD64, FAMILIES, base_of, runner_layer, some_layers, task_layer


def config_of(image: Image) -> dict[str, Any]:
    config = json.loads(image.config)
    assert isinstance(config, dict)
    return config


def with_config(image: Image, **changes: object) -> Image:
    return Image(image.manifest, json.dumps(config_of(image) | changes).encode())


BASE = base_of(some_layers(3))
LAYERS = [runner_layer(10), task_layer()]


def test_the_same_base_and_layers_are_the_same_image_on_every_machine() -> None:
    """A change here makes every image of every user new: it needs a line in the changelog.

    The bytes of a compressed layer depend on zlib's version, so both layers are stored here.
    """
    layers = [runner_layer(10), layer({"covalent/tasks/0.json": b"a task"}, "task")]
    assert compose(BASE, layers).digest == "sha256:4514e46f2fd9cb69725ca80775bfe293f83e167fdb2735e120e41f5329e24f88"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_stays_in_the_family_of_its_base(family: Family) -> None:
    base = base_of(some_layers(2), family)
    image = compose(base, LAYERS)
    manifest = json.loads(image.manifest.body)
    assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, family.manifest)
    assert image.manifest.media_type == family.manifest
    assert image.manifest.config.media_type == family.config
    assert [each.media_type for each in image.manifest.layers] == [family.layer] * 4
    assert image.manifest.layers[:2] == base.manifest.layers


def test_the_config_is_the_one_the_manifest_names() -> None:
    image = compose(BASE, LAYERS)
    assert (image.manifest.config.digest, image.manifest.config.size) == (digest_of(image.config), len(image.config))
    assert image.digest == digest_of(image.manifest.body)


def test_the_container_starts_our_runner_and_keeps_what_the_base_says_else() -> None:
    runtime = config_of(compose(BASE, LAYERS))["config"]
    assert "Entrypoint" not in runtime
    assert runtime["Cmd"] == list(ENTRYPOINT)
    assert (runtime["User"], runtime["WorkingDir"]) == ("1000", "/home")
    assert runtime["Labels"] == {"covalent.awsbatch.base.layers": "3"}
    assert runtime["Env"] == [*config_of(BASE)["config"]["Env"], "COVALENT_PLUGIN_LOAD=false"]


def test_a_variable_of_ours_replaces_the_base_s() -> None:
    image = compose(BASE, LAYERS, {"PATH": "/bin", "MORE": "a=b"})
    assert config_of(image)["config"]["Env"] == ["PATH=/bin", "PYTHON_VERSION=3.11.7", "MORE=a=b"]


def test_the_stop_signal_is_the_one_the_runner_handles_whatever_the_base_says() -> None:
    stopped = with_config(BASE, config={"StopSignal": "SIGQUIT"})
    assert config_of(compose(stopped, LAYERS))["config"]["StopSignal"] == "SIGTERM"


def test_labels_of_the_base_are_kept() -> None:
    labelled = with_config(BASE, config={"Labels": {"vendor": "x"}})
    labels = config_of(compose(labelled, LAYERS))["config"]["Labels"]
    assert labels == {"vendor": "x", "covalent.awsbatch.base.layers": "3"}


def test_each_layer_has_a_step_in_the_history_and_no_time() -> None:
    config = config_of(compose(BASE, LAYERS))
    assert config["created"] == EPOCH
    assert [step.get("comment") for step in config["history"]] == [None, None, None, "runner", "task"]
    assert config["rootfs"]["diff_ids"][3:] == [each.diff_id for each in LAYERS]


@pytest.mark.parametrize("history", [None, [], [{"created_by": "x"}], [{"empty_layer": True}] * 3])
def test_a_base_whose_history_is_not_its_own_gets_one(history: list[dict[str, object]] | None) -> None:
    config = config_of(compose(with_config(BASE, history=history), LAYERS))
    assert len(config["history"]) == 5


def test_what_an_old_engine_noted_of_its_build_is_left_out() -> None:
    noted = {"container": "abc", "container_config": {}, "docker_version": "20.10", "id": "x", "parent": "y"}
    assert not noted.keys() & config_of(compose(with_config(BASE, **noted), LAYERS)).keys()


def test_a_base_with_no_runtime_config_at_all_is_a_base() -> None:
    assert config_of(compose(with_config(BASE, config=None), LAYERS))["config"]["Cmd"] == list(ENTRYPOINT)


def test_125_layers_are_the_most() -> None:
    assert len(compose(base_of(some_layers(123)), LAYERS).manifest.layers) == 125
    with pytest.raises(ImageError, match="has 124 layers; with 2 more it exceeds 125"):
        compose(base_of(some_layers(124)), LAYERS)


def test_a_base_whose_config_and_manifest_differ_is_broken() -> None:
    with pytest.raises(ImageError, match="3 layers in its manifest, 0 in its config"):
        compose(with_config(BASE, rootfs={}), LAYERS)


@pytest.mark.parametrize(
    ("config", "version"),
    [
        ({"config": {"Env": ["PYTHON_VERSION=3.12.1"]}}, "3.12.1"),
        ({"config": {"Env": ["PYTHON_VERSION=3.12.1"], "Labels": {"covalent.awsbatch.python": "3.11.9"}}}, "3.11.9"),
        ({"config": {"Env": ["PYTHON_VERSION="]}}, None),
        ({"config": {"Env": None, "Labels": None}}, None),
        ({"config": None}, None),
        ({}, None),
    ],
)
def test_the_python_of_an_image_is_in_its_config(config: dict[str, object], version: str | None) -> None:
    assert python_version(config) == version


def index(*platforms: dict[str, str] | None) -> bytes:
    listed = [
        {"mediaType": OCI.manifest, "digest": f"sha256:{number}", "size": 1, **({"platform": each} if each else {})}
        for number, each in enumerate(platforms)
    ]
    return json.dumps({"schemaVersion": 2, "manifests": listed}).encode()


AMD, ARM = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64", "variant": "v8"}
ATTESTATION = {"os": "unknown", "architecture": "unknown"}


@pytest.mark.parametrize(
    ("platform", "digest"), [("linux/amd64", "sha256:1"), ("linux/arm64", "sha256:2"), ("linux/arm64/v8", "sha256:2")]
)
def test_an_index_gives_the_manifest_of_the_platform(platform: str, digest: str) -> None:
    assert select_platform(index(ATTESTATION, AMD, ARM), platform).digest == digest


def test_a_platform_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ImageError, match=r"not available for linux/s390x, only for linux/amd64, linux/arm64\."):
        select_platform(index(AMD, ARM, ATTESTATION, None), "linux/s390x")
    with pytest.raises(ImageError, match="no platform at all"):
        select_platform(index(), AMD64)


def test_an_index_that_can_t_be_read_is_told() -> None:
    with pytest.raises(ImageError, match="can't be read"):
        select_platform(b"{}", AMD64)


def test_an_image_for_another_platform_is_told() -> None:
    check_platform(BASE, AMD64)
    with pytest.raises(ImageError, match="built for linux/amd64, and the job needs linux/arm64"):
        check_platform(BASE, "linux/arm64")


def changed(**changes: object) -> Manifest:
    return Manifest(json.dumps(json.loads(BASE.manifest.body) | changes).encode(), OCI.manifest)


SIGNATURE = {"mediaType": "application/vnd.example.signature", "digest": "sha256:0", "size": 2}
FOREIGN = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": "sha256:f", "size": 2}


@pytest.mark.parametrize(
    ("body", "media_type", "why"),
    [
        (b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "manifest.v1"),
        (b"{}", "", "unknown"),
        (b"{}", OCI.manifest, "can't be read"),
        (b"not JSON", OCI.manifest, "can't be read"),
        (b"[]", OCI.manifest, "can't be read"),
        (
            changed(config=SIGNATURE).body,
            OCI.manifest,
            "not a container image: its config has the type application/vnd.example",
        ),
        (changed(layers=[FOREIGN]).body, DOCKER.manifest, "Layer sha256:f"),
    ],
)
def test_what_no_container_can_run_from_is_refused(body: bytes, media_type: str, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        read_manifest(body, media_type)
