# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which files of a folder of somebody's own travel with a task: code and its data, and never what keeps a secret."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# Made by tools, or somebody else's: of no use in a container. Nobody needs to be told.
_LEFT_OUT_FOLDERS = {
    "__pycache__", ".venv", "venv", "node_modules", "build", "dist", ".tox", ".nox", ".idea", ".vscode", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".eggs", "htmlcov",
}  # fmt: skip
_LEFT_OUT_FILES = re.compile(r".*\.(pyc|pyo|whl|egg)|\.coverage.*|\.DS_Store|\.git")  # the last is a file in a worktree

# What keeps a secret, by how it is called: it is left out, and that is told.
_SECRET_FOLDERS = {".aws", ".ssh", ".gnupg", ".azure", ".gcloud", ".kube", ".docker", ".git", ".hg", ".svn"}
_SECRET_FILES = re.compile(
    r"\.env(\..*)?|\.?envrc|\.netrc|_netrc|\.pypirc|\.npmrc|\.git-credentials|\.htpasswd|pip\.conf|uv\.toml"
    r"|id_(rsa|dsa|ecdsa|ed25519)(\.pub)?|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|gpg|asc)"
    r"|credentials(\.(json|csv|ini|toml|ya?ml))?|.*service[-_]account.*\.json|secrets?\.(json|toml|ya?ml|ini)",
    re.IGNORECASE,
)


def is_secret(path: str) -> bool:
    """Whether a file, by its path in the folder, is called as one that keeps a secret."""
    pure = PurePosixPath(path)
    return any(map(is_secret_folder, pure.parts[:-1])) or bool(_SECRET_FILES.fullmatch(pure.name))


def is_secret_folder(name: str) -> bool:
    """Whether a folder of that name keeps secrets, if only in its history."""
    return name in _SECRET_FOLDERS


def is_left_out(path: str) -> bool:
    """Whether a file, by its path in the folder, is of no use in a container."""
    pure = PurePosixPath(path)
    return any(map(is_left_out_folder, pure.parts[:-1])) or bool(_LEFT_OUT_FILES.fullmatch(pure.name))


def is_left_out_folder(name: str) -> bool:
    """Whether nothing of a folder of that name travels."""
    return name in _LEFT_OUT_FOLDERS or name.endswith((".egg-info", ".dist-info"))
