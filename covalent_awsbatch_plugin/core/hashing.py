# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Names made from the content of a value."""

from __future__ import annotations

import hashlib
import json

FORMAT = 1  # version of the package layers; another number rebuilds them all


def content_id(*parts: object) -> str:
    """Return a name of 64 hexadecimal digits: the same parts in the same order give the same name."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
