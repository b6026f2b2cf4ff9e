# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The rules for files of a user's folder: code and data are included, files with secrets are not."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# Generated or third-party folders, useless in a container; excluded without a warning.
_LEFT_OUT_FOLDERS = {
    "__pycache__", ".venv", "venv", "node_modules", "build", "dist", ".tox", ".nox", ".idea", ".vscode", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".eggs", "htmlcov",
}  # fmt: skip
_LEFT_OUT_FILES = re.compile(r".*\.(pyc|pyo|whl|egg)|\.coverage.*|\.DS_Store|\.git")  # `.git` is a file in a worktree

# Names that suggest a secret; excluded with a warning.
_SECRET_FOLDERS = {".aws", ".ssh", ".gnupg", ".azure", ".gcloud", ".kube", ".docker", ".git", ".hg", ".svn"}
_SECRET_FILES = re.compile(
    r"\.env(\..*)?|\.?envrc|\.netrc|_netrc|\.pypirc|\.npmrc|\.git-credentials|\.htpasswd|pip\.conf|uv\.toml"
    r"|id_(rsa|dsa|ecdsa|ed25519)(\.pub)?|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|gpg|asc)"
    r"|credentials(\.(json|csv|ini|toml|ya?ml))?|.*service[-_]account.*\.json|secrets?\.(json|toml|ya?ml|ini)",
    re.IGNORECASE,
)


def is_secret(path: str) -> bool:
    """Return whether a file's path in the folder suggests that it holds a secret."""
    pure = PurePosixPath(path)
    return any(map(is_secret_folder, pure.parts[:-1])) or bool(_SECRET_FILES.fullmatch(pure.name))


def is_secret_folder(name: str) -> bool:
    """Return whether a folder of that name holds secrets, if only in its history."""
    return name in _SECRET_FOLDERS


def is_left_out(path: str) -> bool:
    """Return whether a file, by its path in the folder, is useless in a container."""
    pure = PurePosixPath(path)
    return any(map(is_left_out_folder, pure.parts[:-1])) or bool(_LEFT_OUT_FILES.fullmatch(pure.name))


def is_left_out_folder(name: str) -> bool:
    """Return whether a folder of that name is excluded as a whole."""
    return name in _LEFT_OUT_FOLDERS or name.endswith((".egg-info", ".dist-info"))
