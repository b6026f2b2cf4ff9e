# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The removal of names from a record: an account's own names, and anything that looks like an id, a key or a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# Each pattern's matches become its placeholder. The first ones go first: an ARN holds an account's id.
_PATTERNS = tuple(
    (placeholder, re.compile(pattern, re.IGNORECASE))
    for placeholder, pattern in (
        ("<key>", r"-----BEGIN [^-]+-----.*?(-----END [^-]+-----|\Z)"),
        ("<arn>", r"arn:aws[a-z0-9-]*:[^\s\"'`,;<>()\[\]{}]+"),
        ("<url>", r"[a-z][a-z0-9+.-]*://[^\s\"'`,;<>()\[\]{}]+"),
        ("<email>", r"[a-z0-9._%+-]+@[a-z0-9.-]+"),
        ("<key-id>", r"\b(AKIA|ASIA|AROA|AIDA|ABIA|ACCA|AGPA|ANPA|APKA|ASCA)[A-Z0-9]{12,}"),
        ("<digest>", r"sha256:[0-9a-f]{8,}"),
        ("<id>", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        ("<ip>", r"(?<![0-9.])\d{1,3}(\.\d{1,3}){3}(?![0-9.])"),
        ("<ip>", r"(?<![0-9a-z:])(?=[0-9a-f:]*::|([0-9a-f]{1,4}:){7})[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}(?![0-9a-z:])"),
        ("<host>", r"\b(ip-\d+-\d+-\d+-\d+\b[a-z0-9.-]*|(?:[a-z0-9_-]+\.)+(?:amazonaws|amazon|awsapps|compute|internal"
                   r"|local|lan|corp|com|net|org|io|dev|cn|eu|aws)\b(?::\d+)?)"),
        ("<resource>", r"\b(i|vpc|subnet|sg|eni|rtb|igw|nat|vpce|ami|vol|eipalloc)-[0-9a-f]{8,}"),
        ("<account>", r"(?<!\d)\d{12}(?!\d)"),
        ("<key>", r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+=]{40,}"),
        ("<id>", r"(?<![0-9a-z])[0-9a-f]{16,}(?![0-9a-z])"),
    )
)  # fmt: skip

# Texts of a job's record that AWS chose from its own words; all others become "<text>".
_WORDS = frozenset({
    "status", "type", "action", "logDriver", "onExitCode", "platformCapabilities", "operatingSystemFamily",
    "cpuArchitecture", "platformVersion", "assignPublicIp", "networkMode", "instanceType", "value",
})  # fmt: skip
_SENTENCES = frozenset({"statusReason", "reason", "onStatusReason", "onReason"})  # scrubbed
_OWN_KEYS = frozenset({"tags", "parameters", "options", "environment", "secrets"})  # whose keys or values people choose
_FIELD = re.compile(r"[A-Za-z]{1,60}")


class Scrubber:
    """A scrubber for an account's own `names`, by their kind: `{"queue": [...]}`. Case does not matter.

    A name of one or two characters is removed where it is a word of its own.
    """

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        pairs = {(name, f"<{kind}>") for kind, own in names.items() for name in own if name.strip()}
        longest_first = sorted(pairs, key=lambda pair: (-len(pair[0]), pair))
        self._names = [(placeholder, _literal(name)) for name, placeholder in longest_first]

    def text(self, text: str) -> str:
        """Return a text with placeholders for all names, ids, keys, addresses and hosts."""
        pieces = [(text, False)]  # the second: a placeholder, in which nothing is replaced
        accounts = [each for each in self._names if each[0] == "<account>"]
        for placeholder, pattern in (*accounts, *self._names, *_PATTERNS):
            pieces = [part for piece in pieces for part in _split(piece, pattern, placeholder)]
        return "".join(piece for piece, _ in pieces)

    def plain(self, value: Any) -> Any:
        """Return JSON of this package's own making with every text scrubbed; its keys are this package's."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        return value

    def record(self, value: Any, field: str = "") -> Any:
        """Return a job's record: numbers, booleans, AWS's words, scrubbed sentences; any other text is hidden."""
        if isinstance(value, Mapping):
            if field in _OWN_KEYS:
                return {"<number of keys>": len(value)}
            return {_key(name): self.record(item, name) for name, item in value.items()}
        if isinstance(value, list | tuple):
            if field in _OWN_KEYS:
                return [f"<{len(value)} items>"]
            return [self.record(item, field) for item in value]
        if isinstance(value, str):
            if field in _SENTENCES or field in _WORDS:
                return self.text(value)
            return "<text>" if value else ""
        return "<account>" if isinstance(value, int) and len(str(value)) == 12 else value


def _literal(name: str) -> re.Pattern[str]:
    quoted = re.escape(name)
    return re.compile(quoted if len(name) > 2 else rf"(?<!\w){quoted}(?!\w)", re.IGNORECASE)


def _split(piece: tuple[str, bool], pattern: re.Pattern[str], placeholder: str) -> list[tuple[str, bool]]:
    text, is_placeholder = piece
    if is_placeholder:
        return [piece]
    parts, end = list[tuple[str, bool]](), 0
    for match in pattern.finditer(text):
        if match.end() > match.start():
            parts += [(text[end : match.start()], False), (placeholder, True)]
            end = match.end()
    return [part for part in (*parts, (text[end:], False)) if part[0]]


def _key(name: Any) -> str:
    return str(name) if _FIELD.fullmatch(str(name)) else "<key>"
