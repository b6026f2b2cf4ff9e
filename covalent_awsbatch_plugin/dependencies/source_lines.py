# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The source lines of functions that cloudpickle wrote by value, for the tracebacks of the container."""

from __future__ import annotations

import functools
import inspect
import io
import json
import linecache
import os
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

from .references import PickledCode, code_digest, of_pickle

_MOST_READ = 4 * 1024 * 1024  # bytes of a script
_MOST_SENT = 256 * 1024  # characters of all functions of a pickle


def source_lines(pickle: bytes, python: str) -> bytes:
    """Return the lines of a pickle's functions, as JSON for `runner.script.sources_of`; b"" where none are known.

    `python` is the version that wrote the pickle. Lines are taken where the file on this machine, or the cell of a
    notebook in this process, has the same byte-code: a file that was changed since then tells nothing.
    """
    return _source_lines(pickle) if python.split(".")[:2] == _here() else b""


def _here() -> list[str]:
    return [str(number) for number in sys.version_info[:2]]


def _source_lines(pickle: bytes) -> bytes:
    blocks, size = [], 0
    for code in sorted(of_pickle(io.BytesIO(pickle)).codes):
        for file in _files(code):
            if text := _block(file, code):
                size += len(text)
                blocks.append({"file": file, "line": code.line, "name": code.name, "text": text})
                break
    return json.dumps(blocks, sort_keys=True).encode() if blocks and size <= _MOST_SENT else b""


def _files(code: PickledCode) -> Iterator[str]:
    """Yield the file that the pickle names, or the cells of a notebook or a console of this process."""
    if code.file:
        yield code.file
        return
    for name, entry in list(linecache.cache.items()):
        changed, *_ = entry[1:] or (0,)
        if changed is None:  # from memory
            yield name


def _block(file: str, code: PickledCode) -> str:
    """Return the source of a function, from its first decorator on; "" where the file has another one there."""
    text, codes = _compiled(file, *_state(file))
    if codes.get((code.name, code.line)) != code.digest:
        return ""
    lines = text.splitlines(keepends=True)[code.line - 1 :]
    try:
        return "".join(inspect.getblock(lines))
    except (SyntaxError, tokenize.TokenError):
        return ""


def _state(file: str) -> tuple[int, int]:
    """Return the time of change and the size of a file; of a cell, a number for its text."""
    try:
        stat = os.stat(file)
    except (OSError, ValueError):
        return 0, hash("".join(linecache.getlines(file)))
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=32)
def _compiled(file: str, changed: int, size: int) -> tuple[str, dict[tuple[str, int], str]]:
    """Return the text of a file, and the digests of its functions by name and line; nothing where it can't be had."""
    try:
        text = _text(file, size) if changed else "".join(linecache.getlines(file))
        whole = compile(text, file, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, KeyError, IndexError, RecursionError):
        return "", {}
    return text, dict(_codes(whole))


def _text(file: str, size: int) -> str:
    if size > _MOST_READ or not file.endswith(".py"):
        return ""
    with tokenize.open(Path(file)) as source:
        return source.read()


def _codes(whole: CodeType) -> Iterator[tuple[tuple[str, int], str]]:
    for each in whole.co_consts:
        if isinstance(each, CodeType):
            digest = code_digest(each.co_code, each.co_consts, each.co_names)
            yield (each.co_qualname, each.co_firstlineno), digest
            yield from _codes(each)
