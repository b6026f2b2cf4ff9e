# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several sealed envelopes of one shared container in one object.

Bytes: magic (8), then for each envelope the number of its task in the job (8), its size (8, big-endian) and its bytes.
Each envelope has its own key, job id and attempt, so this frame needs no authentication of its own. A container writes
bundles numbered from 0; each commits what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

from .envelope import BadEnvelope
from .layout import attempt_prefix

MAGIC = b"CVAWSBU\x01"
_ENTRY = Struct(">QQ")
NAME = "bundle-"
FULL_BYTES = 8 * 1024 * 1024  # of sealed results, after which a bundle takes no more
MOST_BYTES = 64 * 1024 * 1024  # of a bundle: one that is nearly full, and one envelope whose large parts are elsewhere


def bundle_key(prefix: str, job_id: str, attempt: int, number: int) -> str:
    """Return the key of a container's bundle; `job_id` is AWS Batch's."""
    return f"{attempt_prefix(prefix, job_id, attempt)}/{NAME}{number}"


def pack(envelopes: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the bundle of sealed envelopes, each with the number of its task."""
    parts = [MAGIC]
    for member, data in envelopes:
        parts += _ENTRY.pack(member, len(data)), data
    return b"".join(parts)


def unpack(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the sealed envelopes. Raises BadEnvelope for other bytes, or where they end too early."""
    if not data.startswith(MAGIC):
        raise BadEnvelope("these bytes are no bundle of results, or a later format")
    at = len(MAGIC)
    while at < len(data):
        if at + _ENTRY.size > len(data):
            raise BadEnvelope("the bundle was cut")
        member, size = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        if at + size > len(data):
            raise BadEnvelope("the bundle was cut")
        yield member, data[at : at + size]
        at += size
