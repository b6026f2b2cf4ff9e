# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The parsed setting `environment`, and the rules for its layers and for the store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from ..errors import SettingError

AUTO = "auto"

# A comma inside a requirement is followed by an operator (`>=1,<2`), or stands in brackets or quotes.
_BORDER = re.compile(r",(?=\s*[A-Za-z0-9./~])|\n")
_SHELTERED = re.compile(r"\[[^\]]*\]|\"[^\"]*\"|'[^']*'")
_COMMENT = re.compile(r"(^|\s)#.*$")
_URL = re.compile(r"(https?|file|(git|hg|svn|bzr)\+\w+)://")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\]\s*)?($|[<>=!~;@(].*)")


@dataclass(frozen=True)
class EnvironmentSpec:
    """A parsed `environment`; paths are as in the setting.

    `files` are lists of requirements, `pyproject.toml` or `pylock.toml`; `folders` are local packages or folders of
    modules; `auto` adds the packages and modules that the tasks refer to.
    """

    requirements: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    auto: bool = False

    def __bool__(self) -> bool:
        return bool(self.requirements or self.files or self.folders or self.auto)

    def plus(self, requirements: Iterable[str]) -> EnvironmentSpec:
        """Return this spec with more requirements."""
        return replace(self, requirements=tuple(dict.fromkeys((*self.requirements, *requirements))))


def one_text(value: Any) -> Any:
    """Return a list of parts as one text with a line for each; other values stay as they are."""
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value


def environment_spec(text: str) -> EnvironmentSpec:
    """Parse the setting: parts separated by commas or line ends. Raises SettingError for an unreadable part.

    A part is `auto`, a requirement as in PEP 508, the URL of a package, a file (`requirements.txt`, `pyproject.toml`,
    `pylock.toml`), or a folder, which has a slash in it.
    """
    kinds = [(_kind(part), part) for part in _parts(text)]

    def of(kind: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part for part_kind, part in kinds if part_kind == kind))

    return EnvironmentSpec(of("requirement"), of("file"), of("folder"), auto=bool(of(AUTO)))


def relative_paths(text: str) -> list[str]:
    """Return the files and folders of a setting that are relative to some folder. Raises SettingError."""
    spec = environment_spec(text)
    return [path for path in (*spec.files, *spec.folders) if not path.startswith(("/", "~"))]


def anchored(settings: Mapping[str, Any], folder: PurePath) -> dict[str, Any]:
    """Return settings with the paths in `environment` made absolute, because they are read in another folder.

    Raises SettingError.
    """
    text = one_text(settings.get("environment"))
    return {**settings, "environment": _anchored(text, folder)} if text and isinstance(text, str) else {**settings}


def _anchored(text: str, folder: PurePath) -> str:
    parts = _parts(text)
    return "\n".join(
        str(folder / part) if _kind(part) in ("file", "folder") and not part.startswith("~") else part for part in parts
    )


def _parts(text: str) -> list[str]:
    bare = (_COMMENT.sub("", part).strip(" ,") for part in _split(text))
    return [part for part in bare if part]


def _split(text: str) -> Iterator[str]:
    hidden = _SHELTERED.sub(lambda match: "_" * len(match[0]), text)
    start = 0
    for border in _BORDER.finditer(hidden):
        yield text[start : border.start()]
        start = border.end()
    yield text[start:]


def _kind(part: str) -> str:
    if part == AUTO:
        return AUTO
    if (
        " @ " in part
        or _URL.match(part)
        or (_REQUIREMENT.fullmatch(part) and not part.endswith((".txt", ".toml", ".in")))
    ):
        return "requirement"
    if PurePath(part).suffix in (".txt", ".toml", ".in"):
        return "file"
    if "/" in part or part in (".", "..", "~"):
        return "folder"
    raise SettingError(
        f"The setting environment has {part!r}, which is no requirement, file or folder.",
        advice="Examples: 'requirements.txt', 'pyproject.toml', 'auto', 'numpy>=2, pandas', './my-package'.",
    )


def plain_requirements(text: str) -> list[str]:
    """Return the lines of a list of requirements without comments, with continued lines joined."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (_COMMENT.sub("", line) for line in joined.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


# ---- which package goes into which layer ---------------------------------------------------------------------------
MOST_LAYERS = 48  # of an environment: a base has up to about 20, and dockerd refuses images with more than 125
ALONE_BYTES = 2 * 1024 * 1024  # a package of more than this has a layer of its own


def shares(sizes: Sequence[tuple[str, int]]) -> tuple[list[str], list[str]]:
    """Return the keys that get a layer each, largest first, and those that share one, sorted.

    `sizes` are (key, bytes).
    """
    by_size = sorted(sizes, key=lambda pair: (-pair[1], pair[0]))
    alone = [key for key, size in by_size if size > ALONE_BYTES][: MOST_LAYERS - 1]
    return alone, sorted(key for key, _ in sizes if key not in set(alone))


# ---- pruning of the store
# -----------------------------------------------------------------------------------------------
IN_USE_S = 3600  # an entry used so recently may be being pushed
FORGOTTEN_S = 60 * 24 * 3600  # an entry unused for so long is deleted at any size


@dataclass(frozen=True)
class StoreUsage:
    """An entry of the store, the Unix time of its last use, and its size."""

    key: str
    at: float
    bytes: int


def to_forget(entries: Iterable[StoreUsage], most_bytes: float, now: float) -> list[StoreUsage]:
    """Return the entries to delete so that the rest has at most `most_bytes`: the least recently used.

    Entries in use stay.
    """
    stale: list[StoreUsage] = []
    candidates = sorted(entries, key=lambda entry: (entry.at, entry.key))
    size = sum(entry.bytes for entry in candidates)
    for entry in candidates:
        if now - entry.at < IN_USE_S or (size <= most_bytes and now - entry.at < FORGOTTEN_S):
            break
        stale.append(entry)
        size -= entry.bytes
    return stale
