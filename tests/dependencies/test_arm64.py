# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The real numpy for arm64, from the package index: resolved, composed, its files looked at; it can't run here."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.dependencies.lock import Target
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.spec import environment_spec
from covalent_awsbatch_plugin.dependencies.store import LayerStore
from covalent_awsbatch_plugin.images.layer import Layer, digest_of
from covalent_awsbatch_plugin.images.manifest import compose
from tests.images.world import base_of, some_layers

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]  # as others that need the package index

MACHINES = {"linux/arm64": 0xB7, "linux/amd64": 0x3E}  # e_machine in an ELF file's header
MINOR = f"3.{sys.version_info.minor}"


@pytest.mark.parametrize("platform", MACHINES)
def test_every_library_is_for_the_processor_of_the_queue(platform: str, tmp_path: Path) -> None:
    environments = Environments(LayerStore(tmp_path / "store"))
    lock = environments.lock(environment_spec("numpy"), Target(platform, MINOR, (2, 36)))
    layers = environments.layers(lock)

    image = compose(base_of(some_layers(2), platform=platform), layers)

    assert image.platform == platform
    assert [each.digest for each in image.manifest.layers[2:]] == [digest_of(layer.data) for layer in layers]
    assert json.loads(image.config)["rootfs"]["diff_ids"][2:] == [layer.diff_id for layer in layers]
    files = {name: data for layer in layers for name, data in heads(layer)}
    libraries = [data for name, data in files.items() if ".so" in name]
    assert len(libraries) > 10
    assert {int.from_bytes(data[18:20], "little") for data in libraries} == {MACHINES[platform]}
    assert f"covalent/env/numpy/__pycache__/__init__.{sys.implementation.cache_tag}.pyc" in files


def heads(layer: Layer) -> Iterator[tuple[str, bytes]]:
    """The files of a layer, each by its first bytes."""
    with tarfile.open(fileobj=io.BytesIO(bytes(layer.data))) as tar:
        for member in tar:
            if member.isfile() and (file := tar.extractfile(member)):
                yield member.name, file.read(64)
