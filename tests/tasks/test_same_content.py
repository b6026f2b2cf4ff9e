# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The same call, packed in two fresh processes, is the same task: content, layer and payload have the same digests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json
import sys
from functools import partial
from pathlib import Path

from covalent_awsbatch_plugin.images.layer import compressed_layer
from covalent_awsbatch_plugin.tasks.image_and_payload import image_files, payload_of
from covalent_awsbatch_plugin.tasks.packing import pack
from covalent_awsbatch_plugin.tasks.staging import stage_call

FACTORS = [2, 3]
moved = [object() for _ in range(int(sys.argv[3]))]  # so that what follows has other addresses in another process


def scale(thing, call, *, factor=1):
    return [call(each * factor) for each in FACTORS]


def add(x, y):
    return x + y


def covalents(value, path):
    from covalent._workflow.transportable_object import TransportableObject

    path.write_bytes(TransportableObject(value).serialize())


folder, way = Path(sys.argv[1]), sys.argv[2]
args = (object(), partial(add, 1))
how = {"save": covalents} if way == "covalent" else {}
group = stage_call(scale, args, {"factor": 4}, folder, dispatch_id="d", node_id=0, **how)
captions = repr((scale, *args))
if way == "covalent":
    from covalent._workflow.depscall import DepsCall

    call = DepsCall(add, args=[1, 2], kwargs={}, retval_keyword="y").to_dict()
    group.tasks[0].hooks.write_text(json.dumps({"call_before": [call], "call_after": [], "deps": {}}))
package = pack(group, int(sys.argv[4]), lambda content: content.encode()[:32])
print(json.dumps({
    "captions": captions,
    "content": package.content,
    "uploads": sorted(package.uploads),
    "layer": compressed_layer(image_files([package], ["d"], 1)).digest,
    "payload": payload_of([package], ["d"], 1).digest,
}))
"""


def packed(folder: Path, way: str, moved: int, max_baked_bytes: int) -> dict[str, Any]:
    """What a fresh process says of the call."""
    staged = folder / f"staged-{moved}"
    staged.mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), str(staged), way, str(moved), str(max_baked_bytes)]
    said: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return said


@pytest.mark.parametrize("max_baked_bytes", [0, 1_000_000])
@pytest.mark.parametrize("way", ["direct", "covalent"])
def test_call_packed_in_two_processes_is_the_same_task(tmp_path: Path, way: str, max_baked_bytes: int) -> None:
    one, other = (packed(tmp_path, way, moved, max_baked_bytes) for moved in (10, 100_000))
    assert one.pop("captions") != other.pop("captions"), "they hold addresses"
    assert one == other
    assert bool(one["uploads"]) is (max_baked_bytes == 0)
