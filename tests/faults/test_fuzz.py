# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A sample of the fuzz of each reader; `make soak` gives each of them 20,000 examples."""

from __future__ import annotations

import pytest

from tests.faults.fuzz import run, within_bounds
from tests.faults.fuzz_targets import TARGETS, FuzzTarget

EXAMPLES, SEED = 40, 1


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_its_seeds_and_raises_only_its_own_errors(name: str) -> None:
    assert all(TARGETS[name].run(seed) for seed in TARGETS[name].seeds)
    examples, taken = run(name, EXAMPLES, SEED)
    assert taken <= examples >= EXAMPLES // 2


# what a fuzz has found: the reader, and the bytes in place of a part of its seed
FOUND = {
    "a number of 5000 digits": ("sealed headers", b'"attempt": 1', b'"attempt": ' + b"9" * 5000),
    "a nested manifest": ("manifests", b'"layers":', b'"layers":' + b"[" * 40_000),
    "a media type that is no text": ("manifests", b'"size":9', b'"size":9,"mediaType":1'),
    "a config that is no object": ("image configs", b"{", b"[{"),
    "labels that are no object": ("image configs", b'"Labels": {', b'"Labels": [1], "x": {'),
    "a nested error": ("registry answers", b"[{", b"[" * 40_000),
    "a nested lock": ("lock files", b'"1.0"', b"[" * 40_000),
    "a setting's name that is no text": ("settings", b'"vcpu"', b'"\\ud800"'),
    "a list of 13 GB": ("payload files", (72).to_bytes(8, "big"), (13 << 30).to_bytes(8, "big")),
    "a nested description": ("task descriptions", b'"covalent":', b'"covalent":' + b"[" * 40_000),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_the_fuzz_found_is_refused(what: str) -> None:
    name, part, other = FOUND[what]
    target = TARGETS[name]
    data = target.seeds[0].replace(part, other)
    is_silent = not target.ours  # it returns nothing that tells whether it took the data
    assert within_bounds(target, data) is is_silent


def test_an_error_that_is_not_the_readers_own_is_seen() -> None:
    def read(data: bytes) -> None:
        raise IndexError(data)

    with pytest.raises(IndexError):
        FuzzTarget(read, (ValueError,), (b"x",)).run(b"y")
