# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What is wrong with a setting's value, in words for its user: pydantic's speak of schemas."""

from __future__ import annotations

from typing import Any

_WORDS = {
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than_equal": "it must be at most {le:g}",
    "string_too_short": "it must not be empty",
    "string_pattern_mismatch": "it has other characters than it may have, or too many",
    "string_type": "it must be text",
    "finite_number": "it must be a finite number",
    "literal_error": "it must be {expected}",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
}
_BEGINNINGS = {"int": "it must be a whole number", "float": "it must be a number"}


def wrong_with(error: Any) -> str:
    """`error` is one of `pydantic.ValidationError.errors()`."""
    kind = str(error["type"])
    if kind in _WORDS:
        return _WORDS[kind].format(**error.get("ctx", {}))
    return _BEGINNINGS.get(kind.partition("_")[0], str(error["msg"]).removeprefix("Value error, "))
