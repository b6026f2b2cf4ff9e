# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What is in a base image: as its config tells, or as its layers' files do when somebody looks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.images.base_facts import GLIBC, MUSL, BaseImageFacts, Libc, facts_of_config
from covalent_awsbatch_plugin.images.layer import Blob, Entry, Layer, Link, layer
from covalent_awsbatch_plugin.images.layer_scan import Probe
from covalent_awsbatch_plugin.images.manifest import OCI, Descriptor, Image, assemble
from tests.images.world import base_of

GLIBC_SAYS = b"\x7fELF ... GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright"
DEBIAN: dict[str, Entry] = {
    "bin": Link("usr/bin"),
    "usr/bin/env": b"",
    "usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC_SAYS,
    "usr/local/bin/python3": Link("python3.12"),
    "usr/local/bin/python3.12": b"\x7fELF",
    "usr/local/lib/python3.12/site-packages/numpy-1.26.4.dist-info/METADATA": b"Name: numpy",
    "usr/local/lib/python3.12/site-packages/Ruamel.Yaml-0.18.dist-info/METADATA": b"",
    "usr/lib/python3.11/site-packages/other-1.0.dist-info/METADATA": b"",
}


async def looked(folder: Path, *layers: Layer) -> BaseImageFacts:
    return await Probe(folder).look(base_of(layers, python=None), [Blob.of(each.data) for each in layers])


async def test_python_libc_and_packages_are_read_from_the_layers(tmp_path: Path) -> None:
    packages = {"numpy": "1.26.4", "ruamel-yaml": "0.18"}
    assert await looked(tmp_path, layer(DEBIAN)) == BaseImageFacts("3.12", Libc(GLIBC, (2, 36)), packages)


async def test_an_answer_is_kept_by_digest_and_nothing_else_is(tmp_path: Path) -> None:
    first = await looked(tmp_path, layer(DEBIAN))
    image = base_of([layer(DEBIAN)], python=None)
    assert await Probe(tmp_path).look(image, []) == first  # without layers to read
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("files", "python"),
    [
        ({"usr/bin/python3": Link("/etc/alternatives/p"), "etc/alternatives/p": Link("/usr/bin/python3.11")}, "3.11"),
        ({"bin": Link("usr/bin"), "usr/bin/python3": Link("../lib/../bin/python3.13")}, "3.13"),
        ({"usr/local/bin/python3": b"#!/bin/sh", "opt/x/bin/python3.11": b""}, "3.11"),
        ({"usr/local/bin/python3": b"#!/bin/sh", "opt/x/bin/python3.11": b"", "opt/y/bin/python3.12": b""}, None),
        ({"usr/bin/python3": Link("python3")}, None),
        ({"opt/conda/bin/python3": Link("python3.11")}, ""),  # not on the PATH
        ({"usr/bin/perl": b""}, ""),
    ],
)
async def test_the_python_is_the_one_that_a_shell_would_find(
    tmp_path: Path, files: dict[str, Entry], python: str | None
) -> None:
    assert (await looked(tmp_path, layer(files))).python == python


async def test_an_upper_layer_overrules_a_lower_one(tmp_path: Path) -> None:
    removed = layer({"usr/local/bin/.wh.python3": b"", "usr/bin/python3": Link("python3.11")})
    emptied = layer({"usr/local/lib/python3.12/site-packages/.wh..wh..opq": b""})
    assert (await looked(tmp_path / "one", layer(DEBIAN), removed)).python == "3.11"
    assert (await looked(tmp_path / "two", layer(DEBIAN), emptied)).packages == {}


@pytest.mark.parametrize(
    ("files", "libc"),
    [
        ({"lib/ld-musl-x86_64.so.1": b""}, Libc(MUSL)),
        (
            {"lib64/libc.so.6": Link("libc-2.17.so"), "lib64/libc-2.17.so": GLIBC_SAYS.replace(b"2.36", b"2.17")},
            (2, 17),
        ),
        ({"usr/lib/libc.so": b"/* GNU ld script */"}, None),
    ],
)
async def test_the_c_library_is_found(tmp_path: Path, files: dict[str, Entry], libc: Any) -> None:
    expected = Libc(GLIBC, libc) if isinstance(libc, tuple) else libc
    assert (await looked(tmp_path, layer(files))).libc == expected


@pytest.mark.parametrize("data", [b"(\xb5/\xfd zstd", gzip.compress(b"no tar")], ids=["zstd", "no tar"])
async def test_what_can_not_be_read_is_not_guessed_at(tmp_path: Path, data: bytes) -> None:
    image = base_of([layer(DEBIAN)], python=None)
    assert await Probe(tmp_path).look(image, [Blob.of(data)]) == BaseImageFacts()
    assert not list(tmp_path.iterdir())


async def test_a_layer_that_was_cut_on_its_way_is_not_believed(tmp_path: Path) -> None:
    whole = layer(DEBIAN)
    cut = Blob.of(bytes(whole.data)[:900], whole.digest)
    assert await Probe(tmp_path).look(base_of([whole], python=None), [cut]) == BaseImageFacts()


def configured(history: Sequence[str] = (), **runtime: Any) -> Image:
    config = {"config": runtime, "history": [{"created_by": step} for step in history]}
    return assemble(OCI, json.dumps(config).encode(), [Descriptor(OCI.layer, "sha256:" + "0" * 64, 1)])


@pytest.mark.parametrize(
    ("image", "libc"),
    [
        (configured(["# debian.sh --arch 'amd64' out/ 'bookworm' '@1719792000'"]), Libc(GLIBC, (2, 36))),
        (configured(["# debian.sh --arch 'amd64' out/ 'duke' '@2719792000'"]), None),
        (configured(["ADD alpine-minirootfs-3.20.0-x86_64.tar.gz / # buildkit"]), Libc(MUSL)),
        (
            configured(
                Labels={"org.opencontainers.image.ref.name": "ubuntu", "org.opencontainers.image.version": "22.04"}
            ),
            Libc(GLIBC, (2, 35)),
        ),
        (configured(Labels={"covalent.awsbatch.libc": "glibc 2.31"}), Libc(GLIBC, (2, 31))),
        (configured(Labels=None), None),
    ],
)
def test_a_config_that_tells_the_c_library_is_believed(image: Image, libc: Libc | None) -> None:
    assert facts_of_config(image) == BaseImageFacts(libc=libc)


def test_what_is_inside_is_written_and_read() -> None:
    for inside in (
        BaseImageFacts(),
        BaseImageFacts("", Libc(MUSL), {}),
        BaseImageFacts("3.11", Libc(GLIBC, (2, 36)), {"numpy": "2.0"}),
    ):
        assert BaseImageFacts.from_json(inside.to_json()) == inside
