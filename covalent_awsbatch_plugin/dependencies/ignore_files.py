# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The user's own lists of files that stay: `.gitignore`, as git reads it, and `.dockerignore`, as Docker does.

https://git-scm.com/docs/gitignore and https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

from pathlib import Path

from pathspec import GitIgnoreSpec

GIT, DOCKER = ".gitignore", ".dockerignore"


class IgnoreFiles:
    """The lists that hold for the files of one folder.

    A line of `.dockerignore` counts last: one that begins with `!` sends a file that `.gitignore` names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git: dict[Path, GitIgnoreSpec | None] = {}
        lines = [_from_the_root(line) for line in _lines(folder / DOCKER)]
        self._docker = GitIgnoreSpec.from_lines(lines) if lines else None
        self._brings_back = any(line.startswith("!") for line in lines)
        above = _above(folder)
        # A folder that its repository ignores was named by the user all the same: then only its own lists hold.
        self._above = [] if self._ignored_by(above, folder, is_folder=True) else above

    def keeps(self, path: Path, *, is_folder: bool = False) -> str:
        """Return the name of the list that keeps a file here, empty if none does.

        A folder is kept as a whole only if no line can bring one of its files back.
        """
        between = [self._folder, *reversed([each for each in path.parents if self._folder in each.parents])]
        kept_by = GIT if self._ignored_by([*self._above, *between], path, is_folder=is_folder) else ""
        if self._docker is not None:
            verdict = self._docker.check_file(_relative(path, self._folder, is_folder=is_folder)).include
            kept_by = {True: DOCKER, False: "", None: kept_by}[verdict]
        return "" if is_folder and self._brings_back else kept_by

    def _ignored_by(self, folders: list[Path], path: Path, *, is_folder: bool) -> bool:
        ignored = False
        for folder in folders:
            if folder not in self._git:
                lines = _lines(folder / GIT)
                self._git[folder] = GitIgnoreSpec.from_lines(lines) if lines else None
            spec = self._git[folder]
            verdict = spec.check_file(_relative(path, folder, is_folder=is_folder)).include if spec else None
            ignored = ignored if verdict is None else verdict
        return ignored


def _above(folder: Path) -> list[Path]:
    """Return the folders above within the git repository, from its root on; none outside of a repository."""
    chain = [folder, *folder.parents]
    for number, place in enumerate(chain):
        if (place / ".git").exists():
            return chain[number:0:-1]
    return []


def _relative(path: Path, folder: Path, *, is_folder: bool) -> str:
    return path.relative_to(folder).as_posix() + ("/" if is_folder else "")


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def _from_the_root(line: str) -> str:
    """Return a line of `.dockerignore` as one of `.gitignore`: Docker's paths begin at the root."""
    text = line.strip()
    if text.startswith("#"):
        return text
    sign, path = ("!", text[1:].strip()) if text.startswith("!") else ("", text)
    path = path.removeprefix("./").strip("/")
    return f"{sign}/{path}" if path and path != "." else ""
