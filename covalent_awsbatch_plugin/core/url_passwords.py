# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Passwords in URLs: nothing that is shown or stored may have one."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?<=://)[^/@\s'\"]+@")


def has_password(text: str) -> bool:
    """Return whether a URL in the text has something before @."""
    return _PASSWORD.search(text) is not None


def without_passwords(text: str) -> str:
    """Return the text with `***` for what stands before @ in URLs."""
    return _PASSWORD.sub("***@", text)
